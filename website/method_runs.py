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
        lead: What the method does, in plain words.
        code: Python that leaves a mask in ``mask``.
        note: What its picture shows.
    """

    lead: str
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


def _scored(method: str, lead: str, note: str) -> MethodRun:
    return MethodRun(
        lead,
        f"""from offline_prune import score

data, small = "pendulum/mixture-v0", {{"hidden_units": [32, 32]}}
scored = score(data, "bc", 0.9, method="{method}", algo_params=small)
mask = scored.mask
print(mask)""",
        note,
    )


def _trained(method: str, lead: str, note: str) -> MethodRun:
    return MethodRun(
        lead,
        f"""from offline_prune import prune_then_train

data, small = "pendulum/mixture-v0", {{"hidden_units": [32, 32]}}
result = prune_then_train(
    data, "bc", 0.9, algo_params=small, n_steps=500, evaluate=0, progress=False,
    method="{method}",
)
mask = result.mask
print(mask)""",
        note,
    )


METHOD_RUNS: Mapping[str, MethodRun] = {
    "snip": _scored(
        "snip",
        "Keeps the weights that matter most to the loss before training: one gradient on the data"
        " says how much the loss would change if a weight were zero.",
        "The weights that the loss would miss most.",
    ),
    "grasp": _scored(
        "grasp",
        "Keeps the weights that let the agent learn: those without which the gradient, and with it"
        " the first training steps, would be smaller.",
        "The weights whose removal would hurt the gradient.",
    ),
    "fisher": _scored(
        "fisher",
        "Keeps the weights that the loss is sensitive to, as SNIP does, but squares each"
        " mini-batch's gradient, so that gradients of opposite signs do not cancel.",
        "Close to SNIP's, on eight mini-batches.",
    ),
    "prospr": _scored(
        "prospr",
        "Keeps the weights that will matter after a few training steps: it takes some steps on"
        " trial and asks how the loss at their end depends on each weight.",
        "The weights that matter after three steps of SGD.",
    ),
    "iterative_snip": _scored(
        "iterative_snip",
        "SNIP in rounds: a part of the weights goes, the rest is scored again. What went does not"
        " come back.",
        "Ten rounds, nothing comes back.",
    ),
    "force": _scored(
        "force",
        "SNIP in rounds, in which a weight that went may come back when a later round scores it"
        " higher.",
        "Ten rounds, weights may come back.",
    ),
    "synflow": _scored(
        "synflow",
        "Keeps the weights on strong paths from inputs to outputs. It looks at the weights alone,"
        " not at the data, and leaves no layer empty.",
        "No data: layers stay connected.",
    ),
    "px": _scored(
        "px",
        "Keeps the weights on paths that the data use: a path counts as far as the hidden units on"
        " it are active on observations of the dataset.",
        "Paths that the data open.",
    ),
    "snip_flow": _scored(
        "snip_flow",
        "The default for most algorithms: SNIP says how much each weight matters, SynFlow sees to"
        " it that the weights kept lie on paths from inputs to outputs.",
        "SNIP's opinion, and connected layers.",
    ),
    "magnitude": _scored(
        "magnitude",
        "Keeps the largest initial weights. They say nothing of the task: a baseline.",
        "Initial weights of layers with few inputs are larger.",
    ),
    "random": _scored(
        "random",
        "Keeps weights at random: the baseline that every other mask has to beat.",
        "Every weight as likely as any other.",
    ),
    "small_dense": _scored(
        "small_dense",
        "Prunes nothing: the agent gets narrower dense networks, with as many weights as a pruned"
        " one would keep. The baseline that every pruned agent has to beat.",
        "Nothing is pruned: the network is narrower.",
    ),
    "gmp": _trained(
        "gmp",
        "Gradual magnitude pruning: training starts dense, and the smallest weights go a few at a"
        " time until the sparsity asked for is reached.",
        "The largest weights of every layer after 500 steps.",
    ),
    "set": _trained(
        "set",
        "Sparse from the first step to the last: at intervals the smallest weights go and as many"
        " others, chosen at random, come.",
        "Sparse from the first step; some connections moved.",
    ),
    "rigl": _trained(
        "rigl",
        "Sparse from the first step to the last: at intervals the smallest weights go, and those"
        " come that the gradient would change most.",
        "Sparse from the first step; gradients say what grows.",
    ),
    "gates": _trained(
        "gates",
        "Gives every hidden unit a gate that is open with a learned probability. Units whose gates"
        " close for good leave, and a smaller dense network is left.",
        "Whole units went: rows here, columns in the next layer.",
    ),
    "structured": _trained(
        "structured",
        "Removes whole units, and whole channels of convolutions, those with the smallest weights"
        " first. What is left is a smaller dense network, fast anywhere.",
        "Whole units went: rows here, columns in the next layer.",
    ),
    "pops": _trained(
        'pops(steps=400, distil_steps=400, max_iterations=1,"\n'
        '    " gate=agreement, objective=0.8)',
        "Trains a dense agent first; then a small dense student learns to act as it does"
        " ([step by step](../methods.md#after-training-prune-and-shrink)).",
        "All weights of the small student.",
    ),
    "shuffled": _scored(
        "shuffled(snip)",
        "A control: the mask of another method, shuffled within each layer. If it does as well,"
        " only the number of weights in each layer mattered, and not which.",
        "As many weights in each layer as SNIP keeps, at random places.",
    ),
    "reinitialised": _scored(
        "reinitialised(snip)",
        "A control: the mask of another method on new initial weights. If it does as well, the mask"
        " is not tied to the weights that it was chosen on.",
        "SNIP's mask; the weights under it are other ones.",
    ),
    "rescaled": _scored(
        "rescaled(snip)",
        "Scales the initial weights that another method keeps, so that units with few inputs left"
        " put out numbers as large as before.",
        "SNIP's mask; the weights that it keeps are larger.",
    ),
    "inverted": _scored(
        "inverted(snip)",
        "A control: keeps what another method would remove first. If it does as well, the scores"
        " mean nothing.",
        "The weights that SNIP would remove first.",
    ),
    "corrupted": _scored(
        "corrupted(snip, actions)",
        "A control: chooses the mask on data whose actions are shuffled, or on noise, and trains on"
        " the real data. If it does as well, the data did not matter to the mask.",
        "SNIP's choice on shuffled actions.",
    ),
}
"""Method → its run."""
