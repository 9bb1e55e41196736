import d3rlpy
import pytest

from offline_prune.agents import Agent
from offline_prune.agents.networks import find_networks
from offline_prune.errors import AlgorithmError, UnknownNameError
from tests.worlds import CASES, agent

ROLES = {
    "bc": ("actor",),
    "td3_plus_bc": ("actor", "critic[0]", "critic[1]"),
    "cql": ("actor", "critic[0]", "critic[1]"),
    "iql": ("actor", "critic[0]", "critic[1]", "value"),
    "bcq": ("actor", "critic[0]", "critic[1]", "imitator"),
    "discrete_bc": ("actor",),
    "discrete_bcq": ("critic[0]", "imitator"),
    "discrete_cql": ("critic[0]",),
}


@pytest.mark.parametrize(("kind", "algo"), CASES)
def test_roles_and_unique_weights(kind, algo):
    subject = agent(kind, algo)
    assert subject.roles == ROLES[subject.name]
    weights = [w for network in subject.networks for w in network.weights.values()]
    assert len({id(w) for w in weights}) == len(weights)
    assert len(subject.weights) == len(weights)


@pytest.mark.parametrize(("kind", "algo"), CASES)
def test_prunable_are_all_weights_of_online_layers_and_nothing_else(kind, algo):
    subject = agent(kind, algo)
    expected = {}
    for field, module in subject.algo.impl.modules.get_torch_modules().items():
        if field.startswith("targ_"):
            continue
        for name, parameter in module.named_parameters():
            if name.endswith("weight"):
                expected.setdefault(id(parameter), f"{field}.{name}")
    assert {id(w) for w in subject.weights.values()} == set(expected)
    assert set(subject.weights) == set(expected.values())


def test_a_free_log_std_is_not_prunable():
    subject = agent("vector-continuous", "iql")
    policy = subject.algo.impl.modules.policy
    assert policy._logstd.shape == (1, 2)
    assert all(w is not policy._logstd for w in subject.weights.values())


@pytest.mark.parametrize(("kind", "algo"), CASES)
def test_targets_are_the_twins_of_their_online_weights(kind, algo):
    subject = agent(kind, algo)
    modules = subject.algo.impl.modules
    everything = {}
    for field, module in modules.get_torch_modules().items():
        everything |= {f"{field}.{n}": p for n, p in module.named_parameters()}
    for name, twin in subject.targets.items():
        assert everything[f"targ_{name}"] is twin
    with_target = {n for n in subject.weights if f"targ_{n}" in everything}
    assert set(subject.targets) == with_target


def test_a_shared_encoder_belongs_to_the_critic():
    subject = agent("vector-discrete", "bcq")
    critic, imitator = subject.networks
    assert list(imitator.weights) == ["imitator._fc.weight"]
    assert len(critic.weights) == 3
    (chain,) = subject.chains
    assert [len(stage.layers) for stage in chain.stages] == [1, 1, 2]


def test_every_weight_is_on_a_chain():
    for kind, algo in CASES:
        subject = agent(kind, algo)
        chained = {name for chain in subject.chains for name in chain.weight_names}
        assert chained == set(subject.weights)
        twins = {name for chain in subject.target_chains for name in chain.weight_names}
        assert twins == set(subject.targets)


def test_sparsities_spread_over_roles():
    subject = agent("vector-continuous", "iql")
    assert set(subject.per_network(0.5).values()) == {0.5}
    assert subject.per_network({"critic[0]": 0.7, "critic": 0.5}) == {
        "actor": 0.0,
        "critic[0]": 0.7,
        "critic[1]": 0.5,
        "value": 0.0,
    }
    with pytest.raises(UnknownNameError, match="Did you mean 'critic'"):
        subject.per_network({"critics": 0.5})


def test_unknown_algorithms_are_refused():
    unknown = d3rlpy.algos.RandomPolicyConfig().create()
    with pytest.raises(AlgorithmError, match="RandomPolicy is not an algorithm"):
        find_networks(unknown)


def test_an_unbuilt_algorithm_has_no_networks():
    with pytest.raises(AlgorithmError, match="build it first"):
        Agent.of(d3rlpy.algos.IQLConfig().create())
