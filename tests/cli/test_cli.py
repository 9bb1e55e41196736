"""The command line, run as a user runs it: arguments in, exit code and output out."""

import json
import subprocess
import sys

import h5py
import numpy as np
import pytest

import offline_prune
from offline_prune import load_dataset

QUICK = ("--steps", 4, "--episodes", 0, "--quiet")


@pytest.mark.slow
def test_run_and_show(run, tmp_path):
    out = tmp_path / "run"
    code, printed, _ = run(
        "run", "pendulum/mixture-v0", "--algo", "iql", "--sparsity", ".95", "--method", "grasp",
        "--steps", 4, "--episodes", 2, "--out", out, "--json", "--param", "hidden_units=[32, 32]",
    )  # fmt: skip
    assert code == 0
    numbers = json.loads(printed)
    assert numbers["sparsity"] == pytest.approx(0.95, abs=1e-3)
    assert numbers["method"] == "grasp"
    assert len(numbers["returns"]) == 2
    assert numbers["networks"]["value"]["weights"] == 32 * 3 + 32 * 32 + 32
    code, shown, _ = run("show", out, "--json")
    assert code == 0
    assert json.loads(shown) == numbers
    code, table, _ = run("show", out)
    assert code == 0
    assert "critic[1]" in table


@pytest.mark.slow
def test_features_diagnostics_and_a_method_that_prunes_while_training(run, tmp_path):
    out = tmp_path / "run"
    code, _, _ = run(
        "run", "pendulum/mixture-v0", "--algo", "iql", "--sparsity", ".5", "--method", "gates",
        "--param", "encoder=ofenet", "--param", 'ofenet={"n_layers": 2, "units": 4}',
        "--param", "hidden_units=[8, 8]", "--param", "batch_size=16", "--feature-steps", 3,
        "--diagnostics", "--out", out, *QUICK,
    )  # fmt: skip
    assert code == 0
    assert "dormant_actor" in (out / "history.csv").read_text().splitlines()[0]
    result = json.loads((out / "result.json").read_text())
    assert result["settings"]["feature_steps"] == 3
    assert result["networks"]["features"]["sparsity"] >= 0.5


@pytest.mark.slow
def test_sparsity_by_network(run):
    code, printed, _ = run(
        "run", "cartpole/mixture-v0", "--algo", "bcq", "--sparsity", "critic=.9", *QUICK, "--json"
    )
    assert code == 0
    networks = json.loads(printed)["networks"]
    assert networks["critic[0]"]["sparsity"] == pytest.approx(0.9, abs=1e-3)
    assert networks["imitator"]["sparsity"] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "pendlum/mixture-v0", "--algo", "bc", "--sparsity", ".9"), "pendulum/mixture"),
        (("run", "pendulum/mixture-v0", "--algo", "bcc", "--sparsity", ".9"), "Did you mean 'bc"),
        (("run", "pendulum/mixture-v0", "--algo", "bc", "--sparsity", "1"), "outside [0, 1)"),
        (("run", "pendulum/mixture-v0", "--algo", "bc", "--sparsity", "much"), "number"),
        (("run", "pendulum/mixture-v0", "--algo", "bc", "--sparsity", "a=.5"), "'a'"),
        (
            ("run", "pendulum/mixture-v0", "--algo", "bc", "--sparsity", ".5", "--param", "x"),
            "name=value",
        ),
        (("run", "pendulum/mixture-v0", "--algo", "bc"), "--sparsity"),
        (("show", "nowhere"), "not a result"),
        (("import", "nowhere.h5", "mine/new-v0"), "nowhere.h5"),
        (("import", "nowhere.h5", "no id"), "not a dataset id"),
    ],
)
def test_wrong_input_exits_with_2(run, arguments, message):
    code, printed, error = run(*arguments)
    assert code == 2
    assert printed == ""
    assert message in " ".join(error.split())
    assert "Traceback" not in error


def test_lists(run):
    code, printed, _ = run("datasets")
    assert code == 0
    for name in ("pendulum/mixture-v0", "halfcheetah/medium-small-v0", "mujoco/hopper/expert-v0"):
        assert name in printed
    code, printed, _ = run("algos")
    assert code == 0
    for name in ("bcq", "td3_plus_bc", "continuous", "discrete"):
        assert name in printed


@pytest.mark.slow
def test_import_then_run(run, tmp_path):
    rng = np.random.default_rng(0)
    n = 60
    with h5py.File(tmp_path / "replay.h5", "w") as file:
        file["observations"] = rng.normal(size=(n, 4)).astype(np.float32)
        file["actions"] = np.arange(n)[:, None] % 2
        file["rewards"] = np.ones((n, 1), np.float32)
        file["terminals"] = (np.arange(n) % 20 == 19).astype(np.float32)[:, None]
        file["episode_terminals"] = (np.arange(n) % 20 == 19).astype(np.float32)[:, None]
    name = "imported/cli-v0"
    code, printed, _ = run("import", tmp_path / "replay.h5", name, "--env", "CartPole-v1")
    assert (code, "60 steps in 3 episodes" in printed) == (0, True)
    assert load_dataset(name).metadata.env_spec.id == "CartPole-v1"
    code, _, error = run("import", tmp_path / "replay.h5", name)
    assert (code, "already" in error) == (2, True)
    for algo in ("bc", "bcq", "cql"):
        code, printed, _ = run("run", name, "--algo", algo, "--sparsity", ".5", *QUICK, "--json")
        assert code == 0
        assert json.loads(printed)["algo"] == f"discrete_{algo}"


def test_an_existing_output_directory_is_refused(run, tmp_path):
    (tmp_path / "mine.txt").write_text("keep me")
    code, _, error = run(
        "run", "pendulum/mixture-v0", "--algo", "bc", "--sparsity", ".5", "--out", tmp_path, *QUICK
    )
    assert (code, "Nothing there was touched" in " ".join(error.split())) == (2, True)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.slow
def test_a_fresh_process_prints_json_and_nothing_else(minari_root):
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "offline_prune.cli",
            "run",
            "pendulum/mixture-v0",
            "--algo",
            "bc",
            "--sparsity",
            ".9",
            "--steps",
            "4",
            "--episodes",
            "0",
            "--json",
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    assert done.stderr == ""
    assert json.loads(done.stdout)["n_steps"] == 4


@pytest.mark.slow
def test_score_saves_a_mask_that_run_takes(run, tmp_path):
    out = tmp_path / "grasp"
    code, printed, _ = run(
        "score", "pendulum/mixture-v0", "--algo", "iql", "--sparsity", ".9", "--method", "grasp",
        "--batches", 1, "--out", out, "--json", "--param", "hidden_units=[16, 16]",
    )  # fmt: skip
    assert code == 0
    numbers = json.loads(printed)
    assert numbers["method"] == "grasp"
    assert set(numbers["networks"]) == {"actor", "critic[0]", "critic[1]", "value"}
    assert {file.name for file in out.iterdir()} == {
        "mask.safetensors", "scores.safetensors", "scoring.json",
    }  # fmt: skip
    code, printed, _ = run(
        "run", "pendulum/mixture-v0", "--algo", "iql", "--sparsity", ".9", "--method", out,
        "--json", "--param", "hidden_units=[16, 16]", *QUICK,
    )  # fmt: skip
    assert code == 0
    again = json.loads(printed)
    for role, network in numbers["networks"].items():
        assert again["networks"][role]["layer_densities"] == network["layer_densities"]
    code, _, complaint = run(
        "score", "pendulum/mixture-v0", "--algo", "iql", "--sparsity", ".9", "--out", out,
    )  # fmt: skip
    assert code == 2
    assert "Nothing there was touched" in complaint


def test_score_prints_every_layer(run):
    code, printed, _ = run(
        "score", "pendulum/mixture-v0", "--algo", "bc", "--sparsity", ".9", "--batches", 1,
        "--method", "rescaled(shuffled(snip))", "--average", "scores", "--refill", "--float64",
    )  # fmt: skip
    assert code == 0
    assert "imitator._fc.weight" in printed
    assert "effective sparsity" in printed


def test_an_unreadable_method_is_refused(run):
    code, _, complaint = run(
        "run", "pendulum/mixture-v0", "--algo", "bc", "--sparsity", ".9",
        "--method", "snip(", *QUICK,
    )  # fmt: skip
    assert code == 2
    assert "pruning method" in complaint


def test_held_out_episodes_judge_where_it_is_asked_for(run):
    code, out, _ = run(
        "run", "pendulum/mixture-v0", "--algo", "bc", "--sparsity", "actor=auto", "--steps", 4,
        "--evaluate", "ope", "--held-out", 0.1, "--ope-steps", 2, "--ope-fits", 2, "--json",
        "--max-sparsity", 0.8, "--search-seeds", 2, "--param", "hidden_units=[8]",
    )  # fmt: skip
    assert code == 0
    found = json.loads(out)
    assert found["off_policy"]["held_out_episodes"] == 15
    assert [c["sparsity"] for c in found["search"]["candidates"]] == [{"actor": 0.8}]
    code, _, error = run(
        "run", "pendulum/mixture-v0", "--algo", "bc", "--sparsity", 0.5, "--evaluate", "opus"
    )
    assert code == 2
    assert "opus" in error


def test_a_structure_is_asked_for_as_in_python(run):
    code, printed, _ = run(
        "score", "pendulum/mixture-v0", "--algo", "bc", "--sparsity", ".9", "--batches", 1,
        "--structure", "2:4", "--param", "hidden_units=[8]",
    )  # fmt: skip
    assert code == 0
    assert "sparsity" in printed
    code, _, complaint = run(
        "score", "pendulum/mixture-v0", "--algo", "bc", "--sparsity", ".9", "--structure", "2-4",
    )  # fmt: skip
    assert code == 2
    assert "structure" in complaint


def test_the_version(run):
    assert run("--version")[:2] == (0, f"offline-prune {offline_prune.__version__}\n")
