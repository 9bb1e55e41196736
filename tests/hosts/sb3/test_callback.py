"""Pruning Stable-Baselines3 models while they train: every algorithm with every method."""

import pytest
import torch

pytest.importorskip("stable_baselines3")
pytest.importorskip("sb3_contrib")

from stable_baselines3 import DQN, PPO
from stable_baselines3.common.callbacks import (
    CallbackList,
    CheckpointCallback,
    StopTrainingOnMaxEpisodes,
)

from offline_prune.errors import AlgorithmError, InputError, SparsityError, UnknownNameError
from offline_prune.hosts.sb3 import PruningCallback
from offline_prune.hosts.sb3.impala import ImpalaFeatures
from offline_prune.masks.allocation import kept_count
from tests.hosts.sb3 import models
from tests.hosts.sb3.learning import ALGORITHMS, IMPALA, image_model, model_of, parameters

WHOLE_UNITS = ("structured", "gates")
METHODS = ("gmp", "set", "rigl", *WHOLE_UNITS, "snip", "grasp", "random", "synflow", "snip_flow")


def pruned(name, method, sparsity=0.8, steps=160, **options):
    model = model_of(name)
    callback = PruningCallback(method, sparsity, **options)
    return model.learn(steps, callback=callback), callback


def assert_zeros(callback):
    agent, mask = callback.agent, callback.mask
    for held in (agent.weights, agent.targets):
        for name, weight in held.items():
            assert not weight[~mask.nominal[name]].any(), name
    assert any(weight.any() for weight in agent.weights.values())


@pytest.mark.filterwarnings("ignore::offline_prune.masks.collapse.LayerCollapseWarning")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_algorithm_with_every_method(name, method):
    _, callback = pruned(name, method)
    assert_zeros(callback)
    assert callback.step == callback.n_steps > 0  # what was foreseen is what was done
    for network in callback.agent.networks:
        kept, most = callback.mask[network.role].n_kept, kept_count(network.n_weights, 0.8)
        assert kept <= most * 1.25 if method in WHOLE_UNITS else kept == most


@pytest.mark.parametrize("method", ["gmp", "snip"])
def test_fewer_units_live_where_it_is_asked_for(method):
    live = []
    for structure in (None, "units(density=0.9)"):
        _, callback = pruned("dqn", method, structure=structure)
        live.append([units for units, _ in callback.mask.layer_units.values()])
    assert sum(live[1]) < sum(live[0])
    with pytest.raises(InputError, match="cannot have structure='2:4'"):
        PruningCallback("rigl", 0.8, structure="2:4")


@pytest.mark.parametrize("method", ["gmp", "snip", "rigl"])
@pytest.mark.parametrize("name", ALGORITHMS)
def test_at_sparsity_0_it_is_stock_bit_for_bit(name, method):
    ours, _ = pruned(name, method, 0.0)
    stock = parameters(model_of(name).learn(160))
    assert all(torch.equal(value, stock[key]) for key, value in parameters(ours).items())


@pytest.mark.parametrize("name", ["ppo", "sac"])
def test_files_are_stable_baselines3s_own(name, tmp_path):
    model, callback = pruned(name, "gmp")
    model.save(tmp_path / "model.zip")
    loaded = type(model).load(tmp_path / "model.zip", device="cpu")
    before, after = parameters(model), parameters(loaded)
    assert all(torch.equal(value, after[key]) for key, value in before.items())
    # The mask is held in another run, of a model that nothing else tells of it.
    loaded.set_env(model.get_env())
    again = PruningCallback(callback.mask, 0.8)
    loaded.learn(160, callback=again)
    assert_zeros(again)
    changed = parameters(loaded)
    assert not all(torch.equal(value, changed[key]) for key, value in after.items())


@pytest.mark.parametrize("method", ["gmp", "structured"])
def test_a_callback_that_is_used_again_holds_its_mask(method):
    model, callback = pruned("ppo", method)
    mask = callback.mask
    model.learn(160, callback=callback, reset_num_timesteps=False)
    assert_zeros(callback)
    assert all(torch.equal(mask.nominal[n], callback.mask.nominal[n]) for n in mask.nominal)


@pytest.mark.parametrize("method", ["structured", "snip"])
def test_dead_units_may_leave_while_it_trains(method):
    held, _ = pruned("ppo", method, 0.9)
    smaller, callback = pruned("ppo", method, 0.9, engine="compact")
    assert_zeros(callback)
    expected = parameters(held)
    for key, value in parameters(smaller).items():
        torch.testing.assert_close(value, expected[key], atol=1e-4, rtol=1e-3)


def test_small_layers_are_what_trains():
    shapes = []
    model = model_of("ppo")
    callback = PruningCallback("structured(begin=0, end=.1)", 0.9, engine="compact")
    callback._on_rollout_start = lambda: shapes.append(model.policy.action_net.weight.shape[1])
    model.learn(160, callback=callback)
    assert shapes[0] == 64 > shapes[-1]
    assert model.policy.action_net.weight.shape[1] == 64  # and whole again


@pytest.mark.parametrize("policy", [{}, IMPALA, IMPALA | {"net_arch": [16]}], ids=str)
@pytest.mark.parametrize("kind", [PPO, DQN])
def test_channels_of_images_leave_whole(kind, policy):
    model = image_model(kind, **policy)
    callback = PruningCallback("structured", 0.8)
    model.learn(64, callback=callback)
    assert_zeros(callback)
    kept = [mask for mask in callback.mask.nominal.values() if mask.dim() == 4]
    channels = [mask.flatten(1).any(dim=1) for mask in kept]
    assert any(not bool(there.all()) for there in channels)


def test_networks_that_are_not_named_stay_dense():
    _, callback = pruned("ppo", "gmp", {"actor": 0.9})
    assert callback.mask["actor"].sparsity > 0.89
    assert callback.mask["value"].sparsity == 0.0


def test_longer_steps_are_taken_where_asked_for():
    plain, _ = pruned("ppo", "random", 0.9)
    longer, _ = pruned("ppo", "random", 0.9, parameterization="sparse")
    one, other = (m.policy.mlp_extractor.policy_net[2].weight.abs().sum() for m in (plain, longer))
    assert other > 1.5 * one


def test_a_run_that_ends_early_ends_with_the_sparsity_asked_for():
    model = model_of("ppo")
    callback = PruningCallback("gmp", 0.8)
    stop = StopTrainingOnMaxEpisodes(max_episodes=1)
    model.learn(3000, callback=CallbackList([stop, callback]))
    assert callback.step < callback.n_steps
    assert callback.mask["actor"].sparsity > 0.79
    assert_zeros(callback)


def test_an_interrupted_run_lets_go():
    model = model_of("a2c")
    callback = PruningCallback("gmp(begin=0)", 0.8)
    callback._on_step = lambda: (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        model.learn(160, callback=callback)
    callback.release()
    model.learn(160)
    assert callback.step == 0


def test_episodes_as_training_frequency_want_a_number():
    model = model_of("td3", train_freq=(1, "episode"))
    with pytest.raises(InputError, match="n_gradient_steps"):
        model.learn(300, callback=PruningCallback("gmp", 0.8))
    model = model_of("td3", train_freq=(1, "episode"))
    model.gradient_steps = -1  # as many as there were steps
    callback = PruningCallback("gmp", 0.8, n_gradient_steps=100)
    model.learn(400, callback=callback)
    assert callback.step > 100  # the schedule ended before
    assert_zeros(callback)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (("snop", 0.8), UnknownNameError, "snop"),
        (("gmp", 1.0), SparsityError, "1.0"),
        (("gmp", {"critic": 0.5}), UnknownNameError, "critic"),
        (("pops", 0.8), InputError, "another library's"),
        (("small_dense", 0.8), InputError, "narrower layers"),
        (("corrupted(snip, rewards)", 0.8), InputError, "narrower layers"),
    ],
)
def test_what_cannot_be_is_said_before_training(arguments, error, words):
    model = model_of("ppo")
    before = parameters(model)
    with pytest.raises(error, match=words):
        model.learn(160, callback=PruningCallback(*arguments))
    assert all(torch.equal(value, before[key]) for key, value in parameters(model).items())


def test_an_engine_that_there_is_not():
    with pytest.raises(InputError, match="'masked' or 'compact'"):
        PruningCallback("gmp", 0.8, engine="sparse")


def test_unknown_models_are_named():
    from sb3_contrib import TRPO

    model = TRPO("MlpPolicy", "CartPole-v1", device="cpu")
    with pytest.raises(AlgorithmError, match=r"TRPO.*Known: PPO"):
        model.learn(10, callback=PruningCallback("gmp", 0.8))


def test_an_extractor_of_ones_own_is_named():
    with pytest.raises(AlgorithmError, match=r"Halves.*policy_net and value_net"):
        models.model("PPO", kind=models.Custom).learn(8, callback=PruningCallback("gmp", 0.8))


def test_a_features_extractor_in_order_is_a_stack():
    policy = {"features_extractor_class": models.InOrder, "net_arch": []}
    short = {"n_steps": 32, "batch_size": 16, "n_epochs": 2, "policy_kwargs": policy}
    values, sizes = [], []
    for engine in ("masked", "compact"):
        model = models.model("PPO", density=1.0, **short)
        model.env.envs[0].unwrapped.observation_space.seed(0)
        callback = PruningCallback("structured(begin=0, end=.3)", 0.8, engine=engine)
        callback._on_rollout_start = lambda model=model: sizes.append(
            len(model.policy.features_extractor.first.weight)
        )
        model.learn(160, callback=callback)
        assert_zeros(callback)
        values.append(model.policy.predict_values(torch.from_numpy(models.seen())))
    assert sizes[-1] < sizes[0] == 9
    torch.testing.assert_close(*values, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("kind", [PPO, DQN])
def test_dead_channels_of_impala_leave_while_it_trains(kind):
    sizes = []
    model = image_model(kind, **IMPALA, net_arch=[])
    callback = PruningCallback("structured(begin=0, end=.3)", 0.8, engine="compact")
    callback._on_rollout_end = lambda: sizes.append(
        {sum(p.numel() for p in m.parameters()) for m in model.policy.modules() if is_impala(m)}
    )
    model.learn(96, callback=callback)
    (whole,), (smaller,) = sizes[0], sizes[-1]  # of the target, too
    assert smaller < 0.5 * whole
    assert_zeros(callback)


@pytest.mark.parametrize("name", ["ppo", "sac"])
def test_files_written_on_the_way_are_whole(name, tmp_path):
    model = model_of(name)
    callback = PruningCallback("structured(begin=0, end=.1)", 0.8, engine="compact")
    checkpoints = CheckpointCallback(save_freq=150, save_path=tmp_path)
    model.learn(160, callback=[callback, checkpoints])
    (file,) = tmp_path.glob("*.zip")
    whole = parameters(model)
    found = parameters(type(model).load(file, device="cpu"))
    assert {n: t.shape for n, t in found.items()} == {n: t.shape for n, t in whole.items()}
    for name, weight in type(model).load(file, device="cpu").policy.named_parameters():
        if name in callback.mask.nominal:
            assert not weight[~callback.mask.nominal[name]].any()


def test_channels_last_in_memory_train_alike_in_both_engines():
    values = []
    for engine in ("masked", "compact"):
        model = image_model(PPO, **IMPALA, net_arch=[])
        model.policy.to(memory_format=torch.channels_last)
        callback = PruningCallback("structured(begin=0, end=.3, multiple=2)", 0.8, engine=engine)
        strides = []
        callback._on_rollout_end = lambda model=model, to=strides: to.append(second(model).stride())
        model.learn(96, callback=callback)
        assert strides[-1][1] == 1  # while units have left, too
        images = torch.arange(4 * 1600).view(4, 1, 40, 40) % 256
        values.append(model.policy.predict_values(images))
    torch.testing.assert_close(*values)


def second(model):
    return model.policy.features_extractor.encoder.torso.stages[1].convolution.weight


def is_impala(module):
    return isinstance(module, ImpalaFeatures)
