"""Score the networks of an agent on mini-batches of the fixed dataset."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor

from offline_prune.agents.agent import Agent
from offline_prune.agents.network import Batch, Loss, Network
from offline_prune.base.precision import full_precision
from offline_prune.data import Dataset
from offline_prune.errors import AlgorithmError, NonFiniteError, UnknownNameError
from offline_prune.saliency.objective import Objective, Saliency, Scores

__all__ = [
    "DEFAULT_N_BATCHES",
    "Average",
    "check_average",
    "score_networks",
]

Average: TypeAlias = Literal["gradients", "scores"]

DEFAULT_N_BATCHES = 8
"""Scoring mini-batches, where nothing else is asked for: fewer give another mask a draw."""


def check_average(average: str) -> None:
    """Check the name of an average.

    Args:
        average: ``"gradients"`` or ``"scores"``.

    Raises:
        UnknownNameError: If it is anything else.
    """
    if not isinstance(average, str) or average not in get_args(Average):
        raise UnknownNameError("average", str(average), get_args(Average))


def score_networks(
    agent: Agent,
    data: Dataset,
    saliency: Saliency,
    *,
    n_batches: int,
    seed: int = 0,
    average: Average = "gradients",
    float64: bool = False,
) -> dict[str, Scores]:
    """Score every prunable weight of an agent; change nothing.

    Each network is scored on its own training loss, at the weights that will be
    trained. Networks that one loss trains (twin critics; IQL's critics and value) are
    scored in one pass, each on its own weights. Parameters, buffers, optimizer states
    and random states are bit-identical before and after.

    Args:
        agent: The agent.
        data: The fixed dataset.
        saliency: One of :data:`offline_prune.saliency.SALIENCIES`, or any function of
            the same form.
        n_batches: Number of mini-batches, each of 256 transitions.
        seed: Of the mini-batches and of the noise that losses draw.
        average: What is averaged over the mini-batches. ``"gradients"``: the loss, so
            that opposite gradients cancel, and a score is that of the mean; SNIP's is
            ``|w · mean g|``. ``"scores"``: the scores of single mini-batches, so that
            nothing cancels; SNIP's is ``mean |w · g|``.
        float64: Whether to evaluate losses and derivatives in double precision; noise
            is then another draw.

    Returns:
        Role → weight name → score; higher = keep.

    Raises:
        UnknownNameError: If there is no such average.
        NonFiniteError: If a loss or a score is NaN or infinite.
    """
    check_average(average)
    batches = agent.host.draw_batches(data, n_batches, seed)
    if average == "scores":
        saliency = _mean_of_scores(saliency)
    groups: dict[int, list[Network]] = {}
    for network in agent.networks:
        groups.setdefault(id(network.loss), []).append(network)
    scores: dict[str, Scores] = {}
    precision = _double_precision(agent) if float64 else nullcontext()
    with full_precision(), _requiring_gradients(agent), precision:
        if float64:
            batches = [_to_double(batch) for batch in batches]
        for group in groups.values():
            for role, found in _score_group(group, batches, saliency, seed).items():
                scores[role] = found
    return {role: scores[role] for role in agent.roles}


def _mean_of_scores(saliency: Saliency) -> Saliency:
    """Score every mini-batch on its own, then take the mean."""

    def mean(objective: Objective) -> Scores:
        found = [
            saliency(replace(objective, losses=[loss], seed=objective.seed + i))
            for i, loss in enumerate(objective.losses)
        ]
        return {n: torch.stack([scores[n] for scores in found]).mean(dim=0) for n in found[0]}

    return mean


@contextmanager
def _requiring_gradients(agent: Agent) -> Iterator[None]:
    """Let every weight have a gradient; an OFENet's are frozen outside its own steps."""
    frozen = [weight for weight in agent.weights.values() if not weight.requires_grad]
    for weight in frozen:
        weight.requires_grad_(True)
    try:
        yield
    finally:
        for weight in frozen:
            weight.requires_grad_(False)


@contextmanager
def _double_precision(agent: Agent) -> Iterator[None]:
    """All modules in float64 for a while; the float32 tensors come back untouched."""
    modules = list(agent.host.modules.values())
    if (ofenet := agent.host.ofenet) is not None:
        modules.append(ofenet)
    tensors = {id(t): t for m in modules for t in (*m.parameters(), *m.buffers())}
    before = [(t, t.data) for t in tensors.values() if t.dtype == torch.float32]
    dtype = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        for tensor, data in before:
            tensor.data = data.double()
        yield
    finally:
        torch.set_default_dtype(dtype)
        for tensor, data in before:
            tensor.data = data


def _to_double(batch: Batch) -> Batch:
    tensors = {n: t for n, t in vars(batch).items() if isinstance(t, Tensor)}
    return replace(batch, **{n: t.double() for n, t in tensors.items() if t.is_floating_point()})


def _score_group(
    group: Sequence[Network],
    batches: Sequence[Batch],
    saliency: Saliency,
    seed: int,
) -> dict[str, Scores]:
    roles = " and ".join(network.role for network in group)
    weights = {n: w for network in group for n, w in network.weights.items()}
    losses = [_seeded(group[0].loss, batch, seed + i, roles) for i, batch in enumerate(batches)]
    if any(not bool(weight.isfinite().all()) for weight in weights.values()):
        raise NonFiniteError(f"The weights of {roles} are not finite before training.")
    with torch.no_grad():
        losses[0]()  # a saliency may use no loss; training will, so check it now
    found = saliency(Objective(weights, losses, seed))
    for name, score in found.items():
        if not bool(score.isfinite().all()):
            raise NonFiniteError(
                f"The saliency of {name!r} is not finite. The loss of {roles} has"
                " unbounded derivatives on this data: check the scale of rewards and"
                " observations (reward_scaler, observation_scaler)."
            )
    return {net.role: {n: found[n] for n in net.weights} for net in group}


def _seeded(loss: Loss, batch: Batch, seed: int, roles: str) -> Callable[[], Tensor]:
    """The loss on one mini-batch, with the same noise at every call."""

    def evaluate() -> Tensor:
        cuda = [batch.actions.device] if batch.actions.is_cuda else []
        with torch.random.fork_rng(devices=cuda):
            torch.manual_seed(seed)
            try:
                value = loss(batch)
            except AssertionError as error:
                raise AlgorithmError(
                    f"d3rlpy's own loss of {roles} fails on these networks, and so would"
                    " training. It does for continuous critics of implicit quantiles (IQN): take"
                    " QRQFunctionFactory or MeanQFunctionFactory."
                ) from error
        if not bool(value.isfinite()):
            raise NonFiniteError(
                f"The training loss of {roles} is {float(value.detach())} before training."
                " Check the scale of rewards and observations (reward_scaler,"
                " observation_scaler) and the learning state of the algorithm passed."
            )
        return value

    return evaluate
