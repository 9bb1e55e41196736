import dataclasses
import json

import d3rlpy
import numpy as np
import pytest
import torch
from d3rlpy.preprocessing import MinMaxObservationScaler, register_observation_scaler
from rich.console import Console

from offline_prune import PruneResult, prune_then_train
from offline_prune.errors import OutputDirectoryError
from tests.worlds import dataset, params


@pytest.fixture(scope="module")
def result():
    return prune_then_train(
        dataset("vector-continuous"),
        "td3_plus_bc",
        0.9,
        n_steps=4,
        n_steps_per_epoch=2,
        evaluate=0,
        progress=False,
        algo_params=params("vector-continuous", "td3_plus_bc"),
    )


def test_summary_says_what_was_kept(result):
    console = Console(record=True, width=120, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(result.summary())
    console.file.close()
    text = console.export_text()
    for word in ("td3_plus_bc", "critic[1]", "effective", "not evaluated", "total"):
        assert word in text


def test_to_dict_is_plain(result):
    numbers = result.to_dict()
    assert json.loads(json.dumps(numbers)) == numbers
    assert numbers["mean_return"] is None
    assert "no episodes" in numbers["not_evaluated"]
    assert numbers["networks"]["actor"]["weights_kept"] == result.mask["actor"].n_kept
    assert numbers["versions"]["d3rlpy"] == d3rlpy.__version__


def test_save_and_load(result, tmp_path):
    out = result.save(tmp_path / "run")
    assert sorted(path.name for path in out.iterdir()) == [
        "history.csv",
        "last.safetensors",
        "mask.safetensors",
        "model.pt",
        "params.json",
        "result.json",
    ]
    state = torch.get_rng_state()
    loaded = PruneResult.load(out)
    assert torch.equal(state, torch.get_rng_state())
    assert loaded.to_dict() == result.to_dict()
    assert loaded.settings == result.settings
    assert loaded.mask == result.mask
    assert loaded.algo.grad_step == 4
    assert loaded.history == result.history
    ours = result.algo.impl.modules.get_torch_modules()
    theirs = loaded.algo.impl.modules.get_torch_modules()
    for field, module in ours.items():
        for name, tensor in module.state_dict().items():
            assert torch.equal(tensor, theirs[field].state_dict()[name])


def test_saved_files_open_in_stock_d3rlpy(result, tmp_path):
    out = result.save(tmp_path / "run")
    algo = d3rlpy.algos.TD3PlusBC.from_json(str(out / "params.json"))
    algo.load_model(str(out / "model.pt"))
    x = dataset("vector-continuous").observations[:5]
    assert (algo.predict(x) == result.algo.predict(x)).all()


def test_a_failed_save_leaves_nothing(result, tmp_path, monkeypatch):
    def full_disk(self, path):
        raise OSError("no space left")

    monkeypatch.setattr("offline_prune.masks.mask.Mask.save", full_disk)
    with pytest.raises(OSError, match="no space"):
        result.save(tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_an_incomplete_folder_is_no_result(result, tmp_path):
    out = result.save(tmp_path / "run")
    (out / "model.pt").unlink()
    with pytest.raises(OutputDirectoryError, match=r"lacks model\.pt"):
        PruneResult.load(out)
    with pytest.raises(OutputDirectoryError, match="lacks"):
        PruneResult.load(tmp_path / "nowhere")


def test_a_model_file_cannot_run_code(result, tmp_path):
    class Hostile:
        def __reduce__(self):
            return (pytest.fail, ("the file ran code",))

    out = result.save(tmp_path / "run")
    torch.save({"policy": Hostile()}, out / "model.pt")
    with pytest.raises(Exception, match=r"[Ww]eights"):
        PruneResult.load(out)


def test_an_unknown_format_is_refused(result, tmp_path):
    out = result.save(tmp_path / "run")
    content = json.loads((out / "result.json").read_text()) | {"format": 99}
    (out / "result.json").write_text(json.dumps(content))
    with pytest.raises(OutputDirectoryError, match="format 99"):
        PruneResult.load(out)


@dataclasses.dataclass
class OwnScaler(MinMaxObservationScaler):
    """An observation scaler of somebody's own."""

    @staticmethod
    def get_type():
        return "somebody_s_own"


@pytest.mark.slow
def test_parts_of_ones_own_load_once_they_are_registered(tmp_path):
    config = d3rlpy.algos.BCConfig(observation_scaler=OwnScaler(), batch_size=8)
    data = dataset("vector-continuous")
    result = prune_then_train(data, config, 0.5, n_steps=2, evaluate=0, progress=False)
    result.save(tmp_path / "run")
    with pytest.raises(OutputDirectoryError, match=r"somebody_s_own.*register_observation_scaler"):
        PruneResult.load(tmp_path / "run")
    register_observation_scaler(OwnScaler)
    loaded = PruneResult.load(tmp_path / "run")
    x = data.observations[:4]
    np.testing.assert_array_equal(loaded.algo.predict(x), result.algo.predict(x))
