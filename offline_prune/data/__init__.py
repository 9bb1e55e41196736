"""Data: fixed offline datasets, aligned, checked and flat."""

from __future__ import annotations

from offline_prune.base import quiet  # noqa: F401
from offline_prune.data.buffer import FlatReplayBuffer
from offline_prune.data.dataset import Dataset
from offline_prune.data.environment import make_environment
from offline_prune.data.episodes import DatasetWarning
from offline_prune.data.load import load_dataset
from offline_prune.data.metadata import DatasetMetadata
from offline_prune.data.observations import ObservationLayout
from offline_prune.data.sources.importers import import_file
from offline_prune.recipes.datasets import DatasetRecipe, list_dataset_recipes

__all__ = [
    "Dataset",
    "DatasetMetadata",
    "DatasetRecipe",
    "DatasetWarning",
    "FlatReplayBuffer",
    "ObservationLayout",
    "import_file",
    "list_dataset_recipes",
    "load_dataset",
    "make_environment",
]
