"""sparsity="auto": what is accepted, what is returned, and what survives a kill."""

import dataclasses

import numpy as np
import pytest
import torch

from offline_prune import Mask, PruneResult, prune, prune_then_train
from offline_prune.errors import InputError, SparsityError
from offline_prune.evaluation.evaluation import Evaluation
from offline_prune.request.requests import TrainingRequest
from offline_prune.run.automatic import LADDER, choose_sparsity
from offline_prune.run.pipeline import run_request
from tests.worlds import dataset

QUICK = {
    "n_steps": 250,
    "algo_params": {"hidden_units": [32, 32]},
    "evaluate": 1,
    "search_seeds": 3,
    "retain": 0.05,
    "max_sparsity": 0.8,
    "progress": False,
}


def asked(**options):
    return TrainingRequest("cartpole/mixture-v0", "bc", "auto", **{**QUICK, **options})


def parts(result):
    weights = result.algo.impl.modules.imitator.state_dict()
    return result.search, result.mask, [tensor.numpy().tolist() for tensor in weights.values()]


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    folder = tmp_path_factory.mktemp("search")
    return folder, prune_then_train(
        "cartpole/mixture-v0", "bc", "auto", output_dir=folder / "out",
        checkpoint_dir=folder / "state", **QUICK,
    )  # fmt: skip


@pytest.mark.slow
def test_the_result_is_the_agent_of_the_chosen_sparsity_and_says_why(searched):
    folder, result = searched
    search = result.search
    assert [c.sparsity for c in search.candidates] == [0.8]
    assert search.chosen == pytest.approx(result.mask.sparsity, abs=1e-3) == 0.8
    assert result.settings.seed == 0
    # Three dense and three pruned agents, and as many at the end.
    assert (search.episodes, search.gradient_steps) == (12, 12 * 250)
    assert search.confirmed.scores != search.candidates[0].scores
    assert "sparsest" in str(search)
    assert any("80%" in str(cell) for cell in search.summary().columns[0].cells)
    loaded = PruneResult.load(folder / "out")
    assert parts(loaded) == parts(result)
    assert not list((folder / "state").iterdir())  # safe, so its state is gone
    alone = prune_then_train(
        "cartpole/mixture-v0", "bc", 0.8, n_steps=250, evaluate=1, progress=False,
        algo_params=QUICK["algo_params"],
    )  # fmt: skip
    assert parts(alone)[1:] == parts(result)[1:]
    assert alone.evaluation == result.evaluation


@pytest.mark.slow
@pytest.mark.parametrize("stop", [2, 11])
def test_a_search_that_was_stopped_goes_on_and_ends_the_same(searched, tmp_path, stop):
    calls = []

    def run(request):
        calls.append(request)
        if len(calls) == stop:
            raise KeyboardInterrupt
        return run_request(request)

    request = asked(checkpoint_dir=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        choose_sparsity(request, run)
    resumed = choose_sparsity(request, run)
    assert len(calls) == 13  # twelve runs, one of them twice
    assert parts(resumed) == parts(searched[1])


def told(score_of):
    """A ``run`` that trains nothing: the score of an agent follows from sparsity and seed."""
    one = prune_then_train(
        "cartpole/mixture-v0", "bc", 0.5, n_steps=1, evaluate=0, progress=False,
        algo_params={"hidden_units": [8]},
    )  # fmt: skip

    def run(request):
        score = score_of(request.sparsity, request.seed)
        evaluation = Evaluation((score,), score, 0.0, score, (request.seed,))
        settings = dataclasses.replace(
            one.settings, seed=request.seed, sparsity={"actor": request.sparsity}
        )
        return dataclasses.replace(one, evaluation=evaluation, settings=settings)

    return run


def noise(seed):
    return 0.001 * np.random.default_rng(seed).normal()


def test_the_first_sparsity_that_is_not_shown_to_keep_the_score_ends_the_search():
    tried = set()

    def score(sparsity, seed):
        tried.add(sparsity)
        return (1.0 if sparsity < 0.95 else 0.9) + noise([seed, int(100 * sparsity)])

    result = choose_sparsity(asked(retain=0.97, max_sparsity=None, search_seeds=4), told(score))
    search = result.search
    assert tried == {0.0, 0.8, 0.9, 0.95}
    assert [c.accepted for c in search.candidates] == [True, True, False]
    assert search.chosen == 0.9
    assert result.settings.sparsity == {"actor": 0.9}
    assert (result.settings.seed, search.seeds) == (0, (0, 1, 2, 3))
    # Dense and three sparsities; then dense and the chosen one on four further seeds.
    assert search.episodes == 4 * 4 + 2 * 4
    assert search.confirmed.sparsity == 0.9
    assert "95%: 0.9" in str(search)


def test_a_ratio_above_what_must_be_kept_is_not_enough_if_seeds_disagree():
    def score(sparsity, seed):
        return 1.0 + (0.4 * (-1) ** seed if sparsity else 0.0)

    search = choose_sparsity(asked(retain=0.9, search_seeds=4), told(score)).search
    assert search.candidates[0].ratio > 0.9 > search.candidates[0].low
    assert search.chosen == 0.0


def test_where_nothing_is_accepted_the_dense_agent_comes_back():
    def score(sparsity, seed):
        return 1.0 + noise(seed) if sparsity == 0 else 0.5

    result = choose_sparsity(asked(retain=0.97), told(score))
    assert result.settings.sparsity == {"actor": 0.0}
    assert result.search.confirmed is None
    assert "The result is the dense agent" in str(result.search)


def test_the_sparsest_to_try_is_tried_too():
    search = choose_sparsity(
        asked(max_sparsity=0.93), told(lambda s, seed: 1.0 + noise(seed))
    ).search
    assert [c.sparsity for c in search.candidates] == [0.8, 0.9, 0.93]
    assert max(LADDER) > 0.93


def test_a_dense_agent_that_learns_nothing_decides_nothing():
    with pytest.raises(InputError, match="means nothing"):
        choose_sparsity(asked(), told(lambda s, seed: 0.01 * seed))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"evaluate": 0}, "evaluate=0"),
        ({"retain": 1.2}, "retain"),
        ({"retain": 0.0}, "retain"),
        ({"search_seeds": 1}, "search_seeds"),
        ({"max_sparsity": 95}, "percentage"),
        ({"engine": "quick"}, "engine"),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_trained(options, message):
    with pytest.raises(InputError, match=message):
        prune_then_train("cartpole/mixture-v0", "bc", "auto", **{**QUICK, **options})


def test_a_mask_has_a_sparsity_already():
    _, mask = prune(dataset("vector-continuous"), "bc", 0.5, n_batches=1)
    assert isinstance(mask, Mask)
    with pytest.raises(InputError, match="a given mask has one"):
        prune_then_train(dataset("vector-continuous"), "bc", "auto", method=mask)


def test_settings_of_the_search_go_with_auto_only():
    with pytest.raises(InputError, match="sparsity='auto'"):
        prune_then_train(dataset("vector-continuous"), "bc", 0.5, retain=0.9)


def test_who_only_prunes_names_a_sparsity():
    with pytest.raises(SparsityError, match="number in"):
        prune(dataset("vector-continuous"), "bc", "auto")


def test_a_dataset_without_an_environment_is_refused_once_that_is_known():
    torch.manual_seed(0)
    with pytest.raises(InputError, match="cannot be evaluated here"):
        prune_then_train(
            dataset("vector-continuous"), "bc", "auto", n_steps=1, progress=False,
            algo_params={"hidden_units": [8]},
        )  # fmt: skip
