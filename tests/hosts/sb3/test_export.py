"""Files of models, really compiled and run: each is compared with model.predict when written."""

import numpy as np
import pytest

from offline_prune.errors import AlgorithmError, InputError, UnsupportedExportError
from offline_prune.export import FORMATS, export_policy
from tests.hosts.sb3.models import CAMERA, GOAL, IMAGE, MODELS, VECTOR, impala, model, seen
from tests.hosts.sb3.test_statistics import normalizing

SUFFIXES = tuple(FORMATS)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("name", [name for name in MODELS if name != "CrossQ"])
def test_every_algorithm_in_every_format(name, suffix, tmp_path):
    written = export_policy(model(name), tmp_path / f"policy{suffix}", seen())
    assert (written.n_checked, written.n_ties) == (64, 0)
    assert written.n_exported < 0.7 * written.n_weights


@pytest.mark.slow
@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("name", ["PPO", "SAC"])
@pytest.mark.parametrize("channels", ["first", "last"])
def test_images(name, channels, suffix, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (5, *IMAGE.shape), np.uint8)
    if channels == "first":
        images = images.transpose(0, 3, 1, 2)
    built = model(name, IMAGE, "CnnPolicy")
    assert export_policy(built, tmp_path / f"policy{suffix}", images).n_checked == 5


@pytest.mark.slow
@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("pooled", [False, True])
def test_residual_encoders(pooled, suffix, tmp_path):
    assert export_policy(impala(pooled), tmp_path / f"policy{suffix}").n_checked == 256


@pytest.mark.slow
@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("space", [VECTOR, GOAL])
def test_statistics_are_part_of_the_file(space, suffix, tmp_path):
    kind = "MultiInputPolicy" if space is GOAL else "MlpPolicy"
    built = model("TQC", space, kind)
    path = tmp_path / f"policy{suffix}"
    written = export_policy(built, path, normalization=normalizing(space, clip_obs=2.0))
    assert written.n_checked == 256
    if suffix == ".c":
        assert "normalized: by the file" in path.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_images_beside_vectors(suffix, tmp_path):
    built = model("SAC", CAMERA, "MultiInputPolicy")
    made = normalizing(CAMERA, norm_obs_keys=["arm"])
    path = tmp_path / f"policy{suffix}"
    if suffix == ".c":
        with pytest.raises(UnsupportedExportError, match="C has no form of CombinedRow"):
            export_policy(built, path, normalization=made)
    else:
        assert export_policy(built, path, normalization=made).n_checked == 256
        with pytest.raises(InputError, match="divides images by 255 itself"):
            export_policy(built, path, normalization=normalizing(CAMERA))


@pytest.mark.slow
def test_the_comment_says_what_it_is(tmp_path):
    path = tmp_path / "policy.c"
    written = export_policy(model("DQN"), path)
    assert "agrees with model.predict on 256 observations" in str(written)
    text = path.read_text()
    assert "algorithm: DQN" in text
    assert "library: Stable-Baselines3" in text
    assert "int policy_act(const float *observation);" in text


def test_a_policy_without_its_algorithm(tmp_path):
    policy = model("PPO").policy.train()
    assert export_policy(policy, tmp_path / "policy.pt").n_checked == 256
    assert policy.training


def test_other_networks_than_stacks(tmp_path):
    built = model("CrossQ")  # batch renormalisation
    assert export_policy(built, tmp_path / "policy.pt", seen()).n_checked == 64
    with pytest.raises(UnsupportedExportError, match="C has no form of BatchRenorm"):
        export_policy(built, tmp_path / "policy.c", seen())


def test_what_is_no_policy(tmp_path):
    with pytest.raises(AlgorithmError, match="VecNormalize is no model"):
        export_policy(normalizing(), tmp_path / "policy.pt")


@pytest.mark.parametrize("arguments", [{"dataset": "a/b-v0"}, {"frame_stack": 4}])
def test_what_is_for_d3rlpy_is_refused(arguments, tmp_path):
    with pytest.raises(InputError, match="are for d3rlpy's algorithms"):
        export_policy(model("PPO"), tmp_path / "policy.pt", **arguments)


def test_observations_that_do_not_fit(tmp_path):
    with pytest.raises(InputError, match=r"\(N, 5\) was expected"):
        export_policy(model("PPO"), tmp_path / "policy.pt", np.zeros((3, 4)))
