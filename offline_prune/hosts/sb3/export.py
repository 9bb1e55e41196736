"""What a model of Stable-Baselines3 gives :func:`~offline_prune.export.export_policy` to write."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.policies import BasePolicy

from offline_prune.base.module_modes import preserved_modes
from offline_prune.errors import AlgorithmError
from offline_prune.export.source import Source
from offline_prune.hosts.sb3.policy import sb3_policy
from offline_prune.hosts.sb3.reading import reading_of
from offline_prune.hosts.sb3.statistics import find_normalization, normalized_parts

__all__ = ["source"]


def source(
    model: Any, observations: Any, normalization: Any, *, trust: bool
) -> tuple[Source, NDArray[Any]]:
    """The policy of a model, and observations to compare its file on.

    Args:
        model: A model or a policy of Stable-Baselines3 or sb3-contrib; it stays as it is.
        observations: As ``model.predict`` takes a batch of them, before any normalisation; None
            draws them: uniform between the bounds of the space, else normal, with the mean and
            the standard deviation of the statistics.
        normalization: As in :func:`~offline_prune.hosts.sb3.statistics.find_normalization`.
        trust: As there.

    Returns:
        The source, and (N, *observation shape) observations as its file reads them.

    Raises:
        InputError, AlgorithmError, UnsupportedExportError: As there, and as in
            :func:`~offline_prune.hosts.sb3.policy.sb3_policy`.
    """
    asked = getattr(model, "policy", model)
    if not isinstance(asked, BasePolicy):
        raise AlgorithmError(
            f"{type(model).__name__} is no model of Stable-Baselines3 and no policy. Expected one"
            " of those, as PPO(…) or model.policy."
        )
    reading = reading_of(asked.observation_space, observations)
    statistics = find_normalization(model, normalization, trust=trust)
    policy = sb3_policy(asked, reading, statistics)
    if observations is not None:
        rows = reading.rows(observations)
    elif statistics is None:
        rows = reading.drawn()
    else:
        scale = policy.observation_scale
        assert scale is not None
        drawn, parts = reading.drawn(), reading.parts
        normal = np.random.default_rng(0).normal(size=drawn.shape) * scale.b.numpy()
        normalized = normalized_parts(statistics)
        there = reading.joined(
            {name: np.full((1, *part.shape), name in normalized) for name, part in parts.items()}
        )
        rows = np.where(there, normal + scale.a.numpy(), drawn).astype(np.float32)

    def predict(observed: NDArray[Any]) -> NDArray[Any]:
        found = reading.as_asked(observed)
        if statistics is not None:
            found = statistics.normalize_obs(found)
        actions: NDArray[Any]
        with preserved_modes(asked):
            actions, _ = asked.predict(found, deterministic=True)
        return actions if policy.discrete else actions.reshape(len(actions), -1)

    about = {
        "algorithm": type(model).__name__,
        "library": "Stable-Baselines3",
        "sparsity": f"{policy.sparsity:.2%} of the {policy.n_weights} weights of the acting"
        f" networks are zero, {policy.n_nonzero} are not",
        **({} if reading.words is None else {"observations": reading.words}),
        **({} if statistics is None else {"normalized": "by the file, as VecNormalize does"}),
    }
    return Source(policy, predict, "model.predict", about), rows
