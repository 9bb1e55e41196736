"""Agents trained in an environment, and their files acting in it beside them."""

from types import SimpleNamespace

import gymnasium
import numpy as np
import pytest
import stable_baselines3 as sb3
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from offline_prune.export import FORMATS, export_policy
from offline_prune.hosts.sb3 import PruningCallback
from tests.hosts.sb3.learning import model_of

pytestmark = pytest.mark.slow  # it trains

ON_POLICY = {"n_steps": 64, "batch_size": 32, "n_epochs": 2}
AGENTS = {
    "PPO": (sb3.PPO, "Pendulum-v1", ON_POLICY),
    "SAC": (sb3.SAC, "Pendulum-v1", {"learning_starts": 64, "buffer_size": 200}),
    "DQN": (sb3.DQN, "CartPole-v1", {"learning_starts": 64, "buffer_size": 200}),
}


@pytest.mark.parametrize("method", ["gmp", "structured", "gates"])
@pytest.mark.parametrize("name", ["ppo", "qrdqn", "sac", "td3"])
def test_what_the_callback_pruned_is_not_in_the_file(name, method, tmp_path):
    built, callback = model_of(name), PruningCallback(method, 0.8)
    built.learn(160, callback=callback)
    written = export_policy(built, tmp_path / "policy.c")
    network = next(n for n in callback.agent.networks if n.role in ("actor", "critic[0]"))
    assert 0 < written.n_nonzero <= callback.mask[network.role].n_kept
    if method == "gmp":  # a sparse layer
        assert "_columns[" in written.path.read_text()
    else:  # whole units
        assert written.n_exported < 0.3 * written.n_weights


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("name", AGENTS)
def test_a_file_acts_on_what_the_environment_says(name, suffix, tmp_path):
    """The model reads what VecNormalize makes of an observation, its file the observation."""
    make, environment, options = AGENTS[name]
    env = VecNormalize(DummyVecEnv([lambda: gymnasium.make(environment)]), clip_obs=1.5)
    built = make("MlpPolicy", env, seed=0, device="cpu", **options).learn(128)
    path = tmp_path / f"policy{suffix}"
    export_policy(built, path)
    shape = SimpleNamespace(discrete=name == "DQN", action_size=1)
    run = FORMATS[suffix].open(path, shape)[0]
    env.training = False
    seen = env.reset()
    clipped = 0
    for _ in range(100):
        action, _ = built.predict(seen, deterministic=True)
        np.testing.assert_allclose(run(env.get_original_obs()), action, atol=2e-5)
        seen, *_ = env.step(action)
        clipped += (np.abs(seen) == 1.5).sum()
    assert clipped > 0
