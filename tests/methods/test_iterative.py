"""What iteration adds: weights that stay away, weights that return, masks that survive."""

from itertools import pairwise

import pytest
import torch

from offline_prune import score
from offline_prune.errors import InputError
from offline_prune.masks.allocation import kept_count
from offline_prune.masks.build import has_path
from offline_prune.methods import PruningSettings, make_method
from offline_prune.methods.iterative import _masked
from tests.worlds import CASES, agent, dataset, params

VECTOR = "vector-continuous"


def noting(name, settings):
    """A method, and the masks that it scores under."""
    method, seen = make_method(name, settings), []
    scorer = method.scorer

    def remember(agent, data):
        scoring = scorer(agent, data)

        def score(kept):
            seen.append({n: m.clone() for n, m in kept.items()})
            return scoring(kept)

        return score

    method.scorer = remember
    return seen, method


def rounds_of(name, algo="iql", rounds=5, sparsity=0.9, **options):
    """The nominal masks of every round, and the agent before and after."""
    subject, data = agent(VECTOR, algo), dataset(VECTOR)
    settings = PruningSettings(subject.per_network(sparsity), **options)
    seen, method = noting(f"{name}(rounds={rounds})", settings)
    mask = method.before_training(subject, data)
    return [*seen[1:], dict(mask.nominal)], mask, subject


@pytest.mark.parametrize("allocation", [None, "floor", "floor(fan_in=50)", "constant_fan_in"])
@pytest.mark.parametrize("name", ["iterative_snip", "synflow", "px", "snip_flow"])
def test_what_is_pruned_stays_pruned(name, allocation):
    masks, _, _ = rounds_of(name, allocation=allocation)
    for before, after in pairwise(masks):
        for weight in before:
            assert not (after[weight] & ~before[weight]).any()


@pytest.mark.parametrize("structure", ["units", "block(2, 3)", "1:4"])
@pytest.mark.parametrize("name", ["iterative_snip", "synflow", "px", "snip_flow"])
def test_what_is_pruned_stays_pruned_in_every_structure(name, structure):
    masks, _, _ = rounds_of(name, structure=structure)
    for before, after in pairwise(masks):
        for weight in before:
            assert not (after[weight] & ~before[weight]).any()


def test_rounds_begin_with_as_many_weights_as_a_structure_may_keep():
    masks, mask, _ = rounds_of("synflow", rounds=4, structure="1:4")
    most = 1 - 0.1 ** (1 / 4)  # of the first round, without the structure
    assert mask.sparsity > most
    assert all(int(m.sum()) * 2 < m.numel() for m in masks[0].values())


def test_force_lets_weights_return():
    masks, _, _ = rounds_of("force")
    pairs = pairwise(masks)
    assert any((after[n] & ~before[n]).any() for before, after in pairs for n in before)


@pytest.mark.parametrize("name", ["iterative_snip", "force", "synflow", "px", "snip_flow"])
def test_the_schedule_is_exponential_and_ends_where_it_was_asked_to(name):
    masks, mask, subject = rounds_of(name, rounds=4, sparsity=0.9)
    for network in subject.networks:
        for k, kept in enumerate(masks, start=1):
            count = sum(int(kept[n].sum()) for n in network.weights)
            asked = 0.9 if k == 4 else 1.0 - 0.1 ** (k / 4)
            assert count == kept_count(network.n_weights, asked)
        assert mask[network.role].n_kept == kept_count(network.n_weights, 0.9)


def test_one_round_is_one_shot():
    options = {"algo_params": params(VECTOR, "iql"), "n_batches": 1}
    once = score(dataset(VECTOR), "iql", 0.9, method="snip", **options)
    for name in ("iterative_snip", "force"):
        again = score(dataset(VECTOR), "iql", 0.9, method=f"{name}(rounds=1)", **options)
        assert again.mask == once.mask


def test_force_scores_with_the_original_weights():
    """At the masked agent SNIP of a pruned weight is 0; FORCE's is not."""
    subject, data = agent(VECTOR, "bc"), dataset(VECTOR)
    original = {n: w.detach().clone() for n, w in subject.weights.items()}
    kept = {n: torch.rand(w.shape) < 0.5 for n, w in original.items()}
    settings = PruningSettings(subject.per_network(0.5))
    method = make_method("force", settings)
    score = method.scorer(subject, data)
    with _masked(subject, kept):
        scores = score(kept)
    for name, found in scores["actor"].items():
        assert (found[~kept[name]] > 0).any()


@pytest.mark.parametrize("name", ["iterative_snip", "force", "synflow", "px", "snip_flow"])
@pytest.mark.parametrize(("kind", "algo"), CASES)
def test_the_agent_comes_back_untouched(kind, algo, name):
    subject, data = agent(kind, algo), dataset(kind)
    tensors = {**subject.weights, **{f"target {n}": t for n, t in subject.targets.items()}}
    before = {n: (t.data_ptr(), t.detach().clone()) for n, t in tensors.items()}
    method = make_method(f"{name}(rounds=2)", PruningSettings(subject.per_network(0.8)))
    method.before_training(subject, data)
    for label, tensor in tensors.items():
        assert tensor.data_ptr() == before[label][0]
        assert torch.equal(tensor, before[label][1])
        assert tensor.grad is None


def test_iteration_avoids_the_collapse_of_one_shot():
    """One shot of magnitude cuts every path here; SynFlow keeps all, and wastes little."""
    subject = agent(VECTOR, "td3_plus_bc")
    settings = PruningSettings(subject.per_network(0.98))
    one_shot, flow = (
        make_method(name, settings).before_training(subject, dataset(VECTOR))
        for name in ("magnitude", "synflow")
    )
    assert not any(has_path(chain, one_shot.nominal) for chain in subject.chains)
    assert all(has_path(chain, flow.nominal) for chain in subject.chains)
    assert flow.n_connected >= 0.9 * flow.n_kept


@pytest.mark.parametrize("rounds", [0, -1, 1.5, True])
def test_rounds_are_positive_whole_numbers(rounds):
    with pytest.raises(InputError, match="rounds"):
        make_method(f"force(rounds={rounds})", PruningSettings({}))


@pytest.mark.parametrize("name", ["iterative_snip", "synflow"])
def test_a_pruned_weight_ranks_below_a_kept_one_of_score_zero(name):
    """Dead ReLUs give kept weights a score of zero; a pruned weight must not tie with them."""
    subject = agent(VECTOR, "bc")
    with torch.no_grad():
        next(iter(subject.weights.values()))[:8] = 0.0
    seen, method = noting(f"{name}(rounds=2)", PruningSettings(subject.per_network(0.5)))
    method.before_training(subject, dataset(VECTOR))
    for weight, kept in seen[1].items():
        found = method.scores["actor"][weight]
        assert (found[kept] >= 0).all()
        assert (found[~kept] < 0).all()
    assert any((method.scores["actor"][n][kept] == 0).any() for n, kept in seen[1].items())
    assert any((~kept).any() for kept in seen[1].values())
