import copy
import pickle

import d3rlpy
import pytest
import torch

from offline_prune import Agent, MaskedEngine, prune
from offline_prune.errors import MaskError
from offline_prune.masks.build import mask_from_kept
from tests.worlds import agent, dataset, params


def step(subject, kind="vector-continuous"):
    subject.algo.update(dataset(kind).buffer.sample_transition_batch(16))


def pruned(algo="iql", kind="vector-continuous", sparsity=0.8):
    return prune(dataset(kind), algo, sparsity, engine="masked", algo_params=params(kind, algo))


def test_detach_leaves_plain_weights_with_exact_zeros():
    subject, mask = pruned()
    step(subject)
    subject.engine.detach()
    assert subject.engine.mask is None
    for name, weight in subject.weights.items():
        assert not weight._post_accumulate_grad_hooks
        assert not weight[~mask.connected[name]].any()
    step(subject)  # no longer held: pruned weights grow again
    assert any(w[~mask.connected[n]].any() for n, w in subject.weights.items())


def test_verify_passes_while_held():
    subject, _ = pruned()
    for _ in range(3):
        step(subject)
        subject.engine.verify()


def test_verify_notices_lost_hooks():
    subject, _ = pruned()
    next(iter(subject.weights.values()))._post_accumulate_grad_hooks.clear()
    with pytest.raises(MaskError, match="hook"):
        subject.engine.verify()


def test_verify_notices_overwritten_weights():
    subject, _ = pruned()
    other = agent("vector-continuous", "iql", seed=1).algo
    subject.algo.copy_policy_from(other)
    with pytest.raises(MaskError, match="not zero"):
        subject.engine.verify()


def test_verify_notices_rebuilt_networks():
    subject, _ = pruned()
    subject.algo.create_impl((5,), 2)
    with pytest.raises(MaskError, match="anew"):
        subject.engine.verify()


def test_verify_notices_an_overwritten_target():
    subject, mask = pruned()
    name, target = next(iter(subject.targets.items()))
    with torch.no_grad():
        target[~mask.connected[name]] = 1.0
    with pytest.raises(MaskError, match="target"):
        subject.engine.verify()


def test_verify_without_a_mask():
    with pytest.raises(MaskError, match="attach"):
        MaskedEngine(agent("vector-continuous", "bc")).verify()


def test_a_copy_is_held_again_by_a_new_engine():
    """deepcopy and pickle drop hooks in silence."""
    subject, mask = pruned("bc")
    for clone in (copy.deepcopy(subject.algo), pickle.loads(pickle.dumps(subject.algo))):
        again = Agent.of(clone)
        assert not any(w._post_accumulate_grad_hooks for w in again.weights.values())
        engine = MaskedEngine(again)
        engine.attach(mask)
        step(again)
        engine.verify()


def test_attaching_to_a_trained_agent_clears_moments_and_targets():
    subject = agent("vector-continuous", "iql")
    for _ in range(4):
        step(subject)
    kept = {n: torch.rand(w.shape) < 0.3 for n, w in subject.weights.items()}
    mask = mask_from_kept(subject, kept)
    MaskedEngine(subject).attach(mask)
    for name, weight in subject.weights.items():
        gone = ~mask.connected[name]
        assert not weight[gone].any()
        if name in subject.targets:
            assert not subject.targets[name][gone].any()
        for optim in ("actor_optim", "critic_optim"):
            state = getattr(subject.algo.impl.modules, optim).optim.state
            if weight in state:
                assert not state[weight]["exp_avg"][gone].any()
                assert not state[weight]["exp_avg_sq"][gone].any()
                assert state[weight]["exp_avg"].any()


def test_a_second_mask_needs_update():
    subject, mask = pruned()
    with pytest.raises(MaskError, match="update"):
        subject.engine.attach(mask)
    kept = {n: torch.rand(w.shape) < 0.5 for n, w in subject.weights.items()}
    other = mask_from_kept(subject, kept)
    subject.engine.update(other)
    step(subject)
    subject.engine.verify()
    assert subject.engine.mask is other


def test_a_mask_of_other_networks_is_refused():
    _, mask = pruned("td3_plus_bc")
    engine = MaskedEngine(agent("vector-continuous", "iql"))
    with pytest.raises(MaskError, match="does not fit"):
        engine.attach(mask)


@pytest.mark.slow
@pytest.mark.parametrize(
    "optimizer",
    [
        d3rlpy.optimizers.AdamWFactory(weight_decay=0.1),
        d3rlpy.optimizers.SGDFactory(momentum=0.9, weight_decay=0.1),
        d3rlpy.optimizers.RMSpropFactory(),
        d3rlpy.optimizers.AdamFactory(clip_grad_norm=0.1, weight_decay=0.1),
    ],
    ids=["AdamW", "SGD", "RMSprop", "Adam with clipping"],
)
def test_zeros_hold_under_any_optimizer(optimizer):
    config = d3rlpy.algos.TD3PlusBCConfig(
        batch_size=16, actor_optim_factory=optimizer, critic_optim_factory=optimizer
    )
    subject, _ = prune(dataset("vector-continuous"), config, 0.9, engine="masked")
    for _ in range(4):
        step(subject)
        subject.engine.verify()


@pytest.mark.slow
def test_clipping_sees_the_masked_gradient():
    """The norm that is clipped must not count gradients of pruned weights."""
    config = d3rlpy.algos.BCConfig(
        batch_size=16, optim_factory=d3rlpy.optimizers.AdamFactory(clip_grad_norm=1e-3)
    )
    subject, mask = prune(dataset("vector-continuous"), config, 0.9, engine="masked")
    step(subject)
    norm = sum(
        float(p.grad.square().sum()) for p in subject.algo.impl.modules.imitator.parameters()
    )
    assert norm**0.5 == pytest.approx(1e-3, rel=1e-3)
    for name, weight in subject.weights.items():
        assert not weight.grad[~mask.connected[name]].any()


def test_a_nan_gradient_does_not_survive_the_mask():
    subject, mask = pruned("bc")
    name, weight = next(iter(subject.weights.items()))
    (weight * torch.full_like(weight, torch.nan)).sum().backward()
    assert not weight.grad[~mask.connected[name]].any()


def test_batch_normalised_networks_train_all_units_that_are_read():
    config = d3rlpy.algos.BCConfig(
        batch_size=16,
        encoder_factory=d3rlpy.models.VectorEncoderFactory([24, 24], use_batch_norm=True),
    )
    subject, mask = prune(
        dataset("vector-continuous"), config, 0.9, method="random", engine="masked"
    )
    first, second, head = mask.nominal.values()
    read = {"second": head.any(dim=0)}
    read["first"] = second[read["second"]].any(dim=0)
    assert not read["second"].all()
    expected = first & read["first"][:, None], second & read["second"][:, None], head
    assert all(map(torch.equal, mask.connected.values(), expected))
    step(subject)
    subject.engine.verify()
