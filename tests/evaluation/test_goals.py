"""Where an environment says whether its goal was reached, evaluations do too."""

import dataclasses
import json

import gymnasium
import numpy as np
import pytest

from offline_prune import PruneResult, evaluate, load_dataset, prune_then_train, sweep
from offline_prune.evaluation import Evaluation
from offline_prune.study import read_records
from tests.goal_world import Reach, collected, register, straight

TINY = {"hidden_units": [32, 32], "batch_size": 64, "learning_rate": 3e-3}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("minari")


@pytest.fixture(scope="module")
def data(root):
    register()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(root))
        made = collected(gymnasium.make("Reach-v0"), straight, "reach/straight-v0", 40, 0.1)
        return load_dataset(made)


class Straight:
    """The controller as a policy; ``beyond`` goes on as it began, whatever it meets."""

    def __init__(self, beyond=False):
        self.beyond, self.first = beyond, None

    def predict(self, x):
        way = np.clip((x[:, 2:4] - x[:, :2]) / 0.3, -1, 1)
        if self.first is None:
            self.first = way
        return self.first if self.beyond else way


class Away:
    def predict(self, x):
        return np.sign(x[:, :2] - x[:, 2:4])


def test_episodes_that_reach_the_goal_succeed(data):
    assert evaluate(Straight(), data.metadata, 6).successes == (True,) * 6
    found = evaluate(Away(), data.metadata, 6)
    assert found.successes == (False,) * 6
    assert found.success_rate == 0.0
    assert str(found).endswith("success rate 0%")


def test_the_goal_counts_at_any_step(data):
    """A policy that passes the goal has been there, though the last step is elsewhere."""
    found = evaluate(Straight(beyond=True), data.metadata, 20, seed=3)
    expected = []
    for seed, total in zip(found.seeds, found.returns, strict=True):
        world = Reach()
        observation, _ = world.reset(seed=seed)
        action, reached = straight(observation), []
        for _ in range(12):
            reached.append(world.step(action)[4]["success"])
        assert sum(reached) == total
        assert not reached[-1]
        expected.append(any(reached))
    assert found.successes == tuple(expected)
    assert found.success_rate == np.mean(expected)
    assert 0 < sum(expected) < 20


@pytest.mark.parametrize("key", ["success", "is_success"])
def test_both_names_are_read(data, key):
    spec = dataclasses.replace(data.metadata.env_spec, kwargs={"tells": key})
    found = evaluate(Straight(), dataclasses.replace(data.metadata, env_spec=spec), 2)
    assert found.success_rate == 1.0


def test_an_environment_that_tells_nothing_has_no_rate(data):
    spec = dataclasses.replace(data.metadata.env_spec, kwargs={"tells": None})
    found = evaluate(Straight(), dataclasses.replace(data.metadata, env_spec=spec), 2)
    assert found.successes is None
    assert found.success_rate is None
    assert "success" not in str(found)
    assert found.mean_return > 0


class Sometimes(Reach):
    """Says so at the goal alone."""

    def _info(self):
        return super()._info() if self._there() else {}


def test_silence_is_no_success_where_others_are_told(data, monkeypatch):
    spec = dataclasses.replace(data.metadata.env_spec, id="Sometimes-v0", entry_point=Sometimes)
    monkeypatch.setitem(gymnasium.registry, "Sometimes-v0", spec)
    metadata = dataclasses.replace(data.metadata, env_spec=spec)
    plain = evaluate(Straight(beyond=True), data.metadata, 20, seed=3)
    assert evaluate(Straight(beyond=True), metadata, 20, seed=3) == plain


def test_a_run_from_collecting_to_a_file(data, tmp_path):
    result = prune_then_train(
        data, "bc", 0.5, n_steps=400, evaluate=8, algo_params=TINY, n_batches=1, progress=False
    )
    assert result.evaluation.success_rate > 0.5
    assert result.to_dict()["success_rate"] == result.evaluation.success_rate
    assert f"success rate {result.evaluation.success_rate:.0%}" in result.summary().caption
    result.save(tmp_path / "run")
    content = json.loads((tmp_path / "run" / "result.json").read_text())
    assert content["evaluation"]["successes"] == list(result.evaluation.successes)
    again = PruneResult.load(tmp_path / "run")
    assert again.evaluation == result.evaluation
    x = data.observations[:5]
    np.testing.assert_array_equal(again.algo.predict(x), result.algo.predict(x))
    assert result.export(tmp_path / "policy.pt", x).n_checked == 5


def test_results_without_successes_are_read():
    assert Evaluation((1.0,), 1.0, 0.0, None).success_rate is None


def test_a_study_has_them_in_its_table(data, root, tmp_path, run, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(root))
    grid = {"datasets": "reach/straight-v0", "algos": "bc", "sparsities": 0.5, "methods": "snip",
            "seeds": 2, "n_steps": 40, "evaluations": 2, "window": 2, "evaluate": 5,
            "n_batches": 1, "algo_params": {"*": TINY}}  # fmt: skip
    found = sweep(**grid, out=tmp_path / "study", progress=False)
    records = read_records(tmp_path / "study")
    for row, record in zip(found.rows, records, strict=True):
        rates = [point["success_rate"] for point in record["result"]["curve"]]
        assert len(rates) == 2
        assert row["success_rate"] == rates[-1]
        assert row["final_window_success_rate"] == np.mean(rates)
    toml = tmp_path / "grid.toml"
    toml.write_text(
        'datasets = "reach/straight-v0"\nalgos = "bc"\nsparsities = 0.5\nmethods = "snip"\n'
        "seeds = 2\nn_steps = 40\nevaluations = 2\nwindow = 2\nevaluate = 5\nn_batches = 1\n"
        "[algo_params.'*']\nhidden_units = [32, 32]\nbatch_size = 64\nlearning_rate = 3e-3\n"
    )
    code, out, _ = run("sweep", toml, "--out", tmp_path / "study", "--quiet")
    assert code == 0
    rate = np.mean([row["final_window_success_rate"] for row in found.rows])
    assert "success" in out
    assert f"{rate:.0%}" in out
