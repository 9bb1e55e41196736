"""From datasets of many arrays or stacked frames to a saved, evaluated, exported policy."""

import dataclasses

import gymnasium
import numpy as np
import pytest
import torch
from d3rlpy.dataset import (
    Episode,
    FrameStackTransitionPicker,
    InfiniteBuffer,
    MDPDataset,
    ReplayBuffer,
)
from d3rlpy.models import PixelEncoderFactory

from offline_prune import PruneResult, evaluate, load_dataset, prune_then_train
from offline_prune.encoders import PartsEncoderFactory
from offline_prune.errors import InputError, UnsupportedExportError
from tests import camera_world
from tests.goal_world import collected

SMALL = PixelEncoderFactory(filters=[[4, 4, 4]], feature_size=16)
TINY = {"hidden_units": [24], "batch_size": 32, "parts": {"joints": [8], "camera": SMALL}}


@pytest.fixture(scope="module")
def cameras(tmp_path_factory):
    """Discrete or not → the dataset."""
    camera_world.register()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(tmp_path_factory.mktemp("minari")))
        act = {False: camera_world.towards, True: camera_world.towards_in_steps}
        return {
            discrete: load_dataset(
                collected(
                    gymnasium.make("Look-v0", discrete=discrete), act[discrete],
                    f"look/{['steps', 'towards'][not discrete]}-v0", 60,
                )
            )
            for discrete in act
        }  # fmt: skip


def trained(data, algo, **settings):
    return prune_then_train(
        data, algo, 0.5, n_batches=1, progress=False,
        **{"n_steps": 20, "evaluate": 2, "algo_params": TINY} | settings,
    )  # fmt: skip


def check_files(result, x, folder):
    """It saves, loads, and leaves Python; C is refused by name."""
    again = PruneResult.load(result.save(folder / "run"))
    np.testing.assert_array_equal(again.algo.predict(x), result.algo.predict(x))
    assert again.mask == result.mask
    assert again.evaluation == result.evaluation
    for name in ("policy.pt", "policy.onnx"):
        assert result.export(folder / name, x).n_checked == len(x)
    with pytest.raises(UnsupportedExportError, match="no form of PartsEncoder"):
        result.export(folder / "policy.c", x)


def test_a_camera_and_a_vector_are_imitated(cameras, tmp_path):
    data = cameras[False]
    assert data.metadata.observation_shape == (20 * 24 * 3 + 2,)
    params = TINY | {"learning_rate": 3e-3}
    result = trained(data, "bc", n_steps=300, evaluate=10, algo_params=params)
    assert isinstance(result.algo.config.encoder_factory, PartsEncoderFactory)
    untrained = trained(data, "bc", n_steps=1, evaluate=10, algo_params=params)
    # The image alone says where to go.
    assert result.evaluation.mean_return > 0.7 * untrained.evaluation.mean_return
    assert result.mask.sparsity == pytest.approx(0.5, abs=1e-4)
    assert result.mask.n_connected is None  # such wiring is not known
    check_files(result, data.observations[:9], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("algo", ["iql", "bcq", "cql"])
def test_critics_read_parts_and_actions(cameras, algo, tmp_path):
    result = trained(cameras[False], algo)
    assert result.evaluation.mean_return is not None
    again = PruneResult.load(result.save(tmp_path / "run"))
    x = cameras[False].observations[:5]
    torch.manual_seed(0)
    expected = result.algo.predict(x)
    torch.manual_seed(0)
    np.testing.assert_array_equal(again.algo.predict(x), expected)


@pytest.mark.slow
@pytest.mark.parametrize("algo", ["bc", "cql", "bcq"])
def test_actions_of_a_choice(cameras, algo, tmp_path):
    data = cameras[True]
    result = trained(data, algo)
    assert data.metadata.action_start == 1
    assert result.evaluation.mean_return is not None
    check_files(result, data.observations[:9], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["auto", "masked"])
def test_zeros_hold_in_every_part(cameras, engine):
    data = cameras[False]
    result = trained(data, "td3_plus_bc", engine=engine, evaluate=0, allocation="uniform")
    for top in (result.algo.impl.modules.policy, *result.algo.impl.modules.targ_q_funcs):
        parts = top._encoder.parts.encoders
        layers = [m for part in parts for m in part.modules() if hasattr(m, "weight")]
        assert len(layers) == 3  # a convolution and a linear layer, and the vector's
        for layer in layers:
            assert float((layer.weight == 0).float().mean()) == pytest.approx(0.5, abs=0.01)


@pytest.mark.slow
def test_whole_units_leave_the_exported_parts(cameras, tmp_path):
    data = cameras[False]
    result = trained(data, "bc", method="structured", evaluate=0)
    found = result.export(tmp_path / "policy.pt", data.observations[:9])
    assert found.n_exported == found.n_nonzero < 0.52 * found.n_weights


class Shown:
    """A policy that stays, and keeps what it was shown of one episode."""

    def __init__(self, action):
        self.action, self.seen = action, []

    def predict(self, x):
        self.seen.append(x[0].copy())
        return np.stack([self.action] * len(x))


@pytest.mark.parametrize("frames", [1, 3])
def test_frames_are_stacked_as_the_dataset_has_them(tmp_path, frames):
    """The observations of an evaluation are those of the same episode in a dataset."""
    environment = gymnasium.make("Pendulum-v1")
    action, seen = np.array([0.5], np.float32), []
    observation, _ = environment.reset(seed=7)
    for _ in range(9):
        seen.append(observation)
        observation, *_ = environment.step(action)
    theirs = MDPDataset(np.stack(seen), np.full((9, 1), 0.5, "f4"), np.ones(9), np.eye(9)[8])
    data = load_dataset(theirs).with_frame_stack(frames)
    metadata = dataclasses.replace(data.metadata, env_spec=environment.spec)
    environment.close()
    policy = Shown(action)
    evaluate(policy, metadata, 1, seed=7, max_episode_steps=9)
    np.testing.assert_array_equal(policy.seen, data.observations)
    assert policy.seen[0].shape == (3 * frames,)


STACKED = {"hidden_units": [16], "batch_size": 32}


@pytest.mark.parametrize("kind", ["vector", "pixel"])
def test_stacked_frames_from_training_to_a_file(kind, tmp_path):
    rng = np.random.default_rng(0)
    seen = rng.normal(size=(60, 3)) if kind == "vector" else rng.integers(0, 256, (60, 1, 36, 36))
    source = ReplayBuffer(
        InfiniteBuffer(), transition_picker=FrameStackTransitionPicker(4),
        episodes=[
            Episode(seen[i : i + 30].astype("f4" if kind == "vector" else "u1"),
                    rng.uniform(-1, 1, (30, 1)).astype("f4"), np.ones((30, 1), "f4"), True)
            for i in (0, 30)
        ],
    )  # fmt: skip
    data = load_dataset(source)
    params = STACKED if kind == "vector" else {"encoder_factory": SMALL, "batch_size": 32}
    result = prune_then_train(
        data, "bc", 0.5, n_steps=10, n_batches=1, algo_params=params, progress=False
    )
    assert result.evaluation.reason == "the dataset names no environment"
    assert result.settings.frame_stack == 4
    assert result.algo.observation_shape == ((12,) if kind == "vector" else (4, 36, 36))
    again = PruneResult.load(result.save(tmp_path / "run"))
    x = data.observations[:7]
    np.testing.assert_array_equal(again.algo.predict(x), result.algo.predict(x))
    for name in ("policy.pt", "policy.onnx", "policy.c"):
        assert again.export(tmp_path / name, x).n_checked == 7
    assert "stacks of 4 frames, newest last" in (tmp_path / "policy.c").read_text()


def test_a_policy_that_reads_stacks_is_evaluated_and_exported(tmp_path):
    data = load_dataset("pendulum/mixture-v0").with_frame_stack(2)
    result = prune_then_train(
        data, "bc", 0.5, n_steps=10, n_batches=1, algo_params=STACKED, evaluate=2, progress=False
    )
    assert result.evaluation.mean_return is not None
    assert result.algo.observation_shape == (6,)
    again = PruneResult.load(result.save(tmp_path / "run"))
    assert again.export(tmp_path / "policy.pt").n_checked == 256
    assert evaluate(again.algo, data.metadata, 2) == result.evaluation


def test_images_beside_others_are_not_stacked(cameras):
    with pytest.raises(InputError, match="FrameStackObservation"):
        cameras[True].with_frame_stack(2)
    assert cameras[True].with_frame_stack(1).picking == cameras[True].picking
