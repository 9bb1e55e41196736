"""Sequence models, such as decision transformers: they act on a stretch of the past."""

from __future__ import annotations

from typing import Any

from d3rlpy.algos import TransformerAlgoBase
from d3rlpy.algos.utility import (
    build_scalers_with_trajectory_slicer,
    build_scalers_with_transition_picker,
)

from offline_prune.data import Dataset
from offline_prune.errors import AlgorithmError, InputError
from offline_prune.ofenet import find_readers

__all__ = ["check_built_sequences", "check_sequences", "fit_scalers", "is_sequence_model"]


def is_sequence_model(algo: Any) -> bool:
    """Whether an algorithm trains on trajectories and acts by what it has seen and done.

    Args:
        algo: A d3rlpy algorithm, or anything else.

    Returns:
        True for decision transformers and TACR.
    """
    return isinstance(algo, TransformerAlgoBase)


def fit_scalers(algo: Any, data: Dataset) -> None:
    """Fit scalers that are not fitted, as d3rlpy's ``fit`` does it.

    Args:
        algo: A d3rlpy algorithm.
        data: What it will train on.
    """
    if is_sequence_model(algo):
        build_scalers_with_trajectory_slicer(algo, data.buffer)
    else:
        build_scalers_with_transition_picker(algo, data.buffer)


def check_sequences(algo: Any, data: Dataset) -> None:
    """Refuse a sequence model that cannot read the episodes of the data; others pass.

    Args:
        algo: A d3rlpy algorithm.
        data: What it will train on.

    Raises:
        InputError: If an episode is longer than its table of time steps, TACR sees one
            step at a time, or observations are stacked.
    """
    if not is_sequence_model(algo):
        return
    if data.picking.frames > 1 or data.picking.steps > 1:
        raise InputError(
            f"{type(algo).__name__} reads stretches of episodes as they were recorded; it takes"
            " neither stacked frames nor several steps at once. Load the dataset without them."
        )
    longest, known = data.metadata.longest_episode or 0, algo.config.max_timestep
    if longest > known:
        raise InputError(
            f"An episode of the data has {longest} steps, and this {type(algo).__name__} knows"
            f" max_timestep={known} of them. Pass algo_params={{'max_timestep': {longest}}}."
        )
    if hasattr(algo.config, "n_critics") and algo.config.context_size < 2:
        raise InputError(
            f"The critics of {type(algo).__name__} learn from two steps that follow one another:"
            f" context_size is at least 2, not {algo.config.context_size}."
        )


def check_built_sequences(algo: Any) -> None:
    """Refuse a built sequence model that would fail in its first step; others pass.

    Args:
        algo: A built d3rlpy algorithm.

    Raises:
        InputError: If its attention heads do not divide its width.
        AlgorithmError: If an encoder reads an OFENet, which is trained on transitions.
    """
    if not is_sequence_model(algo):
        return
    width, heads = algo.impl.modules.transformer._rtg_embed.out_features, algo.config.num_heads
    if width % heads:
        raise InputError(
            f"num_heads={heads} does not divide the width {width} of this {type(algo).__name__},"
            " which is that of its encoder's output (the last of hidden_units)."
        )
    if find_readers(algo):
        raise AlgorithmError(
            f"{type(algo).__name__} trains on trajectories, and an OFENet on transitions: its"
            " features cannot be trained beside it. Choose another encoder, such as"
            " hidden_units=[128]."
        )
