"""Sequence models: which of their layers are pruned, and what they cannot read."""

import d3rlpy
import numpy as np
import pytest
from d3rlpy.dataset import MDPDataset
from d3rlpy.models import PixelEncoderFactory, VectorEncoderFactory
from d3rlpy.preprocessing import MinMaxActionScaler, MinMaxRewardScaler, StandardObservationScaler

from offline_prune import load_dataset
from offline_prune.agents import build_agent
from offline_prune.errors import AlgorithmError, InputError, UnknownNameError
from offline_prune.ofenet import OFENetEncoderFactory
from tests.worlds import SEQUENCES, agent, dataset, params, source


def built(kind="vector-continuous", algo="decision_transformer", **chosen):
    return build_agent(dataset(kind), algo, algo_params=params(kind, algo) | chosen).agent


@pytest.mark.parametrize(("kind", "algo"), SEQUENCES)
def test_blocks_and_head_are_prunable_and_what_makes_tokens_is_not(kind, algo):
    subject = agent(kind, algo)
    actor = subject.networks[0]
    layers = ("_attention._k", "_attention._q", "_attention._v", "_attention._proj",
              "_mlp._l1", "_mlp._l2")  # fmt: skip
    blocks = {f"_gpt2._transformer.{i}.{layer}" for i in range(2) for layer in layers}
    assert set(actor.weights) == {f"transformer.{n}.weight" for n in (*blocks, "_output")}
    assert not actor.targets
    critics = ("critic[0]", "critic[1]") if algo == "tacr" else ()
    assert subject.roles == ("actor", *critics)
    for network in subject.networks[1:]:
        assert len(network.targets) == len(network.weights) == 3


def test_observations_are_embedded_by_one_linear_layer_as_wide_as_the_transformer():
    chosen = build_agent(dataset("vector-continuous"), "decision_transformer").agent.algo.config
    assert chosen.encoder_factory == VectorEncoderFactory([128], exclude_last_activation=True)
    own = built(hidden_units=[8, 24]).algo.config.encoder_factory
    assert own == VectorEncoderFactory([8, 24], exclude_last_activation=True)
    critic = built(algo="tacr").algo.config
    assert not critic.critic_encoder_factory.exclude_last_activation
    given = VectorEncoderFactory([24])
    config = d3rlpy.algos.DecisionTransformerConfig(batch_size=8, encoder_factory=given)
    made = build_agent(dataset("vector-continuous"), config, algo_params={"num_layers": 1})
    assert made.agent.algo.config.encoder_factory is given


@pytest.mark.slow
def test_images_are_embedded_by_d3rlpys_convolutions():
    chosen = {"num_layers": 1, "observation_scaler": "pixel"}
    made = build_agent(dataset("pixel-discrete"), "decision_transformer", algo_params=chosen)
    found = made.agent.algo.config.encoder_factory
    assert found == PixelEncoderFactory(feature_size=128, exclude_last_activation=True)
    assert not any("_encoder" in name for name in made.agent.weights)


def test_position_encodings_have_names():
    found = built(position_encoding_type="global").algo.config.position_encoding_type
    assert found == d3rlpy.PositionEncodingType.GLOBAL
    with pytest.raises(UnknownNameError, match="global"):
        built(position_encoding_type="local")


def test_optimizers_have_a_warmup_of_a_part_of_the_run():
    kind, algo = SEQUENCES[0]
    algo = build_agent(dataset(kind), algo, algo_params=params(kind, algo), n_steps=50).agent.algo
    factory = algo.config.optim_factory
    assert factory.get_type() == "adam_w"
    assert (factory.weight_decay, factory.clip_grad_norm) == (1e-4, 0.25)
    assert factory.lr_scheduler_factory.warmup_steps == 5
    for wrong in ("adam_w", {"type": "sgd"}, {"warmup": 0}, {"warmup": "long"}, {"speed": 3}):
        with pytest.raises(InputError):
            built(optimizer=wrong)


def test_scalers_are_fitted_as_d3rlpys_fit_does_it():
    def config():
        return d3rlpy.algos.DecisionTransformerConfig(
            batch_size=8,
            encoder_factory=VectorEncoderFactory([8]),
            observation_scaler=StandardObservationScaler(),
            action_scaler=MinMaxActionScaler(),
            reward_scaler=MinMaxRewardScaler(),
        )

    ours = build_agent(dataset("vector-continuous"), config()).agent.algo
    stock = config().create()
    d3rlpy.algos.utility.build_scalers_with_trajectory_slicer(stock, source("vector-continuous"))
    for field in ("observation_scaler", "action_scaler", "reward_scaler"):
        a, b = getattr(ours.config, field).serialize(), getattr(stock.config, field).serialize()
        assert a == b


def long_episodes(steps):
    rng = np.random.default_rng(0)
    return load_dataset(
        MDPDataset(
            rng.normal(size=(steps, 2)).astype(np.float32),
            rng.uniform(-1, 1, (steps, 1)).astype(np.float32),
            np.ones(steps, np.float32),
            np.eye(1, steps, steps - 1, dtype=np.float32)[0],
        )
    )


def test_the_table_of_time_steps_has_room_for_the_longest_episode():
    data = long_episodes(1200)
    chosen = {"hidden_units": [8], "num_layers": 1, "batch_size": 4}
    subject = build_agent(data, "decision_transformer", algo_params=chosen).agent
    assert subject.algo.config.max_timestep == 1200
    last = data.buffer.trajectories_at(np.array([1199]), 20)
    assert last.timesteps.max() == 1200
    assert np.isfinite(subject.algo.update(last)["loss"])
    with pytest.raises(InputError, match="1200 steps"):
        build_agent(data, "decision_transformer", algo_params=chosen | {"max_timestep": 1199})
    with pytest.raises(InputError, match="1200 steps"):
        build_agent(data, d3rlpy.algos.DecisionTransformerConfig())


def test_heads_that_do_not_divide_the_width():
    with pytest.raises(InputError, match="num_heads=5"):
        built(num_heads=5)


def test_tacr_needs_two_steps():
    with pytest.raises(InputError, match="at least 2"):
        built(algo="tacr", context_size=1)
    assert built(context_size=1)


def test_an_ofenet_is_refused():
    with pytest.raises(AlgorithmError, match="OFENet"):
        built(encoder="ofenet")
    config = d3rlpy.algos.TACRConfig(critic_encoder_factory=OFENetEncoderFactory())
    with pytest.raises(AlgorithmError, match="OFENet"):
        build_agent(dataset("vector-continuous"), config)


def test_stretches_are_those_that_d3rlpys_own_buffer_cuts():
    ours, stock = dataset("vector-continuous").buffer, source("vector-continuous")
    np.random.seed(3)
    expected = stock.sample_trajectory_batch(8, 5)
    np.random.seed(3)
    found = ours.trajectories_at(np.random.randint(ours.transition_count, size=8), 5)
    for field in ("observations", "actions", "rewards", "returns_to_go", "timesteps", "masks"):
        np.testing.assert_array_equal(getattr(found, field), getattr(expected, field))
    assert not found.masks.all()  # some are padded


def test_stretches_of_episodes_are_of_frames_as_they_were_recorded():
    with pytest.raises(InputError, match="neither stacked frames"):
        build_agent(dataset("vector-continuous").with_n_steps(3, 0.9), "decision_transformer")
