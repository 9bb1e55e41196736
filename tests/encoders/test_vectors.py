"""Encoders of vectors by name: which network gets which, and that they are pruned."""

import d3rlpy
import numpy as np
import pytest
import torch
from d3rlpy.logging import NoopAdapterFactory
from d3rlpy.models import SimBaEncoderFactory, VectorEncoderFactory

from offline_prune import Agent, PruneResult, prune, prune_then_train
from offline_prune.agents import build_agent
from offline_prune.encoders import vector_encoder_factory
from offline_prune.engines import ENGINES
from offline_prune.errors import InputError, UnknownNameError
from offline_prune.masks.allocation import kept_count
from tests.worlds import PARAMS, dataset

VECTOR, DISCRETE, PIXELS = "vector-continuous", "vector-discrete", "pixel-discrete"
PLAIN, NORMED = VectorEncoderFactory, lambda units: VectorEncoderFactory(units, use_layer_norm=True)
SIZES = {"feature_size": 12, "hidden_size": 20, "n_blocks": 2}


def config(algo, params, kind=VECTOR):
    return build_agent(dataset(kind), algo, algo_params=params).agent.algo.config


def test_a_name_is_d3rlpys_encoder():
    assert vector_encoder_factory("plain") == PLAIN()
    assert vector_encoder_factory("plain", (8,)) == PLAIN([8])
    assert vector_encoder_factory("layer_norm", (8, 4)) == NORMED([8, 4])
    assert vector_encoder_factory("layer_norm").hidden_units == [256, 256]
    assert vector_encoder_factory("simba") == SimBaEncoderFactory()
    assert vector_encoder_factory("simba", simba=SIZES) == SimBaEncoderFactory(**SIZES)
    with pytest.raises(UnknownNameError, match="Did you mean 'layer_norm'"):
        vector_encoder_factory("layernorm")


@pytest.mark.parametrize("algo", ["td3_plus_bc", "iql", "cql", "bcq"])
@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"encoder": "layer_norm", "hidden_units": [8]}, NORMED([8])),
        ({"encoder": "plain", "hidden_units": [8]}, PLAIN([8])),
        ({"encoder": "simba", "simba": SIZES}, SimBaEncoderFactory(**SIZES)),
        ({"encoder": "simba"}, SimBaEncoderFactory()),
    ],
)
def test_a_name_sets_every_network(algo, params, expected):
    made = config(algo, params)
    fields = [field for field in vars(made) if field.endswith("encoder_factory")]
    assert len(fields) >= 2
    assert all(getattr(made, field) == expected for field in fields)


@pytest.mark.parametrize("algo", ["bc", "bcq", "cql"])
def test_a_name_sets_the_encoder_of_discrete_algorithms(algo):
    for params, expected in (
        ({"encoder": "layer_norm", "hidden_units": [8]}, NORMED([8])),
        ({"encoder": "simba", "simba": SIZES}, SimBaEncoderFactory(**SIZES)),
    ):
        assert config(algo, params, DISCRETE).encoder_factory == expected


@pytest.mark.parametrize("order", [list, reversed])
@pytest.mark.parametrize(
    ("params", "actor", "critic", "third"),
    [
        (
            {"critic_encoder": "layer_norm", "hidden_units": [8]},
            PLAIN([8]), NORMED([8]), PLAIN([8]),
        ),
        (
            {"third_encoder": "layer_norm", "hidden_units": [8]},
            PLAIN([8]), PLAIN([8]), NORMED([8]),
        ),
        (
            {"encoder": "layer_norm", "actor_encoder": "plain", "hidden_units": [8],
             "critic_hidden_units": [4]},
            PLAIN([8]), NORMED([4]), NORMED([8]),
        ),
        (
            {"encoder": "simba", "actor_encoder": "layer_norm", "actor_hidden_units": [8],
             "simba": SIZES},
            NORMED([8]), SimBaEncoderFactory(**SIZES), SimBaEncoderFactory(**SIZES),
        ),
        (
            {"critic_encoder": "simba", "simba": SIZES, "hidden_units": [8]},
            PLAIN([8]), SimBaEncoderFactory(**SIZES), PLAIN([8]),
        ),
        ({"actor_hidden_units": [4], "hidden_units": [8]}, PLAIN([4]), PLAIN([8]), PLAIN([8])),
    ],
)  # fmt: skip
@pytest.mark.parametrize(("algo", "role"), [("iql", "value"), ("bcq", "imitator")])
def test_one_network_may_have_another(algo, role, params, actor, critic, third, order):
    given = {name.replace("third", role): params[name] for name in order(list(params))}
    made = config(algo, given)
    assert made.actor_encoder_factory == actor
    assert made.critic_encoder_factory == critic
    assert getattr(made, f"{role}_encoder_factory") == third


def test_only_that_network_is_normalised():
    params = {"critic_encoder": "layer_norm", "hidden_units": [8, 8]}
    modules = build_agent(dataset(VECTOR), "iql", algo_params=params).agent.algo.impl.modules
    found = {
        name: sum(isinstance(m, torch.nn.LayerNorm) for m in getattr(modules, name).modules())
        for name in ("policy", "q_funcs", "targ_q_funcs", "value_func")
    }
    assert found == {"policy": 0, "q_funcs": 4, "targ_q_funcs": 4, "value_func": 0}


def test_a_name_goes_before_what_a_config_had():
    given = d3rlpy.algos.IQLConfig(critic_encoder_factory=PLAIN([8]), batch_size=4)
    made = config(given, {"critic_encoder": "layer_norm", "critic_hidden_units": [6]})
    assert made.critic_encoder_factory == NORMED([6])
    assert made.actor_encoder_factory == given.actor_encoder_factory


REFUSED = [
    (VECTOR, "iql", {"encoder": "simbaa"}, "Unknown encoder 'simbaa'. Did you mean 'simba'"),
    (VECTOR, "iql", {"critic_encoder": "layernorm"}, "Unknown critic_encoder .* 'layer_norm'"),
    (VECTOR, "iql", {"critic_encoder": "impala"}, "Unknown critic_encoder 'impala'"),
    (VECTOR, "iql", {"critic_encoder": ["simba"]}, "Unknown critic_encoder"),
    (VECTOR, "cql", {"value_encoder": "simba"}, "hyperparameter 'value_encoder'.*critic_encoder"),
    (VECTOR, "cql", {"critc_encoder": "simba"}, "Did you mean 'critic_encoder'"),
    (VECTOR, "bc", {"actor_encoder": "simba"}, "one encoder for .*: encoder='simba'"),
    (DISCRETE, "bcq", {"imitator_encoder": "simba"}, "one encoder for .*: encoder='simba'"),
    (DISCRETE, "cql", {"critic_hidden_units": [8]}, r"one encoder for .*: hidden_units=\[8\]"),
    (PIXELS, "cql", {"encoder": "layer_norm"}, "encoder='layer_norm' reads vectors.*'impala'"),
    (PIXELS, "cql", {"encoder": "plain", "hidden_units": [8]}, "reads vectors"),
    ("pixel-continuous", "iql", {"critic_encoder": "simba"}, "critic_encoder='simba' reads vec"),
    ("pixel-continuous", "iql", {"encoder": "impala", "critic_encoder": "simba"}, "reads vectors"),
    ("pixel-continuous", "iql", {"encoder": "impala", "critic_hidden_units": [8]}, "leave critic"),
    (VECTOR, "iql", {"encoder": "simba", "hidden_units": [8]}, "SimBa has blocks"),
    (VECTOR, "iql", {"critic_encoder": "simba", "critic_hidden_units": [8]}, "SimBa has blocks"),
    (VECTOR, "iql", {"simba": SIZES}, "ask for it: encoder='simba'"),
    (VECTOR, "iql", {"simba": SIZES, "critic_encoder": "plain"}, "ask for it: encoder='simba'"),
    (VECTOR, "iql", {"simba": SIZES, "encoder": "ofenet"}, "ask for it: encoder='simba'"),
    (VECTOR, "iql", {"encoder": "simba", "simba": {"blocks": 2}}, "Did you mean 'n_blocks'"),
    (VECTOR, "iql", {"encoder": "simba", "simba": {"n_blocks": 0}}, "simba.n_blocks is a whole"),
    (VECTOR, "iql", {"encoder": "simba", "simba": [8]}, "simba is a table of feature_size"),
    (VECTOR, "iql", {"encoder": "layer_norm", "hidden_units": [0]}, r"hidden_units\[0\]"),
    (VECTOR, "iql", {"encoder": "simba", "encoder_width": 2}, "encoder_width widens"),
    (VECTOR, "iql", {"encoder": "ofenet", "critic_encoder": "plain"}, "leave critic_encoder out"),
]


@pytest.mark.parametrize(("kind", "algo", "params", "message"), REFUSED)
@pytest.mark.parametrize("order", [list, reversed])
def test_what_is_refused_by_name(kind, algo, params, message, order):
    with pytest.raises(InputError, match=message):
        config(algo, {name: params[name] for name in order(list(params))}, kind)


LAYER_NORM = {"encoder": "layer_norm", "hidden_units": [24, 24]}
SIMBA = {"encoder": "simba", "simba": SIZES}
CASES = [
    (VECTOR, "td3_plus_bc", {"critic_encoder": "layer_norm", "hidden_units": [24, 24]}),
    (VECTOR, "iql", {"actor_encoder": "simba", "simba": SIZES, "hidden_units": [24, 24]}),
    (VECTOR, "bc", LAYER_NORM),
    (VECTOR, "cql", SIMBA),
    (VECTOR, "bcq", LAYER_NORM),
    (VECTOR, "bcq", SIMBA),
    (DISCRETE, "bcq", LAYER_NORM),
    (DISCRETE, "cql", SIMBA),
]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("kind", "algo", "params"), CASES)
def test_zeros_hold_while_they_train(kind, algo, params, engine):
    data, steps = dataset(kind), []
    given = {"batch_size": 8, **PARAMS.get((kind, algo), {}), **params}
    agent, mask = prune(data, algo, 0.9, n_batches=1, engine=engine, algo_params=given)
    before = {name: weight.clone() for name, weight in agent.engine.weights().items()}
    for network in agent.networks:
        assert mask[network.role].n_kept == kept_count(network.n_weights, 0.9)

    def check(algo, epoch, step):
        for weights in (agent.engine.weights(), agent.engine.targets()):
            for name, weight in weights.items():
                assert not weight[~mask.connected[name]].any(), name
        steps.append(step)

    agent.algo.fit(
        data.buffer, n_steps=4, n_steps_per_epoch=4, logger_adapter=NoopAdapterFactory(),
        show_progress=False, callback=check,
    )  # fmt: skip
    assert steps == [1, 2, 3, 4]
    agent.engine.verify()
    moved = {n for n, w in agent.engine.weights().items() if not torch.equal(w, before[n])}
    assert {role for role in mask if moved & set(mask[role].nominal)} == set(agent.roles)


@pytest.mark.filterwarnings("ignore::offline_prune.masks.collapse.LayerCollapseWarning")
@pytest.mark.parametrize(("kind", "algo", "params"), CASES)
def test_results_are_saved_and_loaded(kind, algo, params, tmp_path):
    data = dataset(kind)
    given = {"batch_size": 8, **PARAMS.get((kind, algo), {}), **params}
    result = prune_then_train(
        data, algo, 0.95, n_steps=4, algo_params=given, evaluate=0, progress=False
    )
    loaded = PruneResult.load(result.save(tmp_path / "run"))
    for field, factory in vars(result.algo.config).items():
        if field.endswith("encoder_factory"):
            assert getattr(loaded.algo.config, field) == factory
    weights = Agent.of(loaded.algo).weights
    for name, weight in Agent.of(result.algo).weights.items():
        assert torch.equal(weights[name], weight)
        assert not weight[~result.mask.connected[name]].any()
    if algo != "bcq" or kind == DISCRETE:  # continuous BCQ draws its actions
        x = data.observations[:9]
        np.testing.assert_array_equal(loaded.algo.predict(x), result.algo.predict(x))
