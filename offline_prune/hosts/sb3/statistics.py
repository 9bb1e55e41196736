"""The statistics of a VecNormalize, as the scale in front of a policy."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecNormalize

from offline_prune.acting.rules import Rescale
from offline_prune.errors import InputError, UntrustedFileError
from offline_prune.hosts.sb3.reading import Reading

__all__ = ["find_normalization", "normalized_parts", "normalizing_scale"]

_NOTHING = 1e-7  # of a standard deviation, float32's own rounding


def find_normalization(model: Any, normalization: Any, *, trust: bool) -> VecNormalize | None:
    """The VecNormalize whose statistics belong to a model.

    Args:
        model: The model.
        normalization: A ``VecNormalize``; the path of one that it saved, a pickle; None takes the
            one around the model's own environment, if there is one; False takes none.
        trust: Whether to open a pickle, which runs what is in it.

    Returns:
        The wrapper; None where observations are read as they are.

    Raises:
        UntrustedFileError: If it is a path, and not trusted.
        InputError: If it is something else.
    """
    if isinstance(normalization, str | Path):
        path = Path(normalization)
        if not path.is_file():
            raise InputError(f"normalization: there is no file {path}.")
        if not trust:
            raise UntrustedFileError(path)
        try:
            with path.open("rb") as file:
                normalization = pickle.load(file)
        except Exception as error:  # a pickle runs what it likes
            raise InputError(
                f"{path} cannot be read: {error}. Expected what VecNormalize.save wrote."
            ) from error
    if normalization is None:
        find = getattr(model, "get_vec_normalize_env", lambda: None)
        normalization = find()
    if normalization is None or normalization is False:
        return None
    if not isinstance(normalization, VecNormalize):
        raise InputError(
            "normalization is a VecNormalize, the path of one that it saved, or False, not"
            f" {type(normalization).__name__}."
        )
    return normalization if normalization.norm_obs else None


def normalized_parts(normalization: VecNormalize) -> set[str]:
    """Names of the parts of a Dict that have statistics; of other observations ``{""}``."""
    found: Any = normalization.obs_rms
    return set(found) if isinstance(found, dict) else {""}


def normalizing_scale(normalization: VecNormalize, reading: Reading) -> Rescale:
    """``clip((x − mean) / √(var + ε), ±clip_obs)`` of what a file reads.

    What float32 cannot hold of the mean is added behind the division: features that
    hardly vary are divided by little.

    Args:
        normalization: Has the statistics of observations, as they are now.
        reading: What the file reads.

    Returns:
        The scale; parts of a Dict that are not normalised stay as they are.

    Raises:
        InputError: If the statistics are of other observations.
    """
    found: Any = normalization.obs_rms
    statistics = found if isinstance(found, dict) else {"": found}
    shapes = {name: part.shape for name, part in reading.parts.items()}
    if any(own.mean.shape != shapes.get(name) for name, own in statistics.items()):
        raise InputError(
            "normalization has statistics of other observations than those that the model reads,"
            f" {reading.space}. Pass the VecNormalize that it was trained in."
        )
    means, stds, limits = {}, {}, {}
    for name, shape in shapes.items():
        mean, std, limit = np.zeros(shape), np.ones(shape), np.inf
        if name in statistics:
            mean = statistics[name].mean
            std = np.sqrt(statistics[name].var + normalization.epsilon)
            limit = normalization.clip_obs
        means[name], stds[name], limits[name] = mean[None], std[None], np.full((1, *shape), limit)
    (mean,), (std,), (limit,) = (reading.joined(arrays) for arrays in (means, stds, limits))
    rounded = mean.astype(np.float32)
    missing = (rounded.astype(np.float64) - mean) / std
    if np.abs(missing).max() < _NOTHING:
        missing = np.zeros(())
    return Rescale(rounded, std, 1.0, missing, (-limit, limit))
