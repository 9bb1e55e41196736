"""sparsity="auto": what is accepted, what is returned, and what survives a kill."""

import dataclasses

import numpy as np
import pytest

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
            one.settings,
            seed=request.seed,
            sparsity=request.sparsity
            if isinstance(request.sparsity, dict)
            else {"actor": request.sparsity},
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


def test_further_seeds_that_do_not_show_it_again_are_not_passed_over():
    def score(sparsity, seed):
        return 1.0 + noise([seed, int(100 * sparsity)]) - (0.5 if sparsity and seed >= 3 else 0.0)

    search = choose_sparsity(asked(retain=0.97), told(score)).search
    assert (search.chosen, search.confirmed.accepted) == (0.8, False)
    assert "does not show it again" in str(search)


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


# Without rollouts.

OFFLINE = {
    "n_steps": 20,
    "algo_params": {"hidden_units": [8]},
    "ope_steps": 10,
    "ope_fits": 2,
    "held_out": 0.5,
    "search_seeds": 2,
    "max_sparsity": 0.8,
    "progress": False,
}


def offline(**options):
    return prune_then_train(
        dataset("vector-continuous"), "td3_plus_bc", "auto", **{**OFFLINE, **options}
    )


def test_where_there_is_no_environment_held_out_episodes_judge_and_the_words_say_so():
    result = offline()
    search = result.search
    assert "names no environment" in search.no_rollouts
    assert search.confirmed is None
    assert search.episodes == 0
    # Two dense agents, one of them judged, and a pruned one: 20 steps each, two fits of 10.
    assert search.gradient_steps == 3 * 20 + 2 * 2 * 10
    assert result.evaluation.mean_return is None
    assert len(result.evaluation.off_policy.fits) == 2
    assert "another seed" in str(search)
    assert "of the return itself this is no evidence" in str(search)
    assert "retained" not in str(search)
    said = " ".join(column.header for column in search.summary().columns)
    assert "of dense seeds" in said


def test_one_who_asks_for_it_is_judged_by_held_out_episodes_beside_an_environment():
    result = prune_then_train(
        "cartpole/mixture-v0", "bc", "auto", evaluate="ope",
        **{**OFFLINE, "held_out": None, "n_steps": 2, "ope_steps": 2},
    )  # fmt: skip
    assert "was asked for" in result.search.no_rollouts
    assert result.evaluation.returns is None
    assert result.settings.held_out == 0.2


def test_both_lets_rollouts_choose_and_reports_the_data_too():
    result = prune_then_train(
        "cartpole/mixture-v0", "bc", "auto",
        **{**QUICK, "search_seeds": 2, "retain": 0.01, "evaluate": "both(1)"},
        ope_steps=2, ope_fits=2,
    )  # fmt: skip
    assert result.search.no_rollouts is None
    assert len(result.evaluation.returns) == 1
    assert len(result.evaluation.off_policy.fits) == 2
    assert (result.settings.evaluate, result.settings.held_out) == ("both(1)", 0.2)


@pytest.mark.parametrize("stop", [1, 3])
def test_a_search_without_rollouts_that_was_stopped_ends_the_same(tmp_path, stop):
    calls = []

    def run(request):
        calls.append(request)
        if len(calls) == stop:
            raise KeyboardInterrupt
        return run_request(request)

    request = TrainingRequest(
        dataset("vector-continuous"), "bc", "auto", checkpoint_dir=tmp_path, **OFFLINE
    )
    with pytest.raises(KeyboardInterrupt):
        choose_sparsity(request, run)
    resumed = choose_sparsity(request, run)
    assert len(calls) == 4
    at_once = prune_then_train(dataset("vector-continuous"), "bc", "auto", **OFFLINE)
    assert without_seconds(resumed) == without_seconds(at_once)
    assert not list(tmp_path.iterdir())


def without_seconds(result):
    fits = result.evaluation.off_policy.fits
    return *parts(result), [dataclasses.replace(fit, seconds=0.0) for fit in fits]


def test_networks_each_find_their_own_sparsity_beside_those_before(tmp_path):
    asked_for = []

    def score(sparsity, seed):
        asked_for.append(sparsity)
        too_sparse = sparsity["actor"] > 0.8 or sparsity["value"] > 0.9
        return (0.5 if too_sparse else 1.0) + noise([seed, 1])

    request = dataclasses.replace(
        asked(retain=0.9, max_sparsity=0.95),
        dataset="pendulum/mixture-v0", algo="iql",
        sparsity={"actor": "auto", "critic": 0.5, "value": "auto"},
    )  # fmt: skip
    search = choose_sparsity(request, told(score)).search
    assert search.chosen == {"actor": 0.8, "critic": 0.5, "value": 0.9}
    assert [c.sparsity["actor"] for c in search.candidates] == [0.8, 0.9, 0.8, 0.8, 0.8]
    assert [c.sparsity["value"] for c in search.candidates] == [0.0, 0.0, 0.8, 0.9, 0.95]
    assert {s["critic"] for s in asked_for} == {0.0, 0.5}  # 0 of the dense agents
    assert search.confirmed.sparsity == search.chosen
    assert "actor 80%, critic 50%, value 90%" in str(search)


def test_a_network_that_the_agent_lacks_is_refused_before_anything_is_trained():
    with pytest.raises(InputError, match="critc"):
        prune_then_train("pendulum/mixture-v0", "iql", {"critc": "auto"}, **QUICK)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ope_fits": 1}, "two fits at least"),
        ({"held_out": 0.1}, "Only one episode is held out"),
        ({"held_out": 1.0}, "fraction"),
        ({"evaluate": "opus"}, "opus"),
        ({"evaluate": "ope(3)"}, "takes none"),
    ],
)
def test_what_cannot_judge_is_refused_before_anything_is_trained(options, message):
    with pytest.raises(InputError, match=message):
        offline(n_steps=10**7, **options)


def test_one_episode_leaves_nothing_to_judge_by():
    rng = np.random.default_rng(0)
    arrays = {
        "observations": rng.normal(size=(30, 3)).astype(np.float32),
        "actions": rng.uniform(-1, 1, (30, 1)).astype(np.float32),
        "rewards": rng.normal(size=30).astype(np.float32),
        "terminals": np.eye(30)[-1],
    }
    with pytest.raises(InputError, match="one episode"):
        prune_then_train(arrays, "bc", "auto", **OFFLINE)


def test_episodes_that_earned_the_same_tell_no_policies_apart():
    rng = np.random.default_rng(0)
    arrays = {
        "observations": rng.normal(size=(40, 3)).astype(np.float32),
        "actions": rng.uniform(-1, 1, (40, 1)).astype(np.float32),
        "rewards": np.ones(40, np.float32),
        "terminals": np.tile(np.eye(10)[-1], 4),
    }
    with pytest.raises(InputError, match="earned the same"):
        prune_then_train(arrays, "bc", "auto", **OFFLINE)


def test_a_sequence_model_is_not_judged_by_single_observations():
    with pytest.raises(InputError, match="seen and done before"):
        prune_then_train(
            dataset("vector-continuous"), "decision_transformer", "auto",
            **{**OFFLINE, "algo_params": {}},
        )  # fmt: skip
