import copy

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.torch_layers import CombinedExtractor
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize
from torch import nn
from torch.nn.utils.prune import l1_unstructured

from offline_prune.errors import AlgorithmError, InputError, UnsupportedExportError
from offline_prune.hosts.sb3.policy import sb3_policy
from offline_prune.hosts.sb3.reading import reading_of
from tests.hosts.sb3.models import (
    CAMERA,
    GOAL,
    IMAGE,
    MODELS,
    NUMBER,
    SMALL,
    VALUES,
    VECTOR,
    Custom,
    InOrder,
    Still,
    contrib,
    impala,
    model,
    sb3,
    seen,
)


def acting(built, observations=None):
    policy = built.policy
    return sb3_policy(policy, reading_of(policy.observation_space, observations))


def compared(built, observations):
    """Actions of the policy made of plain layers, and the model's own."""
    with torch.no_grad():
        found = acting(built, observations)(torch.from_numpy(observations).float()).numpy()
    return found, built.predict(observations, deterministic=True)[0]


@pytest.mark.parametrize("name", MODELS)
def test_it_acts_as_the_model_does(name):
    found, expected = compared(model(name), seen())
    assert len(np.unique(expected)) > 1
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("name", ["PPO", "DQN", "SAC", "TD3", "QRDQN"])
def test_units_that_do_nothing_leave(name):
    built = model(name)
    policy = acting(built)
    assert policy.n_weights == 5 * 24 + 24 * 24 + 24 * built_outputs(name)
    assert 0.1 < policy.sparsity - 0.6 < 0.3
    assert max(layer.out_features for layer in linear(policy)) <= 20


def built_outputs(name):
    return {"SAC": 2, "TD3": 2, "QRDQN": 21}.get(name, 3)


def linear(policy):
    return [layer for layer in policy.modules() if isinstance(layer, nn.Linear)]


def test_nothing_leaves_a_dense_model():
    policy = acting(model("PPO", density=1.0))
    assert policy.sparsity == 0.0
    assert [tuple(layer.weight.shape) for layer in linear(policy)] == [(24, 5), (24, 24), (3, 24)]


@pytest.mark.parametrize("name", ["A2C", "PPO, gSDE"])
def test_means_beyond_the_bounds_are_clipped(name):
    built = model(name)
    with torch.no_grad():
        built.policy.action_net.bias.copy_(torch.tensor([9.0, -9.0]))
    found, expected = compared(built, seen())
    np.testing.assert_array_equal(found, np.full_like(found, [2.0, -3.0]))
    np.testing.assert_array_equal(found, expected)


def test_the_mean_is_clipped_before_the_tanh_with_gsde():
    built = model("SAC, gSDE")
    with torch.no_grad():
        built.actor.mu[0].bias.fill_(40.0)
    found, expected = compared(built, seen())
    assert found.max() < 4.9  # tanh(2) of [−3, 5]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_quantiles_are_averaged_in_the_last_layer():
    *_, head = linear(acting(model("QRDQN")))
    assert head.out_features == 3


@pytest.mark.parametrize("name", ["PPO", "DQN", "SAC"])
def test_images_are_divided_and_read_as_environments_give_them(name):
    built = model(name, IMAGE, "CnnPolicy")
    images = np.random.default_rng(0).integers(0, 256, (9, *IMAGE.shape), np.uint8)
    for observed in (images, images.transpose(0, 3, 1, 2).copy()):
        found, expected = compared(built, observed)
        np.testing.assert_allclose(found, expected, atol=1e-5)
    layers = [m for m in acting(built).modules() if isinstance(m, nn.Conv2d)]
    assert len(layers) == 3
    assert layers[0].out_channels < 32


@pytest.mark.parametrize("pooled", [False, True])
def test_channels_that_nobody_reads_leave_impala(pooled):
    built = impala(pooled)
    encoder = built.policy.features_extractor.encoder
    torso = encoder.torso
    with torch.no_grad():
        for reader in [block.first for block in torso.stages[1].blocks]:
            reader.weight[:, 1:3] = 0.0
        positions = torso.output_size // 6
        encoder.last.weight[:, positions : 3 * positions] = 0.0
    images = np.random.default_rng(0).integers(0, 256, (5, 3, 36, 40), np.uint8)
    found, expected = compared(built, images)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    last = acting(built).networks[0][0].torso.stages[1].convolution
    assert last.out_channels == 4
    assert torso.stages[1].convolution.out_channels == 6


def test_heads_that_read_impala_themselves():
    images = np.random.default_rng(0).integers(0, 256, (5, 3, 36, 40), np.uint8)
    found, expected = compared(impala(True, net_arch=[]), images)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("space", [GOAL, CAMERA])
@pytest.mark.parametrize("name", ["PPO", "SAC"])
def test_dicts_are_read_as_one_row(name, space):
    built = model(name, space, "MultiInputPolicy")
    reading = reading_of(built.observation_space, None)
    rows = reading.drawn()[:20]
    found = sb3_policy(built.policy, reading)(torch.from_numpy(rows)).numpy()
    expected, _ = built.predict(reading.as_asked(rows), deterministic=True)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_channels_that_do_nothing_leave_a_part_of_a_dict():
    layers = [m for m in acting(model("PPO", CAMERA, "MultiInputPolicy")).modules()
              if isinstance(m, nn.Conv2d)]  # fmt: skip
    assert len(layers) == 3
    assert layers[0].out_channels < 32


class Mixing(CombinedExtractor):
    pass


def test_an_extractor_of_ones_own_for_a_dict():
    kwargs = {"features_extractor_class": Mixing}
    built = model("PPO", GOAL, "MultiInputPolicy", policy_kwargs=kwargs)
    with pytest.raises(UnsupportedExportError, match="Mixing reads the parts of a Dict"):
        acting(built)


class Residual(InOrder):
    def forward(self, x):
        y = self.last(self.first(x).relu())
        return y + y.tanh()


def with_extractor(kind):
    kwargs = {**SMALL["policy_kwargs"], "features_extractor_class": kind}
    return model("PPO", policy_kwargs=kwargs)


@pytest.mark.parametrize("kind", [InOrder, Residual])
def test_features_extractors_of_ones_own(kind):
    built = with_extractor(kind)
    found, expected = compared(built, seen())
    np.testing.assert_array_equal(found, expected)
    is_compact = type(acting(built).networks[0][0]) is nn.Linear
    assert is_compact == (kind is InOrder)


def test_an_mlp_extractor_of_ones_own():
    built = model("PPO", kind=Custom, policy_kwargs={})
    found, expected = compared(built, seen())
    np.testing.assert_array_equal(found, expected)
    assert acting(built).n_weights == 5 * 8 + 8 * 3  # not the critic's


def test_separate_features_extractors():
    kwargs = {**SMALL["policy_kwargs"], "share_features_extractor": False,
              "features_extractor_class": InOrder}  # fmt: skip
    found, expected = compared(model("PPO", policy_kwargs=kwargs), seen())
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", ["TD3", "QRDQN"])
def test_the_model_stays_as_it_is(name):
    built = model(name)
    before, state = copy.deepcopy(built.policy.state_dict()), torch.get_rng_state()
    policy = acting(built)
    assert torch.equal(state, torch.get_rng_state())
    for parameter in policy.parameters():
        parameter.zero_()
    for name, value in built.policy.state_dict().items():
        torch.testing.assert_close(value, before[name])
    assert any(p.requires_grad for p in built.policy.parameters())


@pytest.mark.parametrize(
    ("make", "kind", "acted", "words"),
    [
        (contrib.RecurrentPPO, "MlpLstmPolicy", NUMBER, "RecurrentPPO acts by what it has seen"),
        (contrib.MaskablePPO, "MlpPolicy", NUMBER, "MaskablePPO takes the mask"),
        (sb3.PPO, "MlpPolicy", spaces.MultiDiscrete([2, 3]), "MultiDiscrete are several numbers"),
        (sb3.PPO, "MlpPolicy", spaces.MultiBinary(3), "MultiBinary are several numbers"),
    ],
)
def test_what_is_no_function_of_one_observation_to_one_action(make, kind, acted, words):
    env = Still(VECTOR, acted)
    env.action_masks = lambda: None
    with pytest.raises(UnsupportedExportError, match=words):
        acting(make(kind, env, device="cpu"))


def test_a_policy_of_another_library():
    with pytest.raises(AlgorithmError, match="Linear is no policy that is known here"):
        sb3_policy(nn.Linear(1, 1), reading_of(VECTOR, None))


def test_masks_of_torch_are_made_weights_first():
    built = model("PPO")
    l1_unstructured(built.policy.action_net, "weight", 0.5)
    with pytest.raises(AlgorithmError, match=r"prune\.remove"):
        acting(built)


def test_images_are_not_normalised_twice():
    built = model("PPO", IMAGE, "CnnPolicy")
    normalization = VecNormalize(DummyVecEnv([lambda: Still(VECTOR, VALUES)]))
    with pytest.raises(InputError, match="divides images by 255 itself"):
        sb3_policy(built.policy, reading_of(built.observation_space, None), normalization)
