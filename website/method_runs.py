"""A small run of every method, whose code is shown on its page and whose mask is drawn there."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from contextlib import redirect_stdout
from io import StringIO
from typing import Any, NamedTuple

from offline_prune.masks.mask import Mask

__all__ = ["METHOD_RUNS", "MethodRun", "made_by"]


class MethodRun(NamedTuple):
    """A run.

    Attributes:
        code: Python that leaves a mask in ``mask``.
        note: What its picture shows.
    """

    code: str
    note: str


def made_by(run: MethodRun) -> Mask:
    """The mask that a run makes; it is run here, and what it says is not heard."""
    namespace: dict[str, Any] = {}
    with redirect_stdout(StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # random masks collapse, and say so
        exec(run.code, namespace)
    found: Mask = namespace["mask"]
    return found


def _scored(method: str, note: str) -> MethodRun:
    return MethodRun(
        f"""from offline_prune import score

small = {{"hidden_units": [32, 32]}}
scored = score("pendulum/mixture-v0", "bc", 0.9, method="{method}", algo_params=small)
mask = scored.mask
print(mask)""",
        note,
    )


def _trained(method: str, note: str) -> MethodRun:
    return MethodRun(
        f"""from offline_prune import prune_then_train

small = {{"hidden_units": [32, 32]}}
result = prune_then_train(
    "pendulum/mixture-v0", "bc", 0.9, method="{method}", algo_params=small,
    n_steps=500, evaluate=0, progress=False,
)
mask = result.mask
print(mask)""",
        note,
    )


METHOD_RUNS: Mapping[str, MethodRun] = {
    "snip": _scored("snip", "The weights that the loss would miss most."),
    "grasp": _scored("grasp", "The weights whose removal would hurt the gradient."),
    "fisher": _scored("fisher", "Close to SNIP's, on eight mini-batches."),
    "prospr": _scored("prospr", "The weights that matter after three steps of SGD."),
    "magnitude": _scored("magnitude", "Initial weights of layers with few inputs are larger."),
    "random": _scored("random", "Every weight as likely as any other."),
    "iterative_snip": _scored("iterative_snip", "Ten rounds, nothing comes back."),
    "force": _scored("force", "Ten rounds, weights may come back."),
    "synflow": _scored("synflow", "No data: layers stay connected."),
    "px": _scored("px", "Paths that the data open."),
    "snip_flow": _scored("snip_flow", "SNIP's opinion, and connected layers."),
    "small_dense": _scored("small_dense", "Nothing is pruned: the network is narrower."),
    "gmp": _trained("gmp", "The largest weights of every layer after 500 steps."),
    "set": _trained("set", "Sparse from the first step; some connections moved."),
    "rigl": _trained("rigl", "Sparse from the first step; gradients say what grows."),
    "gates": _trained("gates", "Whole units went: rows here, columns in the next layer."),
    "structured": _trained("structured", "Whole units went: rows here, columns in the next layer."),
    "pops": _trained(
        "pops(steps=400, distil_steps=400, max_iterations=1, gate=agreement, objective=0.8)",
        "All weights of the small student.",
    ),
    "shuffled": _scored("shuffled(snip)", "SNIP's densities, and nothing else of it."),
    "reinitialised": _scored("reinitialised(snip)", "SNIP's mask, held on other weights."),
    "rescaled": _scored("rescaled(snip)", "SNIP's mask; what it keeps is scaled."),
    "inverted": _scored("inverted(snip)", "The weights that SNIP would remove first."),
    "corrupted": _scored("corrupted(snip, actions)", "SNIP's choice on shuffled actions."),
}
"""Method → its run."""
