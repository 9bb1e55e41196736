"""Algorithm recipes: hyperparameters with their source, one TOML file an algorithm."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any, Literal

from offline_prune.errors import AlgorithmError, UnknownNameError
from offline_prune.recipes.shipped_files import shipped

__all__ = [
    "AlgorithmRecipe",
    "Override",
    "PruningAdvice",
    "advice_for",
    "algorithm_recipes",
    "check_algorithm",
    "find_recipe",
]

ActionKind = Literal["continuous", "discrete"]


@dataclass(frozen=True)
class Override:
    """Hyperparameters for some datasets.

    Attributes:
        datasets: Patterns of dataset ids, as in a shell (``"pendulum/*"``).
        source: Where the values come from.
        n_steps: Gradient steps; None keeps the recipe's.
        hyperparameters: Values that replace or add to the recipe's.
        pruned: Fields of the recipe's :class:`PruningAdvice` that it replaces.
    """

    datasets: tuple[str, ...]
    source: str
    n_steps: int | None = None
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    pruned: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PruningAdvice:
    """How to prune an algorithm before training where nothing else is asked for.

    Attributes:
        source: Where it comes from.
        method: An expression, as :func:`~offline_prune.methods.make_method` takes it.
        allocation: With that method; None for its own.
        parameterization: For every method that makes its mask before training, on
            initial weights.
    """

    source: str = "benchmarks/retention"
    method: str = "snip_flow"
    allocation: str | None = None
    parameterization: str = "sparse(exponent=0.5)"


@dataclass(frozen=True)
class AlgorithmRecipe:
    """How to configure one algorithm.

    Attributes:
        name: The file's name, e.g. ``"discrete_bcq"``.
        title: The algorithm's full name.
        algorithm: What users call it, the same for both action kinds: ``"bcq"``.
        actions: Which action spaces it trains on.
        d3rlpy: Type name of the d3rlpy config.
        reference: The paper.
        source: Where the hyperparameters come from.
        n_steps: Gradient steps the source trains for.
        hyperparameters: Fields of the d3rlpy config, or the short forms documented in
            :mod:`offline_prune.agents.configure`.
        overrides: For some datasets; later ones win.
        pruned: How to prune it.

    Examples:
        >>> from offline_prune.agents import algorithm_recipes
        >>> recipe = algorithm_recipes()["discrete_cql"]
        >>> recipe.algorithm, recipe.d3rlpy, recipe.actions
        ('cql', 'discrete_cql', 'discrete')
    """

    name: str
    title: str
    algorithm: str
    actions: ActionKind
    d3rlpy: str
    reference: str
    source: str
    n_steps: int
    hyperparameters: Mapping[str, Any]
    overrides: tuple[Override, ...] = ()
    pruned: PruningAdvice = PruningAdvice()

    def for_dataset(self, dataset_id: str | None) -> tuple[dict[str, Any], int]:
        """Hyperparameters and gradient steps for a dataset.

        Args:
            dataset_id: Its id, or None for a dataset without one.

        Returns:
            The merged hyperparameters and the number of gradient steps.
        """
        hyperparameters, n_steps = dict(self.hyperparameters), self.n_steps
        for override in self._overrides_of(dataset_id):
            hyperparameters |= override.hyperparameters
            n_steps = override.n_steps or n_steps
        return hyperparameters, n_steps

    def advice(self, dataset_id: str | None) -> PruningAdvice:
        """How to prune it on a dataset.

        Args:
            dataset_id: Its id, or None for a dataset without one.

        Returns:
            The recipe's advice, with what overrides for the dataset say.
        """
        advice = self.pruned
        for override in self._overrides_of(dataset_id):
            advice = replace(advice, **override.pruned)
        return advice

    def _overrides_of(self, dataset_id: str | None) -> list[Override]:
        name = dataset_id or ""
        return [o for o in self.overrides if any(fnmatchcase(name, p) for p in o.datasets)]


@functools.cache
def algorithm_recipes() -> Mapping[str, AlgorithmRecipe]:
    """Read the recipes that ship with the package.

    Returns:
        Recipe name → recipe, sorted by name.

    Examples:
        >>> from offline_prune.agents import algorithm_recipes
        >>> {"bc", "bcq", "cql", "iql", "td3_plus_bc"} <= set(algorithm_recipes())
        True
    """
    recipes = {}
    for path in sorted(shipped("algos").glob("*.toml")):
        with path.open("rb") as file:
            content = tomllib.load(file)
        overrides = tuple(
            Override(**{**entry, "datasets": tuple(entry["datasets"])})
            for entry in content.pop("overrides", [])
        )
        pruned = PruningAdvice(**content.pop("pruned", {}))
        recipes[path.stem] = AlgorithmRecipe(
            name=path.stem, overrides=overrides, pruned=pruned, **content
        )
    return recipes


def check_algorithm(algorithm: str) -> None:
    """Check the name of an algorithm, whatever actions it is for.

    Args:
        algorithm: As in :func:`find_recipe`.

    Raises:
        UnknownNameError: If there is no such algorithm.
    """
    known = {name for r in algorithm_recipes().values() for name in (r.name, r.algorithm)}
    if algorithm not in known:
        raise UnknownNameError("algorithm", algorithm, known)


def find_recipe(algorithm: str, actions: ActionKind) -> AlgorithmRecipe:
    """Find the form of an algorithm that fits an action space.

    Args:
        algorithm: ``"bc"``, ``"bcq"``, ``"cql"``, ``"iql"``, ``"td3_plus_bc"``; the
            discrete form is chosen by the actions, and may also be named outright
            (``"discrete_cql"``).
        actions: The dataset's kind of actions.

    Returns:
        The recipe.

    Raises:
        UnknownNameError: If there is no such algorithm.
        AlgorithmError: If it has no form for these actions.
    """
    check_algorithm(algorithm)
    recipes = algorithm_recipes().values()
    named = [r for r in recipes if algorithm in (r.name, r.algorithm)]
    fitting = [r for r in named if r.actions == actions]
    if not fitting:
        others = sorted(r.algorithm for r in recipes if r.actions == actions)
        raise AlgorithmError(
            f"{named[0].title} ({algorithm!r}) has no form for {actions} actions, which"
            f" this dataset has. Choose one of: {', '.join(others)}."
        )
    return fitting[0]


def advice_for(d3rlpy_type: str, dataset_id: str | None) -> PruningAdvice:
    """How to prune an algorithm of d3rlpy, with a recipe or without.

    Args:
        d3rlpy_type: Type name of its config, e.g. ``"bcq"``.
        dataset_id: Of what it will train on; None for a dataset without an id.

    Returns:
        The advice of its recipe; the general one where it has none.
    """
    recipes = [r for r in algorithm_recipes().values() if r.d3rlpy == d3rlpy_type]
    return recipes[0].advice(dataset_id) if recipes else PruningAdvice()
