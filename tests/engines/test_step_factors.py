"""A step times a factor is the step of that learning rate, for every optimizer of d3rlpy."""

import numpy as np
import pytest
import torch
from torch import nn

from offline_prune import prune
from offline_prune.engines.step_factors import lengthen_steps
from tests.engines.test_compact import OPTIMIZERS
from tests.worlds import agent, dataset, params

VECTOR = "vector-continuous"
RATE = 1e-3


def stepped(optimizer, rate, factor=None):
    """A weight after 20 steps towards a moving target, and one beside it without a factor."""
    torch.manual_seed(0)
    module = nn.Linear(3, 2)
    wrapper = OPTIMIZERS[optimizer].create([("layer", module)], rate, compiled=False)
    wrapper._clip_grad_norm = None  # its norm is that of all gradients, whatever their rates

    if factor is not None:
        hooked = lengthen_steps([wrapper], {"weight": module.weight}, {"weight": factor})
        assert len(hooked) == 2
    for i in range(20):
        torch.manual_seed(i)
        wrapper.zero_grad()
        # Linear in the parameters: gradients do not depend on where they are.
        loss = (module.weight * torch.randn(2, 3)).sum() + (module.bias * torch.randn(2)).sum()
        loss.backward()
        wrapper.step()
    return module


@pytest.mark.parametrize("optimizer", [name for name in OPTIMIZERS if "decay" not in name])
def test_a_factor_is_a_learning_rate(optimizer):
    """Weight decay apart: coupled to the weight, it is compared in the next test."""
    found = stepped(optimizer, RATE, torch.tensor([[4.0], [1.0]]))
    longer, plain = stepped(optimizer, 4 * RATE), stepped(optimizer, RATE)
    torch.testing.assert_close(found.weight[0], longer.weight[0], atol=1e-6, rtol=1e-5)
    assert torch.equal(found.weight[1], plain.weight[1])  # a factor of 1 changes no bit
    assert torch.equal(found.bias, plain.bias)


@pytest.mark.parametrize("engine", ["masked", "compact", "sparse"])
def test_layers_that_lose_nothing_step_as_they_did(engine):
    """The actor's steps are longer, the critics' are stock's."""
    subject, _ = prune(
        dataset(VECTOR),
        "td3_plus_bc",
        {"actor": 0.8},
        n_batches=1,
        engine=engine,
        algo_params=params(VECTOR, "td3_plus_bc"),
    )
    stock = agent(VECTOR, "td3_plus_bc")
    before = {n: w.clone() for n, w in subject.engine.weights().items()}
    batch = dataset(VECTOR).buffer.batch_at(np.arange(16))
    for each in (subject, stock):
        torch.manual_seed(0)
        each.algo.update(batch)
    now = subject.engine.weights()
    assert any(not torch.equal(now[n], before[n]) for n in now if n.startswith("policy"))
    for name, weight in stock.weights.items():
        if name.startswith("q_funcs"):
            moved = (weight - before[name]).abs().max()
            assert 0 < moved <= 3e-4 * 1.01  # Adam's first step


def test_undone_factors_are_gone():
    subject, _ = prune(
        dataset(VECTOR), "bc", 0.8, n_batches=1, algo_params=params(VECTOR, "bc"), engine="masked"
    )
    optimizer = subject.algo.impl.modules.optim.optim
    assert optimizer._optimizer_step_pre_hooks
    subject.engine.detach()
    assert not optimizer._optimizer_step_pre_hooks
    assert not optimizer._optimizer_step_post_hooks
