"""From a recipe's hyperparameters to a d3rlpy config.

A hyperparameter is a field of the d3rlpy config, or one of these short forms:

- ``hidden_units``: widths of every network's hidden layers; ``actor_hidden_units``,
  ``critic_hidden_units``, ``value_hidden_units`` and ``imitator_hidden_units`` set those
  of one network.
- ``encoder``: ``"impala"``, ``"impoola"``, ``"nature"`` or ``"small"``: every network's image
  encoder, described in :func:`offline_prune.encoders.encoder_factory`; ``encoder_width``
  multiplies its number of filters. Or ``"ofenet"``: an OFENet for vectors, of the sizes
  of its paper where it has the environment, with ``hidden_units`` on top; ``ofenet =
  {n_layers = 6, units = 40}`` sets others. BCQ's imitator keeps a plain encoder.
  For vectors also ``"layer_norm"`` (layer normalisation after every hidden layer of
  ``hidden_units``), ``"simba"`` (residual blocks; ``simba = {feature_size = 256,
  hidden_size = 1024, n_blocks = 1}`` sets its sizes) or ``"plain"``, described in
  :func:`offline_prune.encoders.vector_encoder_factory`.
  For a Dict or Tuple of arrays ``"parts"``: an encoder each, with ``hidden_units`` on top of
  all features; ``parts = {camera = "impala", joints = [64, 64]}`` says which, as
  :func:`offline_prune.encoders.parts_encoder_factory` reads it. It is the default where one
  of the arrays is an image; ``"plain"`` reads them as one vector.
- ``actor_encoder``, ``critic_encoder``, ``value_encoder``, ``imitator_encoder``: one of
  these four for one network, whatever ``encoder`` is for the others.
- ``observation_scaler``: ``"standard"``, ``"min_max"``, ``"pixel"`` or ``"none"``. Images of
  bytes in a Dict or Tuple are divided by 255 by each of the first three, and nothing else by
  ``"pixel"``, which is the default there.
- ``reward_scaler``: ``"standard"``, ``"min_max"``, ``"none"``, a number to multiply
  by, or ``{type = "return", multiplier = 1000.0}`` and d3rlpy's other types.
- ``learning_rate_decay``, or ``actor_learning_rate_decay``, ``imitator_learning_rate_decay`` and
  so on where there are several optimizers: ``"cosine"`` (to 0 over the run) or ``"none"``.
- ``adam_eps``: Adam's ε, of every optimizer.
- ``optimizer``, or ``actor_optimizer``, ``critic_optimizer`` and so on where there are several:
  ``{type = "adam_w", weight_decay = 1e-4, clip_grad_norm = 0.25, warmup = 0.1}``; types are
  d3rlpy's ``adam``, ``adam_w`` and ``gpt_adam_w``, and the learning rate grows over that part of
  the run.

Of a sequence model (decision transformers, TACR's actor) the last of ``hidden_units`` is the
width of the transformer, 128 if nothing else is asked for; ``position_encoding_type`` is
``"simple"`` or ``"global"``, and ``max_timestep`` the longest episode, at least 1 000.

Without an ``action_scaler`` of its own a recipe's algorithm scales a bounded action
space that is not [−1, 1] to it, with the bounds of the space: d3rlpy's policies put out
actions in [−1, 1]. Where the space has no bounds, or the data do not keep to them, the
bounds are those of the data (:mod:`offline_prune.agents.action_range`).
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from d3rlpy.models import EncoderFactory, QFunctionFactory
from d3rlpy.optimizers import OptimizerFactory
from d3rlpy.preprocessing import (
    ActionScaler,
    ClipRewardScaler,
    ConstantShiftRewardScaler,
    MinMaxObservationScaler,
    MinMaxRewardScaler,
    MultiplyRewardScaler,
    ObservationScaler,
    PixelObservationScaler,
    ReturnBasedRewardScaler,
    RewardScaler,
    StandardObservationScaler,
    StandardRewardScaler,
)

from offline_prune.agents.action_range import action_scaler
from offline_prune.agents.encoder_forms import encoder_fields, encoder_forms
from offline_prune.agents.observation_statistics import mean_and_std, minimum_and_maximum
from offline_prune.agents.optimizer_forms import optimizer_fields, optimizer_forms
from offline_prune.agents.sequence_config import sequence_fields
from offline_prune.base.arguments import check_switch, finite_number, whole_number
from offline_prune.data import Dataset
from offline_prune.encoders import check_image_fits
from offline_prune.errors import InputError, UnknownNameError

__all__ = ["ConstantRewardWarning", "check_config", "configure"]


class ConstantRewardWarning(UserWarning):
    """Rewards or returns without a spread to scale by."""


_REWARD_SCALERS: dict[str, Callable[..., Any]] = {
    scaler.get_type(): scaler
    for scaler in (
        ClipRewardScaler,
        ConstantShiftRewardScaler,
        MinMaxRewardScaler,
        MultiplyRewardScaler,
        ReturnBasedRewardScaler,
        StandardRewardScaler,
    )
}


def configure(
    config_class: Any, hyperparameters: Mapping[str, Any], data: Dataset, n_steps: int
) -> Any:
    """Make a d3rlpy config.

    Args:
        config_class: Class of the d3rlpy config.
        hyperparameters: Fields of it, or this module's short forms.
        data: The dataset; statistics of the standard and min-max observation scalers
            are those of its transitions' observations.
        n_steps: Gradient steps of the run, for decaying learning rates.

    Returns:
        The config.

    Raises:
        UnknownNameError: If a hyperparameter does not exist.
        InputError: If one has a value that the algorithm cannot take.
    """
    fields = {f.name: f.default for f in dataclasses.fields(config_class)}
    values: dict[str, Any] = {}
    if "action_scaler" in fields and "action_scaler" not in hyperparameters:
        values["action_scaler"] = action_scaler(data)
    hyperparameters = {**_of_parts(data), **hyperparameters}
    try:
        for name, value in hyperparameters.items():
            values |= _expand(name, value, hyperparameters, fields, data, n_steps)
        values |= sequence_fields(values, hyperparameters, fields, data)
        if data.metadata.action_kind == "discrete":
            values.pop("action_scaler", None)
        config = config_class(**{name: _plain(value) for name, value in values.items()})
        for name in sorted(field for field in fields if field.endswith("encoder_factory")):
            check_image_fits(getattr(config, name), data.metadata.observation_shape)
        return config
    except InputError:
        raise
    except (TypeError, ValueError, AssertionError) as error:
        raise InputError(
            f"{config_class.__name__} cannot be made from {dict(hyperparameters)}: {error}."
        ) from error


def _of_parts(data: Dataset) -> dict[str, Any]:
    """What holds unless told otherwise where an observation has images beside other arrays."""
    layout = data.metadata.observation_layout
    found = {"encoder": "parts"} if layout.images else {}
    return found | ({"observation_scaler": "pixel"} if layout.pixel_columns.any() else {})


def _expand(
    name: str,
    value: Any,
    given: Mapping[str, Any],
    fields: Mapping[str, Any],
    data: Dataset,
    n_steps: int,
) -> dict[str, Any]:
    """The config fields that one hyperparameter stands for, beside the others given."""
    found = encoder_fields(name, given, fields, data)
    if found is not None:
        return found
    found = optimizer_fields(name, given, fields, n_steps)
    if found is not None:
        return found
    if name not in fields:
        known = {*fields, *optimizer_forms(fields), *encoder_forms(fields)} - {"compile_graph"}
        raise UnknownNameError("hyperparameter", str(name), known)
    if name == "observation_scaler":
        return {name: _observation_scaler(value, data)}
    if name == "reward_scaler":
        return {name: _reward_scaler(value, data)}
    return {name: value}


def check_config(config: Any) -> None:
    """Check the plain values and the parts of a d3rlpy config, which d3rlpy does not.

    Args:
        config: The config; fields that are numbers by default must be finite numbers,
            counts whole ones, and parts (encoders, scalers, …) of d3rlpy's own kinds.

    Raises:
        InputError: If one is not; names the field.
    """
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        default = field.default
        if isinstance(default, bool):
            check_switch(field.name, value)
        elif isinstance(default, int):
            whole_number(field.name, value, min(default, 1))
        elif isinstance(default, float):
            if abs(finite_number(field.name, value)) > _LARGEST:
                raise InputError(f"{field.name} is a number of float32, not {value!r}.")
            if field.name in ("gamma", "tau") and not 0.0 <= value <= 1.0:
                raise InputError(f"{field.name} is a number in [0, 1], not {value!r}.")
            if field.name.endswith("learning_rate") and not 0.0 <= value <= 1e30:
                # Beyond, Adam's own step size is no float32 any more.
                raise InputError(f"{field.name} is a number in [0, 10³⁰], not {value!r}.")
        for suffix, kind in _PARTS.items():
            optional = suffix.endswith("scaler")
            fits = isinstance(value, kind) or (optional and value is None)
            if field.name.endswith(suffix) and not fits:
                raise InputError(
                    f"{field.name} is a d3rlpy {kind.__name__}, not {value!r}."
                    + (" None is for none." if optional else "")
                )


_LARGEST = float(np.finfo(np.float32).max)

_PARTS: dict[str, type] = {
    "encoder_factory": EncoderFactory,
    "optim_factory": OptimizerFactory,
    "q_func_factory": QFunctionFactory,
    "observation_scaler": ObservationScaler,
    "action_scaler": ActionScaler,
    "reward_scaler": RewardScaler,
}


def _plain(value: Any) -> Any:
    """A numpy scalar as Python's, which d3rlpy's files can hold."""
    return value.item() if isinstance(value, np.generic) else value


def _observation_scaler(value: Any, data: Dataset) -> Any:
    if not isinstance(value, str):
        return value  # a d3rlpy scaler, or None
    if value == "none":
        return None
    pixels = data.metadata.observation_layout.pixel_columns  # of images beside other arrays
    if value == "pixel":
        if not pixels.any():
            return PixelObservationScaler()
        ones = np.ones(pixels.shape)
        return StandardObservationScaler(0 * ones, np.where(pixels, 255.0, ones), eps=0.0)
    if value == "standard":  # what d3rlpy's scaler computes transition by transition
        mean, std = mean_and_std(data)
        if pixels.any():
            mean[pixels], std[pixels] = 0.0, 255.0 - StandardObservationScaler.eps
        return StandardObservationScaler(mean=mean, std=std)
    if value == "min_max":
        minimum, maximum = minimum_and_maximum(data)
        if pixels.any():
            minimum[pixels], maximum[pixels] = -255.0, 255.0
        constant = maximum == minimum  # has no spread to divide by, and nothing to tell
        return MinMaxObservationScaler(
            minimum=minimum, maximum=np.where(constant, minimum + 1, maximum)
        )
    raise UnknownNameError("observation scaler", value, ["min_max", "none", "pixel", "standard"])


def _reward_scaler(value: Any, data: Dataset) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return MultiplyRewardScaler(multiplier=float(value))
    if isinstance(value, str):
        value = {"type": value}
    if not isinstance(value, Mapping):
        return value  # a d3rlpy scaler, or None
    options = dict(value)
    kind = options.pop("type", None)
    if kind == "none":
        return None
    if kind not in _REWARD_SCALERS:
        raise UnknownNameError("reward scaler", str(kind), [*_REWARD_SCALERS, "none"])
    if kind in ("return", "min_max"):
        what, values = (
            ("returns", data.episode_returns) if kind == "return" else ("rewards", data.rewards)
        )
        known = {"return_min", "return_max", "minimum", "maximum"} & set(options)
        low, high = float(np.min(values)), float(np.max(values))
        if not known and high - low <= 1e-6 * max(1.0, abs(high)):
            warnings.warn(
                f"All {what} of the data are {high:g}: the {kind!r} reward scaler, which divides"
                " by their spread, gives way to rewards as they are.",
                ConstantRewardWarning,
                stacklevel=2,
            )
            return MultiplyRewardScaler(multiplier=1.0)
    return _REWARD_SCALERS[kind](**options)
