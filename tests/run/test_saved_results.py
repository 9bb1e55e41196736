"""What an earlier version saved is read for ever: ``tests/fixtures/result-<version>``."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.torch import save_file

from offline_prune import Mask, PruneResult, prune
from offline_prune.errors import MaskError, OutputDirectoryError

SAVED = sorted((Path(__file__).parents[1] / "fixtures").glob("result-*"))


@pytest.fixture(params=SAVED, ids=[path.name for path in SAVED])
def saved(request):
    return request.param


def test_there_is_one_of_the_first_version():
    assert "result-0.1" in [path.name for path in SAVED]


def test_a_saved_result_is_read(saved):
    expected = json.loads((saved / "expected.json").read_text())
    result = PruneResult.load(saved / "result")
    observations = np.array(expected["observations"], dtype=np.float32)
    np.testing.assert_allclose(
        result.algo.predict(observations), expected["actions"], rtol=0, atol=1e-5
    )
    assert list(result.evaluation.returns) == expected["returns"]
    counts = (result.mask.n_weights, result.mask.n_kept, result.mask.n_connected)
    assert counts == (expected["weights"], expected["kept"], expected["connected"])
    assert len(result.history) == expected["epochs"]
    assert result.to_dict()["method"] == "snip"


def test_it_can_be_saved_again_and_exported(saved, tmp_path):
    result = PruneResult.load(saved / "result")
    again = PruneResult.load(result.save(tmp_path / "again"))
    assert again.mask == result.mask
    assert again.settings == result.settings
    observations = np.array(json.loads((saved / "expected.json").read_text())["observations"])
    assert result.export(tmp_path / "policy.pt", observations).n_checked == len(observations)


def test_saved_scores_are_a_method(saved):
    kept = Mask.load(saved / "scored" / "mask.safetensors")
    agent, mask = prune(
        "pendulum/mixture-v0", "bc", 0.5, method=saved / "scored",
        algo_params={"hidden_units": [8, 8]},
    )  # fmt: skip
    agent.release()
    assert mask == kept


def test_settings_of_a_later_version_are_named(saved, tmp_path):
    copy = shutil.copytree(saved / "result", tmp_path / "copy")
    content = json.loads((copy / "result.json").read_text())
    content["settings"]["colour"] = "blue"
    (copy / "result.json").write_text(json.dumps(content))
    with pytest.raises(OutputDirectoryError, match=r"does not know: colour. Upgrade"):
        PruneResult.load(copy)


def test_a_mask_of_a_later_format_is_named(saved, tmp_path):
    with safe_open(saved / "scored" / "mask.safetensors", framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        roles = file.metadata()["roles"]
    save_file(tensors, tmp_path / "later.safetensors", {"roles": roles, "format": "2"})
    with pytest.raises(MaskError, match=r"format 2; .* Upgrade"):
        Mask.load(tmp_path / "later.safetensors")
    save_file(tensors, tmp_path / "numbered.safetensors", {"roles": roles, "format": "1"})
    assert Mask.load(tmp_path / "numbered.safetensors").n_weights == 96
