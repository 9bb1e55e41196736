"""On a GPU: agents of other libraries. Skipped where there is none."""

import pytest
import torch

pytest.importorskip("stable_baselines3")
pytest.importorskip("sb3_contrib")
pytest.importorskip("tianshou")

from stable_baselines3 import DQN, PPO

from offline_prune import export_policy
from offline_prune.hosts.sb3 import PruningCallback
from offline_prune.hosts.tianshou import Pruning
from tests.hosts.sb3.learning import ALGORITHMS, IMPALA, image_model, model_of
from tests.hosts.sb3.test_callback import assert_zeros
from tests.hosts.tianshou.learning import KINDS, algorithm_of, collected, train
from tests.hosts.tianshou.test_pruning import assert_zeros as assert_zeros_and_noises

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
    pytest.mark.filterwarnings("ignore::offline_prune.masks.collapse.LayerCollapseWarning"),
]
METHODS = ("gmp", "rigl", "structured", "gates", "snip", "grasp")
STEPS = 40


@pytest.mark.parametrize("engine", ["masked", "compact"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ALGORITHMS)
def test_stable_baselines3(name, method, engine, tmp_path):
    model = model_of(name, device="cuda")
    callback = PruningCallback(method, 0.8, engine=engine)
    model.learn(160, callback=callback)
    assert_zeros(callback)
    assert next(iter(callback.agent.weights.values())).is_cuda
    if method == "structured":
        export_policy(model, tmp_path / "policy.onnx")


@pytest.mark.parametrize("kind", [PPO, DQN])
def test_channels_of_images(kind):
    sizes = []
    model = image_model(kind, "cuda", **IMPALA, net_arch=[])
    model.policy.to(memory_format=torch.channels_last)
    callback = PruningCallback("structured(begin=0, end=.3)", 0.8, engine="compact")
    callback._on_rollout_end = lambda: sizes.append(
        sum(p.numel() for p in model.policy.parameters())
    )
    model.learn(96, callback=callback)
    assert sizes[-1] < 0.5 * sizes[0]
    assert_zeros(callback)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", KINDS)
def test_tianshou(kind, method):
    algorithm = algorithm_of(kind).to("cuda")
    collector = collected(algorithm)
    pruning = Pruning(algorithm, method, 0.8, n_gradient_steps=STEPS, buffer=collector.buffer)
    with pruning:
        train(algorithm, collector, STEPS)
    assert pruning.step == STEPS
    assert_zeros_and_noises(algorithm, pruning)
