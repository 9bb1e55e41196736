"""The replay of several qualities, with a moment of training."""

import numpy as np
import pytest

from offline_prune import load_dataset
from offline_prune.errors import DatasetError

pytest.importorskip("mujoco")
pytest.importorskip("stable_baselines3")


@pytest.fixture
def replay(monkeypatch, request, tmp_path):
    """The script, imported as when it runs, and a Minari root of its own."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    monkeypatch.syspath_prepend(request.config.rootpath / "benchmarks" / "retention")
    import replay_dataset

    return replay_dataset


@pytest.fixture
def plan(replay):
    return replay.Plan(stages=(40, 70, 100), episodes=1, random_steps=20, batch_size=8)


def test_it_is_a_dataset_with_references_and_is_made_once(replay, plan, tmp_path):
    made = replay.make(tmp_path, plan)
    assert (made.total_episodes, made.total_steps) == (3, 3_000)
    data = load_dataset(replay.DATASET)
    assert (data.metadata.reference_min, data.metadata.reference_max) == (-260.8, 11520.0)
    assert "40, 70, 100 steps" in made.storage.metadata["description"]
    with pytest.raises(DatasetError, match="already"):
        replay.make(tmp_path, plan)


def test_an_interrupted_training_goes_on_as_if_it_had_not_been(replay, plan, tmp_path, monkeypatch):
    whole = replay.trained(tmp_path / "whole", plan, 2)
    replay.trained(tmp_path / "parts", plan, 0)
    learn = replay.SAC.learn

    def killed(agent, *args, **options):
        learn(agent, *args, **options)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(replay.SAC, "learn", killed)
        with pytest.raises(KeyboardInterrupt):
            replay.trained(tmp_path / "parts", plan, 1)
    parts = replay.trained(tmp_path / "parts", plan, 2)
    assert whole.num_timesteps == parts.num_timesteps == 100
    for one, other in zip(whole.policy.parameters(), parts.policy.parameters(), strict=True):
        assert np.array_equal(one.detach().numpy(), other.detach().numpy())


def test_the_stages_differ(replay, plan, tmp_path):
    first, last = (replay.trained(tmp_path, plan, stage) for stage in (0, 2))
    assert not (tmp_path / "stage-0" / "buffer.pkl").exists()
    own, other = (replay.played(agent, plan, 0)[0] for agent in (first, last))
    assert np.array_equal(own.observations[0], other.observations[0])
    assert not np.array_equal(own.actions, other.actions)
