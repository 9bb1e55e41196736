"""From the short forms that describe optimizers to a d3rlpy optimizer factory.

:mod:`offline_prune.agents.configure` lists the short forms.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

from d3rlpy.optimizers import (
    AdamFactory,
    AdamWFactory,
    CosineAnnealingLRFactory,
    GPTAdamWFactory,
    OptimizerFactory,
    WarmupSchedulerFactory,
)

from offline_prune.base.arguments import finite_number
from offline_prune.errors import InputError, UnknownNameError

__all__ = ["optimizer_fields", "optimizer_forms"]

_OPTIMIZER, _DECAY = "optimizer", "learning_rate_decay"
_KINDS: dict[str, Any] = {
    factory.get_type(): factory for factory in (AdamFactory, AdamWFactory, GPTAdamWFactory)
}


def optimizer_forms(fields: Collection[str]) -> dict[str, list[str]]:
    """The short forms that an algorithm takes.

    Args:
        fields: Fields of its d3rlpy config.

    Returns:
        Short form → fields that it sets.
    """
    every = sorted(f for f in fields if f.endswith("optim_factory"))
    each = {_form_of(f, ending): [f] for f in every for ending in (_OPTIMIZER, _DECAY)}
    return each | {"adam_eps": every}


def optimizer_fields(
    name: str, given: Mapping[str, Any], fields: Mapping[str, Any], n_steps: int
) -> dict[str, Any] | None:
    """The optimizer factories that one hyperparameter stands for, beside the others given.

    Args:
        name: The hyperparameter.
        given: All that are given, this one included.
        fields: Fields of the d3rlpy config → their defaults.
        n_steps: Gradient steps of the run.

    Returns:
        Config field → factory; None if the hyperparameter is no short form of an optimizer
        that this algorithm takes.

    Raises:
        UnknownNameError: If there is no optimizer or decay of this name.
        InputError: If what is given does not go together.
    """
    concerned = optimizer_forms(fields).get(name)
    if concerned is None:
        return None
    if name.endswith(_DECAY) and given[name] == "none":
        return {}
    return {
        field: _factory(field, given, _steps_of(field, given, fields, n_steps))
        for field in concerned
    }


def _steps_of(field: str, given: Mapping[str, Any], fields: Mapping[str, Any], n_steps: int) -> int:
    """The steps that this optimizer takes in a run: TD3's actor rests at every second one."""
    if field != "actor_optim_factory":
        return n_steps
    name = "update_actor_interval"
    interval: float = given.get(name, fields.get(name, 1))
    return math.ceil(n_steps / max(1, interval))


def _form_of(field: str, ending: str) -> str:
    """The short form with this ending that is about this optimizer factory."""
    return field.replace("optim_factory", ending)


def _factory(field: str, given: Mapping[str, Any], n_steps: int) -> OptimizerFactory:
    """One optimizer, as all short forms together want it."""
    name = _form_of(field, _OPTIMIZER)
    asked = given.get(name, {})
    if not isinstance(asked, Mapping):
        raise InputError(
            f"{name} is a table such as {{'type': 'adam_w', 'weight_decay': 1e-4, 'warmup': 0.1}},"
            f" not {asked!r}."
        )
    options = dict(asked)
    kind, warmup = options.pop("type", "adam"), options.pop("warmup", None)
    if kind not in _KINDS:
        raise UnknownNameError("optimizer", str(kind), _KINDS)
    if "betas" in options:
        options["betas"] = tuple(options["betas"])
    if "adam_eps" in given:
        options["eps"] = float(given["adam_eps"])
    decay = given.get(_form_of(field, _DECAY), "none")
    if decay not in ("cosine", "none"):
        raise UnknownNameError("learning rate decay", str(decay), ["cosine", "none"])
    if decay == "cosine":
        if warmup is not None:
            raise InputError("A learning rate takes a warmup or a decay, not both.")
        options["lr_scheduler_factory"] = CosineAnnealingLRFactory(T_max=n_steps)
    if warmup is not None:
        fraction = finite_number("warmup", warmup)
        if not 0.0 < fraction <= 1.0:
            raise InputError(f"warmup is a fraction of the run, in (0, 1], not {warmup!r}.")
        steps = max(1, round(fraction * n_steps))
        options["lr_scheduler_factory"] = WarmupSchedulerFactory(warmup_steps=steps)
    factory: OptimizerFactory = _KINDS[kind](**options)
    return factory
