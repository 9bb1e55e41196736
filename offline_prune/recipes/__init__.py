"""Recipes in TOML: how datasets come about, and how algorithms are trained on them."""

from __future__ import annotations

from offline_prune.recipes.algorithms import AlgorithmRecipe, algorithm_recipes
from offline_prune.recipes.datasets import DatasetRecipe, list_dataset_recipes

__all__ = ["AlgorithmRecipe", "DatasetRecipe", "algorithm_recipes", "list_dataset_recipes"]
