"""Masks whose pruned weights may come back, and the engine that follows them."""

import copy

import pytest
import torch

from offline_prune.engines import RegrowingEngine, make_following_engine
from offline_prune.engines.sparse_mlp import SparseMLP
from offline_prune.errors import MaskError
from offline_prune.masks.build import mask_from_kept
from offline_prune.masks.parameterization import Parameterization
from tests.worlds import agent, dataset

KIND = "vector-continuous"


def random_mask(subject, density=0.3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return mask_from_kept(
        subject,
        {n: torch.rand(w.shape, generator=generator) < density for n, w in subject.weights.items()},
    )


def step(subject):
    subject.algo.update(dataset(KIND).buffer.sample_transition_batch(16))


def held(regrowth, algo="iql"):
    subject = agent(KIND, algo)
    engine = RegrowingEngine(subject)
    engine.attach(random_mask(subject), regrowth)
    return subject, engine


@pytest.mark.parametrize("regrowth", ["at_updates", "any_step"])
def test_nothing_is_left_after_detach(regrowth):
    subject, engine = held(regrowth)
    mask = engine.mask
    step(subject)
    engine.verify()
    engine.detach()
    assert engine.mask is None
    assert not engine.gradients()
    for name, weight in subject.weights.items():
        assert not weight[~mask.nominal[name]].any()
        assert not weight._post_accumulate_grad_hooks
    for optimizer in (
        subject.algo.impl.modules.actor_optim,
        subject.algo.impl.modules.critic_optim,
    ):
        assert not optimizer.optim._optimizer_step_post_hooks
    step(subject)
    assert any(w[~mask.nominal[n]].any() for n, w in subject.weights.items())


@pytest.mark.parametrize("regrowth", ["at_updates", "any_step"])
def test_steps_follow_the_mask_in_force(regrowth):
    """Adam's first step is the learning rate: of kept weights times the factor of their layer."""
    subject = agent(KIND, "bc")
    engine = RegrowingEngine(subject, Parameterization(cap=100.0))
    engine.attach(random_mask(subject, density=0.5), regrowth)
    engine.update(random_mask(subject, density=0.25))
    factors = Parameterization(cap=100.0).step_factors(engine.mask.nominal, engine.mask.roles)
    before = {n: w.detach().clone() for n, w in subject.weights.items()}
    step(subject)
    for name, weight in subject.weights.items():
        assert not weight[~engine.mask.nominal[name]].any()
        moved = (weight.detach() - before[name])[engine.mask.nominal[name]].abs().max()
        assert moved == pytest.approx(1e-3 * float(factors[name].max()), rel=1e-2)


def test_units_without_inputs_stay():
    """The nominal mask is held: nothing is folded, no kept weight is given up."""
    subject = agent(KIND, "bc")
    kept = {n: torch.ones(w.shape, dtype=torch.bool) for n, w in subject.weights.items()}
    first, second = list(kept)[:2]
    kept[first][3] = False
    mask = mask_from_kept(subject, kept)
    assert not mask.connected[second][:, 3].any()
    before = subject.weights[second].detach().clone()
    RegrowingEngine(subject).attach(mask)
    assert torch.equal(subject.weights[second], before)
    for name in ("masked", "auto", "compact", "sparse"):
        other = agent(KIND, "bc")
        engine = make_following_engine(name, other)
        engine.attach(mask, "at_updates")
        assert torch.equal(engine.weights()[second], before)


def test_gradients_are_dense_and_weights_do_not_move():
    subject, engine = held("at_updates")
    assert not engine.gradients()
    step(subject)
    found = engine.gradients()
    assert found.keys() == subject.weights.keys()
    assert any(bool(found[n][~engine.mask.nominal[n]].any()) for n in found)
    for name, weight in subject.weights.items():
        assert not weight.grad[~engine.mask.nominal[name]].any()


def test_unmasked_weights_are_what_the_optimizer_made():
    subject, engine = held("any_step", "bc")
    reference = copy.deepcopy(subject.algo)
    step_batch = dataset(KIND).buffer.sample_transition_batch(16)
    subject.algo.update(step_batch)
    reference.update(step_batch)  # a copy has no hooks on its optimizer's step
    found = engine.unmasked()
    names = dict(reference.impl.modules.imitator.named_parameters())
    for name in subject.weights:
        torch.testing.assert_close(found[name], names[name.removeprefix("imitator.")].detach())


def test_a_new_mask_takes_weights_back_with_their_value():
    subject, engine = held("any_step")
    for _ in range(3):
        step(subject)
    values = {n: v.clone() for n, v in engine.unmasked().items()}
    engine.update(random_mask(subject, 0.5, seed=1))
    for name, weight in subject.weights.items():
        kept = engine.mask.nominal[name]
        assert torch.equal(weight[kept], values[name][kept])
        assert not weight[~kept].any()


def test_misuse_is_noticed():
    subject, engine = held("at_updates")
    with pytest.raises(MaskError, match="attached already"):
        engine.attach(random_mask(subject))
    with torch.no_grad():
        next(iter(subject.weights.values())).fill_(1.0)
    with pytest.raises(MaskError, match="not zero"):
        engine.verify()
    engine.detach()
    with pytest.raises(MaskError, match="attach"):
        engine.verify()
    with pytest.raises(MaskError, match="does not fit"):
        engine.attach(random_mask(agent(KIND, "bc")))
    subject, engine = held("at_updates")
    subject.algo.create_impl((5,), 2)
    with pytest.raises(MaskError, match="anew"):
        engine.verify()


def test_the_engine_that_holds_follows_from_what_may_return():
    subject = agent(KIND, "iql")
    engine = make_following_engine("sparse", subject)
    policy = subject.algo.impl.modules.policy

    def is_sparse():
        return isinstance(policy._encoder, SparseMLP)

    mask = random_mask(subject)
    engine.attach(mask, "any_step")
    assert not is_sparse()
    step(subject)
    assert engine.unmasked().keys() == subject.weights.keys()
    engine.update(mask, "at_updates")
    assert is_sparse()
    step(subject)
    engine.update(mask, "at_next_update")
    assert not is_sparse()
    step(subject)
    assert engine.gradients()
    engine.update(mask, "never")
    assert is_sparse()
    step(subject)
    engine.verify()
    with pytest.raises(MaskError, match="update"):
        engine.attach(mask)
    engine.detach()
    for name, weight in subject.weights.items():
        assert not weight[~mask.connected[name]].any()


@pytest.mark.parametrize("name", ["compact", "sparse", "auto"])
@pytest.mark.parametrize("algo", ["bc", "iql", "cql", "bcq", "td3_plus_bc"])
def test_keeping_units_the_compact_engine_follows_the_regrowing_one(name, algo):
    def run(engine_name):
        torch.manual_seed(0)
        subject = agent(KIND, algo)
        engine = make_following_engine(engine_name, subject)
        engine.attach(random_mask(subject, 0.1), "at_updates")
        for i in range(6):
            torch.manual_seed(i)
            subject.algo.update(dataset(KIND).buffer.batch_at(torch.arange(16).numpy() + i))
            if i == 2:
                engine.update(random_mask(subject, 0.1, seed=1), "at_updates")
        engine.verify()
        weights = {n: w.clone() for n, w in engine.weights().items()}
        targets = {n: w.clone() for n, w in engine.targets().items()}
        engine.detach()
        return weights, targets

    for expected, found in zip(run("masked"), run(name), strict=True):
        for n, weight in expected.items():
            torch.testing.assert_close(found[n], weight, atol=1e-5, rtol=1e-4, msg=n)
