"""Stacked frames and transitions of several steps, asked for in a call, a command or a grid."""

import json

import pytest
import torch

from offline_prune import PruneResult, load_dataset, prune_then_train, score, sweep
from offline_prune.errors import InputError
from tests.worlds import dataset

QUICK = {
    "n_steps": 5,
    "n_batches": 1,
    "evaluate": 1,
    "max_episode_steps": 4,
    "algo_params": {"hidden_units": [8, 8]},
    "progress": False,
}
BOTH = {"frame_stack": 2, "transition_steps": 3}


def weights(result):
    return torch.cat([p.detach().flatten() for p in result.algo.impl.policy.parameters()])


def test_what_is_asked_for_is_what_the_dataset_can_be_made_into(tmp_path):
    asked = prune_then_train(
        "pendulum/mixture-v0", "td3_plus_bc", 0.5, output_dir=tmp_path / "run", **QUICK, **BOTH
    )
    data = load_dataset("pendulum/mixture-v0").with_frame_stack(2)
    made = data.with_n_steps(3, gamma=asked.algo.gamma)
    given = prune_then_train(made, "td3_plus_bc", 0.5, **QUICK)
    assert torch.equal(weights(asked), weights(given))
    assert asked.evaluation == given.evaluation
    assert (asked.settings.frame_stack, asked.settings.transition_steps) == (2, 3)
    assert asked.algo.impl.observation_shape == (6,)
    assert PruneResult.load(tmp_path / "run").settings == asked.settings
    other = prune_then_train("pendulum/mixture-v0", "td3_plus_bc", 0.5, **QUICK, frame_stack=2)
    assert not torch.equal(weights(asked), weights(other))


def test_a_mask_is_scored_on_them(tmp_path):
    scored = score("pendulum/mixture-v0", "td3_plus_bc", 0.5, n_batches=1, **BOTH)
    assert scored.mask.nominal["policy._encoder._layers.0.weight"].shape[1] == 6


@pytest.mark.parametrize("option", ["frame_stack", "transition_steps"])
def test_what_a_dataset_has_in_another_number_is_refused(option):
    data = dataset("vector-continuous").with_frame_stack(2).with_n_steps(2, 0.9)
    prune_then_train(data, "bc", 0.5, **{**QUICK, "evaluate": 0, option: 2})
    with pytest.raises(InputError, match=f"{option}=3.* 2 (frames|steps) already"):
        prune_then_train(data, "bc", 0.5, **{**QUICK, option: 3})
    with pytest.raises(InputError, match=option):
        prune_then_train(data, "bc", 0.5, **{**QUICK, option: 0})


def test_a_sequence_model_has_no_transitions_of_several_steps():
    with pytest.raises(InputError, match="stretches of episodes"):
        prune_then_train(
            dataset("vector-continuous"), "decision_transformer", 0.5, transition_steps=2
        )


def test_commands_and_grids_ask_for_them_too(run, tmp_path):
    code, out, _ = run(
        "run", "pendulum/mixture-v0", "--algo", "bc", "--sparsity", 0.5, "--steps", 5, "--json",
        "--episodes", 0, "--frame-stack", 2, "--transition-steps", 3, "--batches", 1,
    )  # fmt: skip
    assert code == 0
    found = json.loads(out)
    assert (found["frame_stack"], found["transition_steps"]) == (2, 3)
    options = {
        name: value for name, value in QUICK.items() if name not in ("algo_params", "progress")
    }
    swept = sweep(
        "pendulum/mixture-v0", "bc", [0.5], "snip", 1, out=tmp_path, progress=False, evaluations=1,
        algo_params={"*": QUICK["algo_params"]}, frame_stack=2, **options,
    )  # fmt: skip
    assert swept.n_failed == 0
    assert swept.rows[0]["frame_stack"] == 2
