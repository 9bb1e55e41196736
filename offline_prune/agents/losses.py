"""The training losses of d3rlpy's algorithms, as functions without side effects.

Each function evaluates exactly what d3rlpy differentiates in a gradient step, through
d3rlpy's own methods, in d3rlpy's own module modes, and returns the scalar with its
graph. Wrapped by :func:`without_side_effects`, nothing of the agent changes.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from d3rlpy.models.torch import compute_vae_error
from d3rlpy.torch_utility import TorchMiniBatch, TorchTrajectoryMiniBatch
from torch import Tensor

from offline_prune.agents.network import Batch, Loss
from offline_prune.base.module_modes import preserved_modes

__all__ = [
    "actor_loss",
    "bear_vae_loss",
    "behavior_cloning_loss",
    "continuous_critic_loss",
    "discrete_actor_loss",
    "discrete_critic_loss",
    "residual_actor_loss",
    "sequence_actor_loss",
    "sequence_critic_loss",
    "sequence_loss",
    "soft_critic_loss",
    "vae_loss",
    "without_side_effects",
]

# Dual variables that CQL, SAC and BEAR step inside their loss functions. Without their
# optimizers the same functions return the same losses and step nothing.
_DUAL_OPTIMIZERS = ("temp_optim", "alpha_optim")


@contextmanager
def _preserved(impl: Any) -> Iterator[None]:
    """Leave modules, buffers, modes, dual optimizers and random states as they were."""
    modules = impl.modules
    torch_modules = list(modules.get_torch_modules().values())
    buffers = [(b, b.clone()) for top in torch_modules for b in top.buffers()]
    duals = {name: None for name in _DUAL_OPTIMIZERS if hasattr(modules, name)}
    cuda = [impl.device] if impl.device.startswith("cuda") else []
    with torch.random.fork_rng(devices=cuda), preserved_modes(*torch_modules):
        impl._modules = dataclasses.replace(modules, **duals)
        try:
            yield
        finally:
            impl._modules = modules
            for buffer, before in buffers:
                # Through .data: autograd must not take this for a change of what batch
                # normalisation saved; training mode reads no running statistics back.
                buffer.data.copy_(before)


def without_side_effects(raw: Callable[[Any, Batch], Tensor], impl: Any) -> Loss:
    """Bind a loss to an agent so that evaluating it changes nothing.

    Parameters, buffers, optimizer states, module modes and the random state are
    bit-identical before and after; the noise a loss draws therefore depends on the
    random state at the call alone, and the same state gives the same value.

    Args:
        raw: One of this module's functions.
        impl: d3rlpy's implementation object of the built algorithm.

    Returns:
        Mini-batch → scalar loss.
    """

    @functools.wraps(raw)
    def loss(batch: Batch) -> Tensor:
        with _preserved(impl):
            impl.modules.set_train()  # d3rlpy's mode at the start of every update
            return raw(impl, batch)

    return loss


def behavior_cloning_loss(impl: Any, batch: TorchMiniBatch) -> Tensor:
    """BC and discrete BC: imitation loss of the policy on the data's actions."""
    loss: Tensor = impl.compute_loss(batch.observations, batch.actions).loss
    return loss


def continuous_critic_loss(impl: Any, batch: TorchMiniBatch) -> Tensor:
    """TD loss summed over the critics against the frozen bootstrap target.

    With CQL's conservative term, and with IQL's value loss added (``q_loss + v_loss``):
    what the critic optimizer of the algorithm steps on.
    """
    target = impl.compute_target(batch)
    loss: Tensor = impl.compute_critic_loss(batch, target).critic_loss
    return loss


def discrete_critic_loss(impl: Any, batch: TorchMiniBatch) -> Tensor:
    """The one loss of the DQN family: TD, CQL's regulariser, BCQ's imitation term."""
    target = impl.compute_target(batch)
    loss: Tensor = impl.compute_loss(batch, target).loss
    return loss


def actor_loss(impl: Any, batch: TorchMiniBatch) -> Tensor:
    """Policy loss of algorithms with continuous actions; critics are in evaluation mode."""
    impl.modules.q_funcs.eval()
    action = impl.modules.policy(batch.observations)
    loss: Tensor = impl.compute_actor_loss(batch, action).actor_loss
    return loss


def discrete_actor_loss(impl: Any, batch: TorchMiniBatch) -> Tensor:
    """Discrete SAC: expected entropy-regularised loss; critics are in evaluation mode."""
    impl.modules.q_funcs.eval()
    loss: Tensor = impl.compute_actor_loss(batch)["loss"]
    return loss


def soft_critic_loss(impl: Any, batch: TorchMiniBatch) -> Tensor:
    """Discrete SAC: TD loss summed over the critics against the frozen soft target."""
    loss: Tensor = impl.compute_critic_loss(batch, impl.compute_target(batch))
    return loss


def residual_actor_loss(impl: Any, batch: TorchMiniBatch) -> Tensor:
    """BCQ: the policy perturbs an action sampled from the VAE's decoder.

    The latent is standard normal noise of shape (B, 2·A), clipped to ±0.5.
    """
    modules: Any = impl.modules
    modules.q_funcs.eval()
    latent = torch.randn(batch.actions.shape[0], 2 * impl.action_size, device=impl.device).clamp(
        -0.5, 0.5
    )
    sampled = modules.vae_decoder(x=batch.observations, latent=latent)
    action = modules.policy(batch.observations, sampled)
    loss: Tensor = impl.compute_actor_loss(batch, action).actor_loss
    return loss


def vae_loss(impl: Any, batch: TorchMiniBatch) -> Tensor:
    """BCQ's and PLAS's imitator: reconstruction error of the action plus β times the KL term."""
    modules: Any = impl.modules
    loss: Tensor = compute_vae_error(
        vae_encoder=modules.vae_encoder,
        vae_decoder=modules.vae_decoder,
        x=batch.observations,
        action=batch.actions,
        beta=impl._beta,
    )
    return loss


def bear_vae_loss(impl: Any, batch: TorchMiniBatch) -> Tensor:
    """BEAR's imitator: the same as BCQ's, with its own weight of the KL term."""
    loss: Tensor = impl.compute_imitator_loss(batch)
    return loss


def sequence_loss(impl: Any, batch: TorchTrajectoryMiniBatch) -> Tensor:
    """Decision transformers: error of the actions that follow each step of the past."""
    loss: Tensor = impl.compute_loss(batch)
    return loss


def sequence_actor_loss(impl: Any, batch: TorchTrajectoryMiniBatch) -> Tensor:
    """TACR: imitation loss of the transformer plus what its critics think of its actions."""
    loss: Tensor = impl.compute_actor_loss(batch)
    return loss


def sequence_critic_loss(impl: Any, batch: TorchTrajectoryMiniBatch) -> Tensor:
    """TACR: TD loss summed over the critics, padded steps left out.

    The bootstrap target is frozen; its next actions are the transformer's.
    """
    transitions, masks = batch.to_transition_batch()
    target = impl.compute_target(batch, transitions)
    loss: Tensor = impl.compute_critic_loss(transitions, target, masks)
    return loss
