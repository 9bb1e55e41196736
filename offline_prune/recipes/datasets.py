"""Dataset recipes: where each dataset comes from, in TOML files."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from offline_prune.recipes.shipped_files import shipped

__all__ = ["DatasetRecipe", "list_dataset_recipes"]


@dataclass(frozen=True)
class DatasetRecipe:
    """How to get one dataset.

    Attributes:
        id: Minari id.
        kind: ``"generated"`` here at first use, ``"bundled"`` with the package, or
            ``"minari"``: downloaded by Minari.
        environment: Gymnasium id.
        description: What it is.
        origin: Who made it, and how.
        license: Of its contents.
        reference_min: Mean return of a uniform random policy; None: as the dataset
            itself says.
        reference_max: Mean return of the reference expert.
        reference_source: How the reference scores were measured.
        collection: Parameters of :func:`offline_prune.data.made.collect.collect`, for a
            generated dataset.

    Examples:
        >>> from offline_prune.data import list_dataset_recipes
        >>> recipe = list_dataset_recipes()["pendulum/mixture-v0"]
        >>> recipe.kind, recipe.environment
        ('generated', 'Pendulum-v1')
    """

    id: str
    kind: Literal["bundled", "generated", "minari"]
    environment: str
    description: str
    origin: str
    license: str
    reference_min: float | None = None
    reference_max: float | None = None
    reference_source: str = ""
    collection: Mapping[str, Any] = field(default_factory=dict)


@functools.cache
def list_dataset_recipes() -> Mapping[str, DatasetRecipe]:
    """Read the recipes that ship with the package.

    Returns:
        Dataset id → recipe.

    Examples:
        >>> from offline_prune.data import list_dataset_recipes
        >>> "halfcheetah/medium-small-v0" in list_dataset_recipes()
        True
    """
    recipes = {}
    for path in sorted(shipped("datasets").glob("*.toml")):
        with path.open("rb") as file:
            for entry in tomllib.load(file)["datasets"]:
                recipes[entry["id"]] = DatasetRecipe(**entry)
    return recipes
