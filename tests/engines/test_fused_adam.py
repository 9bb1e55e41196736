"""A step by the kernel alone is torch's own fused step, bit for bit."""

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW
from torch.optim.lr_scheduler import ExponentialLR
from torch.optim.optimizer import register_optimizer_step_post_hook

from offline_prune.engines.fused_adam import FusedAdam
from tests.engines.test_compact import held, random_mask, step

FORMS = {
    "adam": lambda p: Adam(p, 1e-2, fused=True),
    "adam with decay": lambda p: Adam(p, 1e-2, weight_decay=0.1, fused=True),
    "adamw": lambda p: AdamW(p, 1e-2, weight_decay=0.1, fused=True),
    "maximize": lambda p: Adam(p, 1e-2, maximize=True, fused=True),
    "amsgrad": lambda p: AdamW(p, 1e-2, amsgrad=True, fused=True),
    "groups": lambda p: AdamW(
        [{"params": p[:1], "weight_decay": 0.1}, {"params": p[1:], "lr": 1e-3}], 1e-2, fused=True
    ),
}


def weights():
    generator = torch.Generator().manual_seed(0)
    return [nn.Parameter(torch.randn(n, generator=generator)) for n in (33, 7)]


def backward(parameters, i):
    """Linear losses: the gradient of step i is the same whatever happened before it."""
    generator = torch.Generator().manual_seed(i)
    losses = [(p * torch.randn(p.shape, generator=generator)).sum() for p in parameters]
    sum(losses).backward()


def trained(make, stands_in, n_steps=8, each=lambda optimizer, parameters, i: None):
    """Parameters and optimizer after some steps."""
    parameters = weights()
    optimizer = make(parameters)
    if stands_in:
        assert FusedAdam.of(optimizer) is not None
    for i in range(n_steps):
        optimizer.zero_grad(set_to_none=False)
        backward(parameters, i)
        each(optimizer, parameters, i)
        optimizer.step()
    return parameters, optimizer


def assert_same(make, **options):
    ours, theirs = (trained(make, stands_in, **options) for stands_in in (True, False))
    assert all(torch.equal(a, b) for a, b in zip(ours[0], theirs[0], strict=True))
    states = [optimizer.state_dict()["state"] for _, optimizer in (ours, theirs)]
    assert states[0].keys() == states[1].keys()
    for i, state in states[1].items():
        assert state.keys() == states[0][i].keys()
        assert all(torch.equal(states[0][i][key], value) for key, value in state.items())


def is_torchs(optimizer):
    """Whether torch's own step runs: it tells a profiler."""
    with torch.autograd.profiler.profile() as profile:
        optimizer.step()
    return any("Optimizer.step" in event.key for event in profile.key_averages())


@pytest.mark.parametrize("form", FORMS)
def test_same_bits_as_torchs_own_step(form):
    assert_same(FORMS[form])


def test_the_kernel_alone_runs():
    _, optimizer = trained(FORMS["adam"], True)
    assert not is_torchs(optimizer)


def test_rates_that_change_at_every_step():
    def change(optimizer, parameters, i):
        optimizer.param_groups[0]["lr"] = 1e-2 / (i + 1)

    assert_same(FORMS["adamw"], each=change)


def test_a_parameter_without_gradient_is_skipped():
    def forget(optimizer, parameters, i):
        if i % 3 == 1:
            parameters[1].grad = None

    assert_same(FORMS["adam with decay"], each=forget)


def test_state_that_is_loaded_or_reset_meanwhile():
    def reload(optimizer, parameters, i):
        if i == 3:
            optimizer.load_state_dict(optimizer.state_dict())
        if i == 5:
            optimizer.state.clear()

    assert_same(FORMS["adam"], each=reload)


def test_hooks_run_as_torchs():
    def called(stands_in):
        parameters, optimizer = trained(FORMS["adam"], stands_in, n_steps=2)
        found = []
        for register in (optimizer.register_step_pre_hook, optimizer.register_step_post_hook):
            register(
                lambda first, args, kwargs: found.append(
                    (first is optimizer, args == (optimizer,), kwargs, parameters[0].tolist())
                )
            )
        optimizer.step()
        return found

    ours = called(True)
    assert ours == called(False)
    assert ours[0] != ours[1]  # before the step and after it


def test_a_hook_may_give_a_closure():
    def give(optimizer, parameters, i):
        if i == 2:
            optimizer.register_step_pre_hook(lambda o, args, kwargs: ((o, lambda: 3.0), kwargs))

    assert_same(FORMS["adam"], each=give)
    _, optimizer = trained(FORMS["adam"], True, each=give)
    assert optimizer.step() == 3.0


def test_hooks_on_all_optimizers_run():
    _, optimizer = trained(FORMS["adam"], True)
    found = []
    handle = register_optimizer_step_post_hook(lambda o, args, kwargs: found.append(o))
    try:
        optimizer.step()
    finally:
        handle.remove()
    assert found == [optimizer]


@pytest.mark.parametrize("first", ["schedule", "kernel"])
def test_schedules_warn_of_nothing_and_find_the_rate(first):
    parameters = weights()
    optimizer = FORMS["adam"](parameters)
    backward(parameters, 0)
    optimizer.step()  # the state is there
    made = None if first == "schedule" else FusedAdam.of(optimizer)
    schedule = ExponentialLR(optimizer, 0.5)
    made = made or FusedAdam.of(optimizer)
    optimizer.step()
    schedule.step()
    assert optimizer.param_groups[0]["lr"] == 5e-3
    made.undo()
    optimizer.step()
    schedule.step()
    assert is_torchs(optimizer)


def test_gradients_are_zeroed_in_place_or_forgotten():
    parameters, optimizer = trained(FORMS["adam"], True)
    gradient = parameters[0].grad
    assert gradient.any()
    optimizer.zero_grad(set_to_none=False)
    assert parameters[0].grad is gradient
    assert not gradient.any()
    optimizer.zero_grad()
    assert parameters[0].grad is None
    optimizer.zero_grad(set_to_none=False)  # nothing to do


def test_undone_the_methods_are_torchs():
    optimizer = FORMS["adam"](weights())
    before = dict(vars(optimizer))
    FusedAdam.of(optimizer).undo()
    assert vars(optimizer) == before


@pytest.mark.parametrize(
    "make",
    [
        lambda p: SGD(p, 1e-2, fused=True),
        lambda p: Adam(p),
        lambda p: type("Own", (Adam,), {})(p, fused=True),
    ],
    ids=["sgd", "not fused", "a subclass"],
)
def test_other_optimizers_are_left_alone(make):
    optimizer = make(weights())
    before = dict(vars(optimizer))
    assert FusedAdam.of(optimizer) is None
    assert vars(optimizer) == before


def test_compact_agents_step_so_and_let_go():
    subject, engine = held("td3_plus_bc")
    optimizer = subject.algo.impl.modules.critic_optim.optim
    step(subject)
    assert not is_torchs(optimizer)
    engine.update(random_mask(subject, seed=1))
    assert not is_torchs(optimizer)
    engine.detach()
    assert not {"step", "zero_grad"} & vars(optimizer).keys()
    assert is_torchs(optimizer)
