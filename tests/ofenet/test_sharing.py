import d3rlpy
import numpy as np
import pytest
import torch

from offline_prune.errors import AlgorithmError
from offline_prune.ofenet import (
    OFENetEncoderFactory,
    OFENetTrainer,
    find_ofenet,
    find_readers,
    share_ofenet,
)
from tests.ofenet.algorithms import CONTINUOUS, DISCRETE, SMALL, make
from tests.worlds import dataset

READERS = {
    "bc": 1,
    "td3_plus_bc": 6,
    "iql": 6,
    "cql": 5,
    "bcq": 6,
    "sac": 5,
    "discrete_bc": 1,
    "discrete_bcq": 2,
    "discrete_cql": 2,
}


@pytest.mark.parametrize("name", READERS)
def test_all_encoders_share_one_and_predictions_stay(name):
    algo = make(name)
    observations = dataset("vector-continuous").observations[:7]
    torch.manual_seed(0)  # BCQ's actions are sampled
    before = algo.predict(observations)
    assert len(find_readers(algo)) == READERS[name]
    shared = share_ofenet(algo)
    assert all(reader.ofenet is shared for reader in find_readers(algo))
    assert find_ofenet(algo) is shared
    assert share_ofenet(algo) is shared
    actions = {"action_size": 3, "discrete_action": True}
    if name not in DISCRETE:
        actions = {"action_size": 2, "discrete_action": False}
    assert shared.sizes == {"observation_size": 5, "n_layers": 2, "units": 3, **actions}
    assert shared.prediction is not None
    torch.manual_seed(0)
    np.testing.assert_array_equal(algo.predict(observations), before)


def test_encoders_are_apart_before():
    algo = make("td3_plus_bc")
    assert len({id(reader.ofenet) for reader in find_readers(algo)}) == 6
    assert find_ofenet(algo) is None
    assert find_ofenet(make("bc")) is None  # one encoder, and φ alone


@pytest.mark.parametrize("name", ["td3_plus_bc", "iql", "cql"])
def test_targets_read_the_current_features(name):
    data = dataset("vector-continuous")
    algo = make(name)
    trainer = OFENetTrainer(algo, data, batch_size=16, learning_rate=0.05)
    modules = algo.impl.modules
    x = torch.tensor(data.observations[:9])
    a = torch.tensor(data.actions[:9])
    before = modules.targ_q_funcs[0](x, a).q_value
    trainer.pretrain(3)
    after = modules.targ_q_funcs[0](x, a).q_value
    assert not torch.equal(after, before)
    # d3rlpy starts with targets equal to the networks; RL has not moved either yet.
    assert torch.equal(after, modules.q_funcs[0](x, a).q_value)
    target = modules.targ_q_funcs[0]._encoder
    assert torch.equal(target.features(x, a), trainer.ofenet(x, a))


@pytest.mark.parametrize("name", ["td3_plus_bc", "cql"])
def test_an_algorithm_that_does_not_share_has_equal_features_all_the_same(name):
    algo = make(name)
    x, a = torch.randn(4, 5), torch.randn(4, 2)
    readers = find_readers(algo)
    assert all(torch.equal(r.ofenet(x), readers[0].ofenet(x)) for r in readers)
    both = [r.ofenet(x, a) for r in readers if r.ofenet.prediction is not None]
    assert len(both) == 4
    assert all(torch.equal(z, both[0]) for z in both)


@pytest.mark.parametrize("name", [*CONTINUOUS, *DISCRETE])
def test_an_algorithm_without_ofenet(name):
    algo = make(name, factory=d3rlpy.models.VectorEncoderFactory([8]))
    assert find_ofenet(algo) is None
    with pytest.raises(AlgorithmError, match="no encoder with an OFENet"):
        share_ofenet(algo)


def test_an_algorithm_that_is_not_built():
    algo = d3rlpy.algos.BCConfig(encoder_factory=OFENetEncoderFactory(**SMALL)).create()
    assert find_ofenet(algo) is None
    with pytest.raises(AlgorithmError, match="not built"):
        share_ofenet(algo)


def test_networks_of_different_sizes_cannot_share():
    algo = make("td3_plus_bc", critic_encoder_factory=OFENetEncoderFactory(**{**SMALL, "units": 4}))
    with pytest.raises(AlgorithmError, match="same n_layers and units"):
        share_ofenet(algo)


def test_bcqs_imitator_cannot_share():
    algo = make("bcq", imitator_encoder_factory=OFENetEncoderFactory(**SMALL))
    with pytest.raises(AlgorithmError, match="imitator_encoder_factory a plain encoder"):
        share_ofenet(algo)


@pytest.mark.parametrize("name", ["bc", "discrete_cql"])
def test_a_state_branch_keeps_its_weights_when_it_gets_the_other_branch(name):
    algo = make(name)
    x = torch.randn(4, 5)
    before = find_readers(algo)[0].ofenet(x)
    torch.manual_seed(9)  # what the other branch is drawn from
    assert torch.equal(share_ofenet(algo)(x), before)
