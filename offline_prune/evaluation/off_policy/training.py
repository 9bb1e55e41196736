"""Train the networks that judge: d3rlpy's own, on single recorded steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from d3rlpy.logging import NoopAdapterFactory
from d3rlpy.models import EncoderFactory, VectorEncoderFactory

from offline_prune.base.arguments import finite_number, whole_number
from offline_prune.data import Dataset
from offline_prune.encoders import fitting_image_encoder
from offline_prune.errors import InputError

__all__ = ["check_learning_rate", "judging_encoder", "single_steps", "train_judge"]


def judging_encoder(shape: Sequence[int], hidden_units: Sequence[int]) -> EncoderFactory:
    """The encoder of a network that judges: plain, and the same whoever is judged.

    Args:
        shape: Of an observation.
        hidden_units: Widths of the hidden layers on vectors.

    Returns:
        Linear layers with ReLU; for images d3rlpy's convolutions, or MinAtar's where images
        are too small for these.

    Raises:
        InputError: If widths are no whole numbers from 1 on, or there are none.
    """
    if isinstance(hidden_units, str) or not isinstance(hidden_units, Sequence) or not hidden_units:
        raise InputError(
            f"hidden_units are the widths of hidden layers, such as (256, 256), not"
            f" {hidden_units!r}."
        )
    widths = [whole_number("A width of hidden_units", width, 1) for width in hidden_units]
    if len(shape) == 1:
        return VectorEncoderFactory(hidden_units=widths)
    return fitting_image_encoder(shape)


def check_learning_rate(learning_rate: float) -> float:
    """Return a learning rate as Python's ``float``.

    Raises:
        InputError: If it is not a finite number above 0.
    """
    if finite_number("learning_rate", learning_rate) <= 0.0:
        raise InputError(f"learning_rate is a number above 0, not {learning_rate!r}.")
    return float(learning_rate)


def single_steps(data: Dataset) -> Dataset:
    """The same data with every recorded step as a transition of its own.

    Targets over several steps would hold the behaviour's rewards, and stock d3rlpy's
    transitions lack the last ones of episodes that were cut off.
    """
    return replace(data, picking=replace(data.picking, steps=1), semantics="exact")


def train_judge(judge: Any, data: Dataset, n_steps: int) -> None:
    """Run d3rlpy's ``fit``; nothing is written to disk.

    Args:
        judge: A d3rlpy algorithm.
        data: What it learns from.
        n_steps: Gradient steps.
    """
    judge.fit(
        data.buffer,
        n_steps=n_steps,
        n_steps_per_epoch=n_steps,
        logger_adapter=NoopAdapterFactory(),
        show_progress=False,
    )
