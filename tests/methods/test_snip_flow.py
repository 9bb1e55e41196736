"""SNIP-Flow: the flow through SNIP's sensitivities."""

import pytest
import torch

from offline_prune.errors import InputError
from offline_prune.masks.connectivity import has_path
from offline_prune.methods import PruningSettings, make_method
from offline_prune.saliency.snip import snip
from tests.worlds import agent, dataset

KIND = "vector-continuous"


def settings(subject, sparsity=0.8):
    return PruningSettings(subject.per_network(sparsity), n_batches=1)


def test_one_round_is_the_flow_of_sensitivities():
    """By hand for the actor's stack of three layers: paths into a weight × it × out of it."""
    subject = agent(KIND, "bc")
    given = settings(subject)
    method = make_method("snip_flow(power=0.5, rounds=1)", given)
    method.before_training(subject, dataset(KIND))
    sensitivity = given.score(subject, dataset(KIND), snip)["actor"]
    a, b, c = ((s.double() / s.double().mean()).sqrt() for s in sensitivity.values())
    total = (c @ b @ a).sum()
    into_b, out_of_b = a.sum(1), c.sum(0)
    expected = (
        a * (out_of_b @ b)[:, None] / total,
        b * out_of_b[:, None] * into_b[None, :] / total,
        c * (b @ into_b)[None, :] / total,
    )
    found = method.scores["actor"].values()
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_power_zero_counts_paths_alone():
    """Every weight of a layer is worth the same before anything is pruned."""
    subject = agent(KIND, "bc")
    method = make_method("snip_flow(power=0, rounds=1)", settings(subject))
    method.before_training(subject, dataset(KIND))
    for scores in method.scores["actor"].values():
        torch.testing.assert_close(scores, torch.full_like(scores, 1.0 / scores.numel()))


@pytest.mark.parametrize("algo", ["bc", "iql", "bcq"])
def test_no_stack_is_cut(algo):
    subject = agent(KIND, algo)
    method = make_method("snip_flow(rounds=20)", settings(subject, 0.97))
    mask = method.before_training(subject, dataset(KIND))
    assert all(has_path(chain, mask.nominal) for chain in subject.chains)


@pytest.mark.parametrize("stacks", ["snip", "'snip'"])
def test_snip_may_say_how_many_weights_a_stack_keeps_and_flow_says_which(stacks):
    subject = agent(KIND, "bcq")
    given = settings(subject)
    mask = make_method(f"snip_flow(rounds=20, stacks={stacks})", given).before_training(
        subject, dataset(KIND)
    )
    by_snip = make_method("snip", given).before_training(subject, dataset(KIND))
    for chain in subject.paths:
        kept, its = (
            sum(int(m.nominal[name].sum()) for name in chain.weight_names) for m in (mask, by_snip)
        )
        assert kept == its
    names = [name for name in mask.nominal if name.startswith("vae")]
    assert not all(bool((mask.nominal[n] == by_snip.nominal[n]).all()) for n in names)


def test_networks_of_one_stack_are_pruned_alike():
    subject = agent(KIND, "iql")
    masks = [
        make_method(f"snip_flow(rounds=5, stacks={word})", settings(subject)).before_training(
            subject, dataset(KIND)
        )
        for word in ("equal", "snip")
    ]
    assert masks[0] == masks[1]


@pytest.mark.parametrize("stacks", ["erk", "3", "snip(1)"])
def test_wrong_stacks_are_refused(stacks):
    with pytest.raises(InputError, match="equal or snip"):
        make_method(f"snip_flow(stacks={stacks})", settings(agent(KIND, "bcq")))


@pytest.mark.parametrize("power", ["-0.1", "5", "'half'"])
def test_a_wrong_power_is_refused(power):
    with pytest.raises(InputError, match="power"):
        make_method(f"snip_flow(power={power})", settings(agent(KIND, "bc")))
