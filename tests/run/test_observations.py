"""From datasets of many arrays or stacked frames to a saved, evaluated, exported policy."""

import gymnasium
import numpy as np
import pytest
import torch
from d3rlpy.models import PixelEncoderFactory

from offline_prune import PruneResult, load_dataset, prune_then_train
from offline_prune.encoders import PartsEncoderFactory
from offline_prune.errors import UnsupportedExportError
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
