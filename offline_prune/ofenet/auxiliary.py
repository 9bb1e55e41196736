"""The auxiliary loss: how well an OFENet predicts the next observation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from d3rlpy.torch_utility import TorchMiniBatch
from torch import Tensor

from offline_prune.base.module_modes import preserved_modes
from offline_prune.ofenet.network import OFENet

__all__ = ["auxiliary_batch_loss", "auxiliary_loss", "trainable"]


@contextmanager
def trainable(ofenet: OFENet) -> Iterator[None]:
    """Let an OFENet's parameters require gradients for a while.

    They do in its own steps and where something differentiates its loss; at all other
    times RL's losses see constants.

    Args:
        ofenet: The network.
    """
    fixed = [p for p in ofenet.parameters() if not p.requires_grad]
    for parameter in fixed:
        parameter.requires_grad_(True)
    try:
        yield
    finally:
        for parameter in fixed:
            parameter.requires_grad_(False)


def auxiliary_loss(
    ofenet: OFENet,
    observations: Tensor,
    actions: Tensor,
    next_observations: Tensor,
    *,
    update_statistics: bool = False,
) -> Tensor:
    """Squared error of the predicted next observation.

    Formula: ``L = 1/(B·n) Σ_i Σ_k (ŝ'_ik − s'_ik)²``, the mean over mini-batch and
    dimensions. Batch normalisation uses the statistics of the mini-batch, as in
    training; the modes of the network's modules are the same before and after.

    Args:
        ofenet: The network, with both branches.
        observations: (B, n), scaled as the algorithm scales them; B at least 2.
        actions: (B, A), scaled too, or (B, 1) numbers where actions are discrete.
        next_observations: (B, n), scaled too: what the environment returned, after
            terminations and truncations as well.
        update_statistics: Whether the running statistics of batch normalisation move, as
            in a training step; otherwise nothing of the network changes.

    Returns:
        Scalar; within :func:`trainable`, with a graph to the network's parameters.

    Raises:
        AlgorithmError: If the network has no state-action branch.

    References:
        Ota et al. 2020, arXiv 2003.01629. Their public code takes the same mean.
    """
    with _training_mode(ofenet, update_statistics):
        error = ofenet.predict(observations, actions) - next_observations
        return error.square().mean()


def auxiliary_batch_loss(ofenet: OFENet, batch: TorchMiniBatch) -> Tensor:
    """The auxiliary loss of one of d3rlpy's mini-batches; changes nothing.

    Transitions that terminate are left out: what stands for the observation after them
    depends on where the batch comes from, and may be zeros.

    Args:
        ofenet: The network, with both branches.
        batch: Scaled by d3rlpy; two transitions at least do not terminate.

    Returns:
        Scalar; within :func:`trainable`, with a graph to the network's parameters.

    Raises:
        AlgorithmError: If the network has no state-action branch.
    """
    known = batch.terminals.reshape(-1) == 0
    return auxiliary_loss(
        ofenet, batch.observations[known], batch.actions[known], batch.next_observations[known]
    )


@contextmanager
def _training_mode(ofenet: OFENet, update_statistics: bool) -> Iterator[None]:
    buffers = [] if update_statistics else [(b, b.clone()) for b in ofenet.buffers()]
    try:
        with preserved_modes(ofenet):
            ofenet.train()
            yield
    finally:
        for buffer, before in buffers:
            # Through .data: autograd must not take this for a change of what batch
            # normalisation saved; training mode reads no running statistics back.
            buffer.data.copy_(before)
