"""Each network's loss is the one d3rlpy trains it with, and evaluating it is harmless."""

import copy
import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from offline_prune.saliency import SALIENCIES, score_networks
from tests.worlds import CASES, FURTHER, SEQUENCES, agent, batch, dataset


def snapshot(algo):
    """Everything that scoring might disturb, as bytes and tensors."""
    modules = algo.impl.modules
    tensors = {}
    for field, module in modules.get_torch_modules().items():
        tensors |= {f"{field}.{n}": t.clone() for n, t in module.state_dict().items()}
        tensors |= {
            f"{field}.{n}.grad": None if p.grad is None else p.grad.clone()
            for n, p in module.named_parameters()
        }
    optimizers = {
        name: copy.deepcopy(value.state_dict())
        for name, value in vars(modules).items()
        if hasattr(value, "optim")
    }
    modes = [m.training for t in modules.get_torch_modules().values() for m in t.modules()]
    return {
        "tensors": tensors,
        "optimizers": optimizers,
        "modes": modes,
        "modules": id(modules),
        "torch": torch.get_rng_state(),
        "numpy": np.random.get_state()[1].tolist(),
        "python": random.getstate(),
    }


def assert_same(a, b, where=""):
    if isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_same(a[key], b[key], f"{where}/{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f"{where}/{i}")
    elif isinstance(a, torch.Tensor):
        assert torch.equal(a, b), where
    else:
        assert a == b, where


def trained(kind, algo, steps=3):
    """An agent with optimizer states and gradients in place."""
    found = agent(kind, algo)
    for _ in range(steps):
        found.algo.update(batch(kind, algo))
    return found


@pytest.mark.parametrize("saliency", SALIENCIES)
@pytest.mark.parametrize(("kind", "algo"), [*CASES, *FURTHER, *SEQUENCES])
def test_scoring_changes_nothing(kind, algo, saliency):
    subject = trained(kind, algo)
    before = snapshot(subject.algo)
    score_networks(subject, dataset(kind), SALIENCIES[saliency], n_batches=2, seed=3)
    assert_same(before, snapshot(subject.algo))


# What d3rlpy itself calls to fill the gradients of each network.
GRADIENTS = {
    "actor": ("compute_actor_grad", "compute_imitator_grad", "compute_grad"),
    "critic": ("compute_critic_grad", "compute_grad"),
    "value": ("compute_critic_grad",),
    "imitator": ("compute_imitator_grad", "compute_grad"),
    "perturbation": ("compute_actor_grad",),
}


@pytest.mark.parametrize(("kind", "algo"), [*CASES, *FURTHER, *SEQUENCES])
def test_gradients_are_those_of_d3rlpy(kind, algo):
    subject = trained(kind, algo)
    impl = subject.algo.impl
    (batch,) = subject.host.draw_batches(dataset(kind), 1, seed=0)
    for network in subject.networks:
        torch.manual_seed(5)
        found = torch.autograd.grad(network.loss(batch), list(network.weights.values()))
        # CQL and SAC step a dual variable before they use it: switch that off, for it
        # is the one thing that scoring leaves out.
        reference = copy.deepcopy(impl)
        for name in ("temp_optim", "alpha_optim"):
            if hasattr(reference.modules, name):
                object.__setattr__(reference.modules, name, None)
        reference.modules.set_train()
        names = GRADIENTS[network.role.partition("[")[0]]
        method = next(n for n in names if hasattr(reference, n))
        if method == "compute_actor_grad":
            reference.modules.q_funcs.eval()
        for module in reference.modules.get_torch_modules().values():
            module.zero_grad()
        torch.manual_seed(5)
        getattr(reference, f"{method}")(batch)
        twins = {}
        for field, module in reference.modules.get_torch_modules().items():
            twins |= {f"{field}.{n}": p for n, p in module.named_parameters()}
        for name, gradient in zip(network.weights, found, strict=True):
            assert torch.equal(gradient, twins[name].grad), (network.role, name)


@pytest.mark.parametrize(("kind", "algo"), [*CASES, *FURTHER, *SEQUENCES])
def test_the_same_random_state_gives_the_same_loss(kind, algo):
    subject = agent(kind, algo)
    (batch,) = subject.host.draw_batches(dataset(kind), 1, seed=0)
    for network in subject.networks:
        first = network.loss(batch)
        assert first.dim() == 0
        assert first.requires_grad
        assert torch.equal(first, network.loss(batch))


def test_the_critics_scores_do_not_change_when_the_actors_loss_is_computed_too():
    subject = trained("vector-continuous", "td3_plus_bc")
    data = dataset("vector-continuous")
    both = score_networks(subject, data, SALIENCIES["snip"], n_batches=1)
    critics = tuple(n for n in subject.networks if n.role.startswith("critic"))
    alone = replace(subject, networks=critics, target_chains=())
    only = score_networks(alone, data, SALIENCIES["snip"], n_batches=1)
    assert list(only) == ["critic[0]", "critic[1]"]
    for role, scores in only.items():
        for name, score in scores.items():
            assert torch.equal(score, both[role][name])


def test_batch_normalisation_statistics_survive_scoring():
    import d3rlpy

    config = d3rlpy.algos.IQLConfig(
        batch_size=16,
        actor_encoder_factory=d3rlpy.models.VectorEncoderFactory([8], use_batch_norm=True),
    )
    from offline_prune.agents import build_agent

    data = dataset("vector-continuous")
    subject = build_agent(data, config).agent
    before = snapshot(subject.algo)
    score_networks(subject, data, SALIENCIES["grasp"], n_batches=2)
    assert_same(before, snapshot(subject.algo))
