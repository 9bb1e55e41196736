"""The controls do what their names say."""

import dataclasses
import re

import d3rlpy
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from offline_prune import Mask, prune, prune_then_train, score
from offline_prune.agents import build_agent
from offline_prune.data import corruption
from offline_prune.encoders import ImpalaEncoderFactory
from offline_prune.errors import (
    AlgorithmError,
    InputError,
    MaskError,
    SparsityError,
    UnknownNameError,
)
from offline_prune.masks.allocation import kept_count
from offline_prune.masks.build import mask_from_kept
from offline_prune.methods import PruningSettings, SingleShot, make_method
from offline_prune.methods.shuffled import Shuffled
from tests.worlds import CASES, agent, dataset, params

VECTOR = "vector-continuous"


def scored(method, sparsity=0.8, algo="iql", kind=VECTOR, **options):
    return score(
        dataset(kind),
        algo,
        sparsity,
        method=method,
        algo_params=params(kind, algo),
        n_batches=1,
        **options,
    )


class Fixed(SingleShot):
    """A method with a mask of its own."""

    def __init__(self, mask, settings):
        super().__init__(None, settings)
        self.given = mask

    def before_training(self, agent, data):
        return self.given


@given(seed=st.integers(0, 2**31), density=st.floats(0.05, 0.9))
@settings(max_examples=25, deadline=None)
def test_shuffled_keeps_every_layers_count_and_moves_its_weights(seed, density):
    subject = agent(VECTOR, "iql")
    generator = torch.Generator().manual_seed(seed)
    kept = {
        n: torch.rand(w.shape, generator=generator) < density for n, w in subject.weights.items()
    }
    mask = mask_from_kept(subject, kept)
    inner = Fixed(mask, PruningSettings(subject.per_network(0.5), seed=seed))
    shuffled = Shuffled(inner).before_training(subject, None)
    for name, before in mask.nominal.items():
        assert int(shuffled.nominal[name].sum()) == int(before.sum())
    assert mask.jaccard(shuffled) < 1.0


def test_shuffling_is_uniform_over_a_layer():
    """Every entry is kept about as often: a fixed permutation would not be."""
    subject = agent(VECTOR, "bc")
    kept = {n: torch.zeros(w.shape, dtype=torch.bool) for n, w in subject.weights.items()}
    first = next(iter(kept))
    kept[first].view(-1)[:30] = True  # of 120
    mask = mask_from_kept(subject, kept)
    counts = torch.zeros(kept[first].shape)
    for seed in range(400):
        inner = Fixed(mask, PruningSettings(subject.per_network(0.5), seed=seed))
        counts += Shuffled(inner).before_training(subject, None).nominal[first]
    # 400 draws of probability ¼: mean 100, standard deviation 8.7.
    assert (counts - 100).abs().max() < 45
    assert counts.flatten()[:30].mean() < 110


def test_inverted_keeps_what_the_saliency_removes_first():
    worst, best = scored("inverted(magnitude)", 0.5, "bc"), scored("magnitude", 0.5, "bc")
    weights = agent(VECTOR, "bc").weights
    kept = torch.cat([weights[n][m].detach().abs() for n, m in worst.mask.nominal.items()])
    gone = torch.cat([weights[n][~m].detach().abs() for n, m in worst.mask.nominal.items()])
    assert kept.max() <= gone.min()
    assert worst.mask.jaccard(best.mask) < 0.01


def test_inverted_takes_saliencies_only():
    with pytest.raises(InputError, match="once"):
        scored("inverted(force)")


@pytest.mark.parametrize("what", ["actions", "rewards", "noise"])
@pytest.mark.parametrize("kind", ["vector-continuous", "pixel-discrete"])
def test_corruptions_touch_what_they_say(what, kind):
    data = dataset(kind)
    corrupted = corruption.CORRUPTIONS[what](data, 0)
    changed = {
        field
        for field in ("frames", "actions", "rewards", "terminals", "ends")
        if not np.array_equal(getattr(corrupted, field), getattr(data, field))
    }
    expected = {"noise": {"frames", "actions", "rewards"}, "actions": {"actions"}}
    assert changed == expected.get(what, {"rewards"})
    for field in changed:
        ours, theirs = getattr(corrupted, field), getattr(data, field)
        assert ours.dtype == theirs.dtype
        assert ours.shape == theirs.shape
        assert theirs.min() <= ours.min()
        assert ours.max() <= theirs.max()
        if what != "noise":
            assert np.array_equal(np.sort(ours, axis=0).sum(), np.sort(theirs, axis=0).sum())
    batch = corrupted.buffer.batch_at(np.arange(4))
    assert np.isfinite(batch.observations).all()


def test_rewards_matter_to_the_critic_and_not_to_bc():
    assert scored("corrupted(snip, rewards)", algo="bc").mask == scored("snip", algo="bc").mask
    found, real = scored("corrupted(snip, rewards)"), scored("snip")
    assert found.mask["critic"] != real.mask["critic"]


def test_actions_matter_to_bc():
    assert scored("corrupted(snip)", algo="bc").mask != scored("snip", algo="bc").mask


def test_another_dataset_must_have_the_same_spaces():
    with pytest.raises(InputError, match="stand in"):
        scored("corrupted(snip, dataset='pendulum/mixture-v0')")


@pytest.mark.parametrize("what", ["action", "rewards(3)", "rewards(seed=3)"])
def test_unknown_corruptions_are_refused(what):
    with pytest.raises(UnknownNameError, match=f"{re.escape(what)}.*actions"):
        scored(f"corrupted(snip, {what})")


def test_a_word_may_be_given_by_name():
    assert scored("corrupted(snip, what=noise)").mask == scored("corrupted(snip, noise)").mask


def test_reinitialised_draws_other_weights_for_the_same_mask():
    options = {"algo_params": params(VECTOR, "td3_plus_bc"), "n_batches": 1, "engine": "masked"}
    same, mask = prune(dataset(VECTOR), "td3_plus_bc", 0.8, method="snip", **options)
    other, again = prune(
        dataset(VECTOR), "td3_plus_bc", 0.8, method="reinitialised(snip)", **options
    )
    assert mask == again
    for name, weight in other.weights.items():
        kept = mask.connected[name]
        assert not torch.equal(weight[kept], same.weights[name][kept])
        assert not weight[~kept].any()
        if name in other.targets:
            assert torch.equal(other.targets[name], weight)


def test_reinitialising_leaves_the_random_state():
    subject = agent(VECTOR, "iql")
    method = make_method("reinitialised", PruningSettings(subject.per_network(0.8)))
    state = torch.get_rng_state()
    method.initialise(subject, None)
    assert torch.equal(torch.get_rng_state(), state)


def test_rescaled_keeps_the_variance_of_every_unit():
    """w · sqrt(n / k): the sum of squares of the kept weights is that of all, on average."""
    options = {"algo_params": {"hidden_units": [64, 64], "batch_size": 16}}
    subject = build_agent(dataset(VECTOR), "td3_plus_bc", **options).agent
    before = {n: w.detach().clone() for n, w in subject.weights.items()}
    method = make_method("rescaled(random)", PruningSettings(subject.per_network(0.8)))
    mask = method.before_training(subject, dataset(VECTOR))
    method.initialise(subject, mask)
    for name, weight in subject.weights.items():
        kept = mask.nominal[name]
        factor = (kept.shape[1] / kept.sum(dim=1).clamp(min=1)).sqrt()[:, None]
        torch.testing.assert_close(weight.detach(), before[name] * factor)
        torch.testing.assert_close(subject.targets[name], weight)
        if kept.shape == (64, 64):  # enough weights for a mean
            ratio = weight.detach()[kept].square().sum() / before[name].square().sum()
            assert 0.85 < float(ratio) < 1.15


def test_rescale_is_short_for_the_expression():
    options = {"algo_params": params(VECTOR, "bc"), "n_batches": 1, "engine": "masked"}
    short, _ = prune(dataset(VECTOR), "bc", 0.8, method="snip", rescale=True, **options)
    long, _ = prune(dataset(VECTOR), "bc", 0.8, method="rescaled(snip)", **options)
    for name, weight in short.weights.items():
        assert torch.equal(weight, long.weights[name])


def sharing_an_encoder(subject):
    """Roles whose networks one encoder factory serves, and so one width."""
    groups = {}
    for role in subject.roles:
        own = f"{role.partition('[')[0]}_encoder_factory"
        groups.setdefault(own if hasattr(subject.algo.config, own) else None, []).append(role)
    return groups.values()


def weights_of(subject, roles):
    return sum(net.n_weights for net in subject.networks if net.role in roles)


@pytest.mark.parametrize("sparsity", [0.5, 0.95])
@pytest.mark.parametrize(("kind", "algo"), CASES)
def test_small_dense_has_at_most_the_weights_that_pruning_keeps(kind, algo, sparsity):
    big = agent(kind, algo)
    found = scored("small_dense", sparsity, algo, kind)
    assert found.mask.sparsity == 0.0
    assert found.agent.roles == big.roles
    for roles in sharing_an_encoder(big):
        budget = sum(kept_count(weights_of(big, [role]), sparsity) for role in roles)
        assert weights_of(found.agent, roles) <= budget
        if kind.startswith("vector"):  # and one unit more would be too much
            first = next(net for net in found.agent.networks if net.role == roles[0]).weights
            width = len(next(iter(first.values())))
            wider = params(kind, algo) | {"hidden_units": [width + 1, width + 1]}
            next_agent = build_agent(dataset(kind), algo, algo_params=wider).agent
            assert weights_of(next_agent, roles) > budget


def test_small_dense_trains_and_is_reported_as_dense():
    result = prune_then_train(
        dataset(VECTOR), "iql", 0.9, method="small_dense", n_steps=4, evaluate=0,
        algo_params=params(VECTOR, "iql"), progress=False,
    )  # fmt: skip
    assert result.mask.sparsity == 0.0
    assert result.settings.sparsity["actor"] == 0.9
    widths = {len(w) for w in result.mask.nominal.values()}
    assert max(widths) < 24


@pytest.mark.parametrize("pooled", [False, True])
def test_small_dense_narrows_residual_encoders(pooled):
    factory = ImpalaEncoderFactory(filters=[4, 6], width=2, feature_size=10, pooled=pooled)
    found = score(
        dataset("pixel-discrete"),
        "cql",
        0.7,
        method="small_dense",
        algo_params={"encoder_factory": factory, "observation_scaler": "pixel"},
    )
    narrow = found.agent.algo.config.encoder_factory
    assert narrow.pooled == pooled
    assert all(n <= 2 * before for n, before in zip(narrow.filters, [4, 6], strict=True))
    whole = score(
        dataset("pixel-discrete"),
        "cql",
        0.0,
        method="random",
        algo_params={"encoder_factory": factory, "observation_scaler": "pixel"},
    )
    assert 0.2 * whole.mask.n_weights < found.mask.n_weights <= 0.3 * whole.mask.n_weights


@pytest.mark.parametrize("encoder", ["layer_norm", "simba"])
@pytest.mark.parametrize("algo", ["td3_plus_bc", "bcq"])
def test_small_dense_narrows_normalised_encoders(encoder, algo):
    sizes = {"simba": {"feature_size": 24, "hidden_size": 48, "n_blocks": 2}}
    given = sizes if encoder == "simba" else {"hidden_units": [40, 40]}
    options = {"algo_params": {"encoder": encoder, "batch_size": 8, **given}, "n_batches": 1}
    whole = score(dataset(VECTOR), algo, 0.0, method="random", **options)
    found = score(dataset(VECTOR), algo, 0.7, method="small_dense", **options)
    narrow = found.agent.algo.config.critic_encoder_factory
    if encoder == "simba":
        assert narrow.n_blocks == 2
        assert narrow.feature_size < 16
        assert narrow.hidden_size == pytest.approx(2 * narrow.feature_size, abs=1)
    else:
        assert narrow.use_layer_norm
        assert max(narrow.hidden_units) < 30
    assert 0.2 * whole.mask.n_weights < found.mask.n_weights <= 0.3 * whole.mask.n_weights


def test_small_dense_refuses_encoders_it_cannot_narrow():
    @dataclasses.dataclass()
    class Custom(d3rlpy.models.EncoderFactory):
        def create(self, observation_shape):
            return d3rlpy.models.VectorEncoderFactory([8]).create(observation_shape)

        @staticmethod
        def get_type():
            return "custom-of-this-test"

    config = d3rlpy.algos.BCConfig(batch_size=8, encoder_factory=Custom())
    with pytest.raises(AlgorithmError, match="narrows"):
        score(dataset(VECTOR), config, 0.5, method="small_dense")


def test_a_saved_mask_is_a_method(tmp_path):
    found = scored("grasp")
    found.save(tmp_path / "grasp")
    for method in (
        tmp_path / "grasp",
        str(tmp_path / "grasp"),
        tmp_path / "grasp" / "mask.safetensors",
        Mask.load(tmp_path / "grasp" / "mask.safetensors"),
    ):
        assert scored(method).mask == found.mask


def test_a_mask_of_other_networks_is_refused():
    with pytest.raises(MaskError, match="other networks"):
        scored(scored("snip", algo="bc").mask)


def test_a_mask_of_another_sparsity_is_refused():
    with pytest.raises(SparsityError, match="Ask for what"):
        scored(scored("snip").mask, 0.9)


def test_a_path_without_a_mask_is_refused(tmp_path):
    with pytest.raises(MaskError, match="not a mask"):
        scored(tmp_path / "nothing.safetensors")


def test_a_function_of_the_settings_is_a_method():
    def mine(settings):
        return SingleShot(lambda objective: dict(objective.weights), settings)

    assert scored(mine, algo="bc").settings["method"] == "mine"


@pytest.mark.parametrize(
    ("method", "error"),
    [
        ("snipp", UnknownNameError),
        ("shuffled(snipp)", UnknownNameError),
        ("shuffled(3)", InputError),
        ("force(turns=3)", InputError),
        (3, InputError),
    ],
)
def test_wrong_methods_are_refused(method, error):
    with pytest.raises(error):
        scored(method)
