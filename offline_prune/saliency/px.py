"""PX, path exclusion: SynFlow on squared weights, outputs weighed by what the data activate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from d3rlpy.models.torch import VAEDecoder
from d3rlpy.torch_utility import TorchMiniBatch
from torch import Tensor, nn

from offline_prune.agents.agent import Agent
from offline_prune.agents.topology import Chain
from offline_prune.base.module_modes import preserved_modes
from offline_prune.errors import AlgorithmError
from offline_prune.ofenet.encoder import OFENetReader
from offline_prune.saliency.flow import by_network, flow_shares, layer_input, layer_output
from offline_prune.saliency.objective import Scores

__all__ = ["check_paths", "px"]

# Behind a layer these leave a unit's path whole; with ReLU it is open or closed.
_PATHS_PASS = (nn.ReLU, nn.Identity, nn.Dropout, nn.Dropout2d, nn.BatchNorm1d, nn.BatchNorm2d)


def px(agent: Agent, batches: Sequence[TorchMiniBatch], seed: int = 0) -> dict[str, Scores]:
    """Score a weight by its part in a bound on the trace of the neural tangent kernel.

    Formula: ``score = w² · |∂R/∂(w²)|`` with ``R = Σ_k z₁ₖ z₂ₖ`` over all head outputs k,
    before they are squashed. z₁ is what the data let through: the outputs of the stack
    whose weights are all 1 (0 where pruned), on the squared inputs, every unit closed where
    its ReLU is on this transition, mean over the transitions. z₂ are the outputs of the
    linear stack with weights w² on inputs of ones. Biases and batch normalisation count for
    which ReLUs are open alone.

    The scores of every layer add up to the same, so no layer empties where weights go in
    rounds: :class:`~offline_prune.methods.path_exclusion.PathExclusion`. The authors' code
    squares the derivative besides, which would break this.

    Scores are divided by R, which changes no ranking within a stack
    (:func:`~offline_prune.saliency.flow.shares`). Where the data open no path at all, every
    z₁ is 1.
    **The data weigh outputs against one another, nothing else**: for a stack with one output
    (a critic of continuous actions, a value function), and in the first round for every
    stack, the scores are those of SynFlow on squared weights, whatever the data.

    Inputs are scaled as the algorithm scales them. Critics and BCQ's policy see the
    observation and the action of the data, a VAE's decoder the observation and a latent
    drawn from its prior.

    Args:
        agent: The agent; its weights as they are now, pruned ones zero.
        batches: Of the dataset (:func:`~offline_prune.saliency.scoring.draw_batches`).
        seed: Of the latents.

    Returns:
        Role → weight name → non-negative float64 score of the weight's shape.

    Raises:
        AlgorithmError: If the wiring of a network is not known, or its activations are
            not ReLU.

    References:
        Iurada, Ciccone, Tommasi 2024, arXiv 2406.01820.
    """
    check_paths(agent)
    squared = {name: weight.detach().double().square() for name, weight in agent.weights.items()}
    return flow_shares(agent, squared, "PX", lambda chain: _readout(chain, batches, seed))


def check_paths(agent: Agent) -> None:
    """Check that every network is a stack of layers with ReLU.

    Args:
        agent: The agent.

    Raises:
        AlgorithmError: If one is not.
    """
    by_network(agent, {n: agent.weights[n] for c in agent.chains for n in c.weight_names}, "PX")
    for chain in agent.chains:
        name = chain.weight_names[0]
        if any(isinstance(_encoder(owner), OFENetReader) for owner in chain.owners):
            raise AlgorithmError(
                f"PX follows paths from the observation on; {name!r} reads an OFENet's features."
                " Use a method that scores on a loss, such as snip."
            )
        for module in [module for stage in chain.stages for module in stage.after]:
            if not isinstance(module, _PATHS_PASS):
                raise AlgorithmError(
                    f"PX follows paths that ReLUs open or close; the network of {name!r} has"
                    f" {type(module).__name__}. Use synflow, which looks at no activation,"
                    " or a method that scores on a loss, such as snip."
                )


def _readout(chain: Chain, batches: Sequence[TorchMiniBatch], seed: int) -> Tensor | None:
    """z₁ of every output; None where all may as well be 1."""
    if sum(layer.module.weight.shape[0] for layer in chain.stages[-1].layers) == 1:
        return None
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad(), _evaluating(chain):
        found = torch.stack([_open_paths(chain, batch, generator) for batch in batches])
    return found.mean(dim=0) if bool(found.any()) else None


def _open_paths(chain: Chain, batch: TorchMiniBatch, generator: torch.Generator) -> Tensor:
    """z₁ on one mini-batch: squared inputs times open paths to every output."""
    h, joining = batch.observations, _joining(chain, batch, generator)
    flowing, joining_flow = h.double().square(), joining.double().square()
    for stage in chain.stages:
        modules = [layer.module for layer in stage.layers]
        read = layer_input(modules[0], h, joining)
        flow_read = layer_input(modules[0], flowing, joining_flow)
        h = torch.cat([module(read) for module in modules], dim=1)
        ones = [(module.weight != 0).double() for module in modules]
        flowing = torch.cat(
            [layer_output(m, one, flow_read) for m, one in zip(modules, ones, strict=True)], dim=1
        )
        for module in stage.after:
            h = module(h)
            if isinstance(module, nn.ReLU):
                flowing = flowing * (h > 0)
    open_paths: Tensor = flowing.mean(dim=0)
    return open_paths


def _joining(chain: Chain, batch: TorchMiniBatch, generator: torch.Generator) -> Tensor:
    """What a network reads beside the observation: the action, or a latent."""
    owner, encoder = chain.owners[0], _encoder(chain.owners[0])
    x: Tensor = batch.observations
    actions: Tensor = batch.actions
    if isinstance(owner, VAEDecoder):  # its latent stands where others have the action
        actions = torch.randn(len(x), encoder._action_size, generator=generator)
    return actions.to(x)


def _encoder(owner: nn.Module) -> Any:
    return owner._encoder


@contextmanager
def _evaluating(chain: Chain) -> Iterator[None]:
    """Dropout and batch normalisation as in evaluation: nothing is drawn, nothing moves."""
    modules = [module for stage in chain.stages for module in stage.after]
    with preserved_modes(*modules):
        for module in modules:
            module.eval()
        yield
