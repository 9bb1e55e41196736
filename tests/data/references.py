"""Reference scores of generated datasets, measured again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from offline_prune.data.environment import make_registered
from offline_prune.data.made.collect import controller_of, play_episode
from offline_prune.recipes.datasets import DatasetRecipe


def measure_references(recipe: DatasetRecipe, seeds: Sequence[int]) -> tuple[float, float]:
    """Measure a generated dataset's reference scores.

    Args:
        recipe: Of kind ``"generated"``.
        seeds: Of the episodes' resets, one episode each.

    Returns:
        Mean return of uniformly random actions, and of the controller without noise.
    """
    controller = controller_of(recipe)
    environment = make_registered(recipe.environment)
    environment.action_space.seed(seeds[0])
    rng = np.random.default_rng(seeds[0])
    policies = (
        lambda _: environment.action_space.sample(),
        lambda observation: controller(observation, 0.0, rng),
    )
    scores = [
        float(np.mean([sum(play_episode(environment, act, seed).rewards) for seed in seeds]))
        for act in policies
    ]
    environment.close()
    return scores[0], scores[1]
