"""Options that several commands take: their texts, and how their values are read."""

from __future__ import annotations

import json
from typing import Any

from offline_prune.errors import InputError, SparsityError

METHOD = (
    "snip_flow (by default), snip, grasp, synflow, …; while training gmp, set, rigl, gates;"
    " 'shuffled(snip)'; or a saved mask."
)
ALLOCATION = (
    "global, 'floor(fan_in=4)', uniform, erk or constant_fan_in; by default the method's own."
)
AVERAGE = "Over mini-batches: gradients or scores."
REFILL = "Weights that lead nowhere make room for the next best."


def sparsities(text: str) -> float | dict[str, float]:
    """``".95"`` or ``"actor=.95,critic=.8"``."""
    try:
        if "=" not in text:
            return float(text)
        pairs = (part.split("=") for part in text.split(","))
        return {role.strip(): float(number) for role, number in pairs}
    except ValueError as error:
        raise SparsityError(
            f"--sparsity takes a number or role=number,role=number, not {text!r}."
        ) from error


def hyperparameters(texts: list[str]) -> dict[str, Any]:
    """``["learning_rate=1e-3", "hidden_units=[64, 64]"]``; values in JSON."""
    params: dict[str, Any] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign:
            raise InputError(f"--param takes name=value, not {text!r}.")
        try:
            params[name.strip()] = json.loads(value)
        except (ValueError, RecursionError):
            params[name.strip()] = value  # a bare word is a string
    return params
