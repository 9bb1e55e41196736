import pickle
import random

import d3rlpy
import numpy as np
import pytest
import torch
from d3rlpy.dataset import create_infinite_replay_buffer
from d3rlpy.preprocessing import MinMaxActionScaler, StandardObservationScaler

from offline_prune import load_dataset
from offline_prune.errors import AlgorithmError, InputError, NonFiniteError
from offline_prune.ofenet import (
    OFENetEncoderFactory,
    OFENetTrainer,
    auxiliary_loss,
    find_readers,
    trainable,
)
from tests.ofenet.algorithms import CONTINUOUS, DISCRETE, fit, make, parameters
from tests.worlds import dataset, source


def state_of(module):
    return {n: t.clone() for n, t in module.state_dict().items()}


def equal(one, other):
    assert one.keys() == other.keys()
    return all(torch.equal(t, other[n]) for n, t in one.items())


@pytest.mark.parametrize("name", [*CONTINUOUS, *DISCRETE])
def test_rl_leaves_the_ofenet_and_the_auxiliary_step_leaves_rl_bit_identical(name):
    data = dataset("vector-discrete" if name in DISCRETE else "vector-continuous")
    algo = make(name)
    trainer = OFENetTrainer(algo, data, batch_size=16)
    trainer.pretrain(2)
    ofenet, rl = state_of(trainer.ofenet), parameters(algo)
    fit(algo, data, 10)
    assert equal(state_of(trainer.ofenet), ofenet)
    assert all(p.grad is None or not p.requires_grad for p in trainer.ofenet.parameters())
    trained = parameters(algo)
    assert rl
    assert any(not torch.equal(trained[n], before) for n, before in rl.items())
    trainer.pretrain(3)
    assert equal(parameters(algo), trained)
    changed = state_of(trainer.ofenet)
    assert not any(torch.equal(changed[n], ofenet[n]) for n in changed if "weight" in n)
    assert not trainer.ofenet.training
    assert not any(p.requires_grad for p in trainer.ofenet.parameters())


def test_the_optimizer_is_adam_on_the_ofenet_and_nothing_else():
    algo = make("td3_plus_bc")
    trainer = OFENetTrainer(algo, dataset("vector-continuous"))
    (group,) = trainer.optimizer.param_groups
    assert isinstance(trainer.optimizer, torch.optim.Adam)
    assert group["lr"] == 3e-4
    assert {id(p) for p in group["params"]} == {id(p) for p in trainer.ofenet.parameters()}
    assert all(reader.ofenet is trainer.ofenet for reader in find_readers(algo))


def test_a_step_is_adams_on_the_scaled_batch():
    data = load_dataset("pendulum/mixture-v0")
    mean, std = np.array([0.1, -0.2, 0.5]), np.array([0.7, 0.6, 2.0])
    scalers = {
        "observation_scaler": StandardObservationScaler(mean=mean, std=std),
        "action_scaler": MinMaxActionScaler(minimum=np.array([-2.0]), maximum=np.array([2.0])),
    }
    trainer = OFENetTrainer(make("td3_plus_bc", data, **scalers), data, batch_size=32, seed=5)
    twin = make("td3_plus_bc", data)
    reference = OFENetTrainer(twin, data).ofenet  # the same initial weights
    i = np.random.default_rng(5).integers(len(data), size=32)
    s, following = (
        (v[i] - mean) / (std + 1e-3) for v in (data.observations, data.next_observations)
    )
    batch = [torch.tensor(v, dtype=torch.float32) for v in (s, data.actions[i] / 2, following)]
    optimizer = torch.optim.Adam(reference.parameters(), lr=3e-4)
    with trainable(reference):
        loss = auxiliary_loss(reference, *batch, update_statistics=True)
        loss.backward()
    optimizer.step()
    taken = trainer.step()
    assert taken == pytest.approx(loss.item(), rel=1e-4)
    assert trainer.losses == [taken]
    found = trainer.ofenet.state_dict()
    for name, tensor in reference.state_dict().items():
        # Biases before batch normalisation have no gradient but rounding, which Adam scales up.
        if not name.endswith("linear.bias"):
            assert torch.allclose(found[name], tensor, atol=2e-5), name


@pytest.mark.slow
def test_the_loss_falls_on_pendulum():
    data = load_dataset("pendulum/mixture-v0")
    factory = OFENetEncoderFactory(n_layers=3, units=10, hidden_units=[8])
    algo = make("bc", data, factory=factory, observation_scaler=StandardObservationScaler())
    trainer = OFENetTrainer(algo, data, batch_size=128, learning_rate=3e-3)
    losses = trainer.pretrain(150)
    assert losses == trainer.losses
    assert len(losses) == 150
    assert np.mean(losses[-20:]) < 0.1 * np.mean(losses[:5])
    # What RL reads, with running statistics, predicts as well.
    x, following = (
        torch.tensor(algo.observation_scaler.transform_numpy(v[:500]), dtype=torch.float32)
        for v in (data.observations, data.next_observations)
    )
    with torch.no_grad():
        error = trainer.ofenet.predict(x, torch.tensor(data.actions[:500])) - following
    assert error.square().mean() < 0.3 * following.square().mean()


@pytest.mark.parametrize("online", [False, True])
def test_the_random_states_of_training_are_left_alone(online):
    data = source("vector-continuous") if online else dataset("vector-continuous")
    trainer = OFENetTrainer(make("td3_plus_bc"), data, batch_size=16)
    before = (torch.get_rng_state(), pickle.dumps(np.random.get_state()), random.getstate())
    trainer.pretrain(3)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert pickle.dumps(np.random.get_state()) == before[1]
    assert random.getstate() == before[2]


def test_the_seed_decides():
    def trained(seed):
        trainer = OFENetTrainer(make("bc"), dataset("vector-continuous"), batch_size=16, seed=seed)
        return trainer.pretrain(3)

    assert trained(0) == trained(0)
    assert trained(0) != trained(1)


def test_as_a_callback_it_takes_one_step_a_call():
    data = dataset("vector-continuous")
    algo = make("td3_plus_bc")
    trainer = OFENetTrainer(algo, data, batch_size=16)
    assert trainer.losses == []
    fit(algo, data, 7, callback=trainer)
    assert len(trainer.losses) == 7


def test_a_file_loaded_in_the_middle_is_trained_on(tmp_path):
    data = dataset("vector-continuous")
    algo = make("td3_plus_bc")
    trainer = OFENetTrainer(algo, data, batch_size=16)
    algo.save_model(str(tmp_path / "model.pt"))
    saved = state_of(trainer.ofenet)
    trainer.pretrain(2)
    algo.load_model(str(tmp_path / "model.pt"))
    assert equal(state_of(trainer.ofenet), saved)
    assert all(reader.ofenet is trainer.ofenet for reader in find_readers(algo))
    trainer.pretrain(1)
    assert not equal(state_of(trainer.ofenet), saved)


def test_a_buffer_still_to_grow():
    algo = make("td3_plus_bc")
    trainer = OFENetTrainer(algo, source("vector-continuous"), batch_size=96)
    assert trainer.step() is None  # d3rlpy, too, waits for more than a batch
    assert trainer.losses == []
    with pytest.raises(InputError, match=r"algo\.collect"):
        trainer.pretrain(1)


def test_networks_built_anew_and_other_algorithms():
    data = dataset("vector-continuous")
    algo = make("bc")
    trainer = OFENetTrainer(algo, data, batch_size=16)
    with pytest.raises(AlgorithmError, match="another algorithm"):
        trainer(make("bc"), 1, 1)
    algo.create_impl((5,), 2)
    with pytest.raises(AlgorithmError, match="built anew"):
        trainer.step()


def test_a_loss_that_is_not_finite():
    data = dataset("vector-continuous")
    trainer = OFENetTrainer(make("bc"), data, batch_size=16)
    with torch.no_grad():
        trainer.ofenet.prediction.bias.fill_(float("inf"))
    before = state_of(trainer.ofenet.prediction)
    with pytest.raises(NonFiniteError, match="its step 1"):
        trainer.step()
    assert equal(state_of(trainer.ofenet.prediction), before)
    assert trainer.losses == []


def test_scalers_that_are_not_fitted():
    data = source("vector-continuous")
    algo = make("bc", observation_scaler=StandardObservationScaler())
    trainer = OFENetTrainer(algo, data, batch_size=16)
    with pytest.raises(InputError, match="StandardObservationScaler is not fitted"):
        trainer.step()
    d3rlpy.algos.utility.build_scalers_with_transition_picker(algo, data)
    assert trainer.step() > 0


@pytest.mark.parametrize(
    "options", [{"batch_size": 1}, {"batch_size": 2.0}, {"learning_rate": 0.0}]
)
def test_wrong_numbers(options):
    with pytest.raises(InputError, match=next(iter(options))):
        OFENetTrainer(make("bc"), dataset("vector-continuous"), **options)


def test_wrong_arguments():
    plain = make("bc", factory=d3rlpy.models.VectorEncoderFactory([8]))
    with pytest.raises(AlgorithmError, match="no encoder with an OFENet"):
        OFENetTrainer(plain, dataset("vector-continuous"))
    with pytest.raises(InputError, match="load_dataset"):
        OFENetTrainer(make("bc"), "pendulum/mixture-v0")
    trainer = OFENetTrainer(make("bc"), create_infinite_replay_buffer(
        list(source("vector-continuous").episodes)
    ), batch_size=16)  # fmt: skip
    with pytest.raises(InputError, match="n_steps"):
        trainer.pretrain(-1)
