import copy

import numpy as np
import pytest
import torch

from offline_prune.agents.actor_step import ActorStep
from tests.worlds import agent, dataset

ACTOR_CRITICS = ("td3_plus_bc", "iql", "cql", "bcq")


def update(algo, step=0):
    torch.manual_seed(step)
    return algo.update(dataset("vector-continuous").buffer.batch_at(np.arange(16)))


def parameters(algo):
    modules = algo.impl.modules.get_torch_modules()
    return {f"{f}.{n}": p for f, m in modules.items() for n, p in m.named_parameters()}


@pytest.mark.parametrize("algo", ACTOR_CRITICS)
def test_steps_are_the_same_bit_for_bit(algo):
    stock, ours = agent("vector-continuous", algo).algo, agent("vector-continuous", algo).algo
    ActorStep.of(ours)
    for step in range(4):
        assert update(stock, step) == update(ours, step)
    for name, parameter in parameters(stock).items():
        assert torch.equal(parameter, parameters(ours)[name]), name


@pytest.mark.parametrize("algo", ACTOR_CRITICS)
def test_bystanders_get_no_gradient_and_the_actor_and_dual_variables_do(algo):
    subject = agent("vector-continuous", algo).algo
    impl = subject.impl
    batch = {}
    inner = impl._compute_actor_grad

    def look(torch_batch):
        for parameter in parameters(subject).values():
            parameter.grad = None
        found = inner(torch_batch)
        batch.update({n: p.grad is not None for n, p in parameters(subject).items()})
        return found

    impl._compute_actor_grad = look
    step = ActorStep.of(subject)
    update(subject)
    trained = {name.split(".")[0] for name, has_gradient in batch.items() if has_gradient}
    assert "policy" in trained
    assert trained <= {"policy", "log_temp"}
    assert all(p.requires_grad for p in parameters(subject).values())
    step.undo()
    assert impl._compute_actor_grad is look


def test_an_algorithm_without_an_actor_step_has_none():
    assert ActorStep.of(agent("vector-continuous", "bc").algo) is None


def test_a_copy_steps_its_own_networks():
    subject = agent("vector-continuous", "td3_plus_bc").algo
    ActorStep.of(subject)
    clone = copy.deepcopy(subject)
    before = {n: p.clone() for n, p in parameters(subject).items()}
    update(clone)
    assert all(torch.equal(before[n], p) for n, p in parameters(subject).items())
    assert any(not torch.equal(before[n], p) for n, p in parameters(clone).items())
