"""Losses out of training functions."""

import pytest
import torch
from torch import nn

from offline_prune.errors import AlgorithmError
from offline_prune.hosts.captured_loss import captured_loss


def two_steps(first, second, optimizers, x):
    """A training function: two losses, the second of both networks."""
    for optimizer, loss in zip(
        optimizers, (lambda: first(x).square().mean(), lambda: second(first(x)).mean()), strict=True
    ):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()


@pytest.fixture
def world():
    torch.manual_seed(0)
    first, second = nn.Linear(3, 3), nn.Linear(3, 1)
    optimizers = [torch.optim.Adam(m.parameters()) for m in (first, second)]
    return first, second, optimizers, torch.randn(5, 3)


def test_the_loss_is_the_one_that_the_optimizer_steps_on(world):
    first, second, optimizers, x = world
    losses = [captured_loss(lambda: two_steps(*world), optimizers, wanted) for wanted in optimizers]
    assert torch.equal(losses[0], first(x).square().mean())
    assert torch.equal(losses[1], second(first(x)).mean())
    assert torch.autograd.grad(losses[1], first.weight)[0].abs().sum() > 0  # it has its graph


def test_nothing_is_stepped_and_gradients_stay(world):
    first, _, optimizers, _ = world
    first.weight.grad = torch.ones_like(first.weight)
    before = [p.clone() for o in optimizers for g in o.param_groups for p in g["params"]]
    captured_loss(lambda: two_steps(*world), optimizers, optimizers[1])
    after = [p for o in optimizers for g in o.param_groups for p in g["params"]]
    assert all(map(torch.equal, before, after))
    assert first.weight.grad.eq(1).all()
    two_steps(*world)  # and it trains as ever afterwards
    assert not torch.equal(before[0], after[0])


def test_training_without_such_a_loss_is_an_error(world):
    with pytest.raises(AlgorithmError, match="without a loss"):
        captured_loss(lambda: None, world[2], world[2][0])
