import warnings

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
from tests.ofenet.algorithms import CONTINUOUS, DISCRETE, SMALL, fit, make
from tests.worlds import dataset


def predictions(algo, data):
    torch.manual_seed(0)  # BCQ's actions are sampled
    found = [algo.predict(data.observations)]
    if type(algo).__name__ not in ("BC", "DiscreteBC"):
        found.append(algo.predict_value(data.observations, data.actions))
    return found


def trained(name):
    data = dataset("vector-discrete" if name in DISCRETE else "vector-continuous")
    algo = make(name)
    trainer = OFENetTrainer(algo, data, batch_size=16, learning_rate=0.01)
    fit(algo, data, 5, callback=trainer)
    return algo, data


@pytest.mark.parametrize("name", [*CONTINUOUS, *DISCRETE])
def test_a_d3_file_predicts_the_same_before_and_after_sharing(name, tmp_path):
    algo, data = trained(name)
    path = str(tmp_path / "agent.d3")
    algo.save(path)
    loaded = d3rlpy.load_learnable(path)
    for _ in range(2):
        for one, other in zip(predictions(loaded, data), predictions(algo, data), strict=True):
            np.testing.assert_array_equal(one, other)
        ofenet = share_ofenet(loaded)
    assert ofenet is not find_ofenet(algo)
    for key, tensor in find_ofenet(algo).state_dict().items():
        assert torch.equal(ofenet.state_dict()[key], tensor), key
    assert not any(p.requires_grad for p in ofenet.parameters())


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("name", ["bc", "td3_plus_bc", "discrete_cql"])
def test_a_model_file_restores_every_encoder(name, shared, tmp_path):
    algo, data = trained(name)
    path = str(tmp_path / "model.pt")
    algo.save_model(path)
    other = make(name, seed=1)
    held = share_ofenet(other) if shared else None
    assert not np.array_equal(predictions(other, data)[-1], predictions(algo, data)[-1])
    other.load_model(path)
    for one, two in zip(predictions(other, data), predictions(algo, data), strict=True):
        np.testing.assert_array_equal(one, two)
    x = torch.tensor(data.observations[:5])
    for reader in find_readers(other):
        assert torch.equal(reader.ofenet(x), find_ofenet(algo)(x))
        assert not shared or reader.ofenet is held


def test_a_file_holds_tensors_and_numbers_only(tmp_path):
    algo, _ = trained("td3_plus_bc")
    path = str(tmp_path / "model.pt")
    algo.save_model(path)
    state = torch.load(path, weights_only=True)["policy"]["_encoder._extra_state"]
    assert state["sizes"] == find_ofenet(algo).sizes
    assert state["state"].keys() == find_ofenet(algo).state_dict().keys()


def test_a_file_saved_before_sharing_loads_after(tmp_path):
    algo, other = make("td3_plus_bc"), make("td3_plus_bc", seed=1)
    path = str(tmp_path / "model.pt")
    algo.save_model(path)
    held = share_ofenet(other)
    other.load_model(path)
    expected = share_ofenet(algo)
    assert find_ofenet(other) is held
    for key, tensor in expected.state_dict().items():
        assert torch.equal(held.state_dict()[key], tensor), key


@pytest.mark.parametrize("sizes", [{"units": 4}, {"n_layers": 3}])
def test_a_file_of_another_ofenet_is_refused(sizes, tmp_path):
    algo, _ = trained("bc")
    path = str(tmp_path / "model.pt")
    algo.save_model(path)
    other = make("bc", factory=OFENetEncoderFactory(**{**SMALL, **sizes}))
    with pytest.raises(AlgorithmError, match="same encoder factory"):
        other.load_model(path)


def test_a_file_for_other_actions_is_refused():
    factory = OFENetEncoderFactory(**SMALL)
    three, two = factory.create_with_action((5,), 3), factory.create_with_action((5,), 2)
    with pytest.raises(AlgorithmError, match="actions are others"):
        two.set_extra_state(three.get_extra_state())


def test_a_policy_saved_as_torchscript_needs_no_package(tmp_path):
    algo, data = trained("td3_plus_bc")
    path = str(tmp_path / "policy.pt")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # TorchScript is
        algo.save_policy(path)
        policy = torch.jit.load(path)
    action = policy(torch.tensor(data.observations)).numpy()
    np.testing.assert_allclose(action, algo.predict(data.observations), atol=1e-6)


def test_a_state_branch_alone_is_loaded_into_an_ofenet_that_is_shared(tmp_path):
    algo, other = make("bc"), make("bc", seed=1)
    path = str(tmp_path / "model.pt")
    algo.save_model(path)  # nobody shared: the file holds φ alone
    held = share_ofenet(other)
    head = held.prediction.weight.clone()
    other.load_model(path)
    x = torch.randn(4, 5)
    (reader,) = find_readers(algo)
    assert find_ofenet(other) is held
    assert torch.equal(held(x), reader.ofenet(x))
    assert torch.equal(held.prediction.weight, head)


def test_an_ofenet_with_both_branches_is_loaded_into_an_encoder_with_one():
    factory = OFENetEncoderFactory(**SMALL)
    state = factory.create((5,)).double()
    both = factory.create_with_action((5,), 2)
    with torch.no_grad():
        for parameter in both.ofenet.parameters():
            parameter.add_(0.5)
    state.set_extra_state(both.get_extra_state())
    x, a = torch.randn(4, 5), torch.randn(4, 2)
    assert state.ofenet.dtype == torch.float64
    assert torch.allclose(state.ofenet(x.double(), a.double()).float(), both.ofenet(x, a))
