import pickle

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from offline_prune.errors import InputError, UntrustedFileError
from offline_prune.hosts.sb3.reading import reading_of
from offline_prune.hosts.sb3.statistics import find_normalization, normalizing_scale
from tests.hosts.sb3.models import GOAL, NUMBER, VECTOR, Still, model, sb3


def normalizing(space=VECTOR, **options):
    """A VecNormalize with statistics of its own."""
    made = VecNormalize(DummyVecEnv([lambda: Still(space, NUMBER)]), **options)
    rng = np.random.default_rng(3)
    found = getattr(made, "obs_rms", {})
    found = found if isinstance(found, dict) else {"": found}
    for statistics in found.values():
        statistics.mean = rng.normal(0, 2, statistics.mean.shape)
        statistics.var = rng.uniform(0.01, 3, statistics.mean.shape)
    return made


def compare(made, space, rows):
    reading = reading_of(space, None)
    found = normalizing_scale(made, reading)(torch.from_numpy(rows)).numpy()
    expected = reading.rows(made.normalize_obs(reading.as_asked(rows)))
    np.testing.assert_allclose(found, expected, atol=2e-6)
    return found


def test_it_normalises_as_the_wrapper_does():
    rows = np.random.default_rng(0).normal(0, 20, (50, 5)).astype(np.float32)
    found = compare(normalizing(clip_obs=3.0, epsilon=0.1), VECTOR, rows)
    assert (np.abs(found).max(), np.abs(found).min() < 3.0) == (3.0, True)


def test_a_feature_that_hardly_varies():
    """(x − mean) / √var in float32 alone is 3e-3 wrong here."""
    made = normalizing()
    made.obs_rms.mean[:], made.obs_rms.var[:] = 100.0 + 1e-6 / 3, 0.0
    rows = np.full((2, 5), 100.0, np.float32)
    rows[1] += 1e-4
    compare(made, VECTOR, rows)


@pytest.mark.parametrize("keys", [None, ["observation"]])
def test_parts_of_a_dict(keys):
    rows = reading_of(GOAL, None).drawn()
    made = normalizing(GOAL, norm_obs_keys=keys)
    found = compare(made, GOAL, rows)
    assert np.array_equal(found[:, :4], rows[:, :4]) == (keys is not None)  # achieved


@pytest.mark.parametrize("space", [spaces.Box(-1, 1, (4,)), GOAL])
def test_statistics_of_other_observations(space):
    for own, other in ((space, VECTOR), (VECTOR, space)):
        with pytest.raises(InputError, match="statistics of other observations"):
            normalizing_scale(normalizing(own), reading_of(other, None))


def test_the_models_own_is_found():
    made = normalizing()
    built = sb3.PPO("MlpPolicy", made, device="cpu")
    assert find_normalization(built, None, trust=False) is made
    assert find_normalization(built, False, trust=False) is None
    assert find_normalization(built, normalizing(norm_obs=False), trust=False) is None
    assert find_normalization(model("PPO"), None, trust=False) is None
    assert find_normalization(built.policy, None, trust=False) is None


def test_a_pickle_is_opened_with_the_users_word_alone(tmp_path):
    path = tmp_path / "statistics.pkl"
    normalizing().save(path)
    with pytest.raises(UntrustedFileError, match="trust=True"):
        find_normalization(None, path, trust=False)
    found = find_normalization(None, str(path), trust=True)
    np.testing.assert_array_equal(found.obs_rms.mean, normalizing().obs_rms.mean)


def test_other_things_are_refused(tmp_path):
    junk = tmp_path / "junk.pkl"
    junk.write_bytes(b"junk")
    with pytest.raises(InputError, match="cannot be read"):
        find_normalization(None, junk, trust=True)
    junk.write_bytes(pickle.dumps(3))
    with pytest.raises(InputError, match="not int"):
        find_normalization(None, junk, trust=True)
    with pytest.raises(InputError, match="no file"):
        find_normalization(None, tmp_path / "none", trust=True)
    with pytest.raises(InputError, match="not dict"):
        find_normalization(None, {}, trust=True)
