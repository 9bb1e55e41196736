import gymnasium
import numpy as np
import pytest
import torch
from d3rlpy.algos import SACConfig
from d3rlpy.dataset import create_fifo_replay_buffer
from d3rlpy.logging import NoopAdapterFactory
from d3rlpy.preprocessing import MinMaxActionScaler

import offline_prune
from offline_prune.ofenet import OFENetEncoderFactory, OFENetTrainer, find_ofenet, find_readers
from tests.ofenet.algorithms import CONTINUOUS, DISCRETE, SMALL, fit, make
from tests.worlds import dataset


@pytest.mark.parametrize("name", [*CONTINUOUS, *DISCRETE])
def test_every_algorithm_trains_on_features_that_are_trained_meanwhile(name):
    data = dataset("vector-discrete" if name in DISCRETE else "vector-continuous")
    algo = make(name)
    trainer = OFENetTrainer(algo, data, batch_size=16)
    ((_, metrics),) = fit(algo, data, 10, callback=trainer)
    assert all(np.isfinite(value) for value in metrics.values())
    assert len(trainer.losses) == 10
    assert all(reader.ofenet is trainer.ofenet for reader in find_readers(algo))
    own = [p for r in find_readers(algo) for p in r.parameters()]
    ofenet = {id(p) for p in trainer.ofenet.parameters()}
    steps = [
        {id(p) for g in wrapper.optim.param_groups for p in g["params"]}
        for wrapper in vars(algo.impl.modules).values()
        if hasattr(wrapper, "optim")
    ]
    assert not any(ofenet & stepped for stepped in steps)
    assert {id(p) for p in own} & set().union(*steps)


@pytest.mark.slow
def test_sac_online():
    torch.manual_seed(0)
    env = gymnasium.make("Pendulum-v1")
    env.reset(seed=0)
    env.action_space.seed(0)
    factory = OFENetEncoderFactory(**{**SMALL, "units": 8, "hidden_units": [32]})
    algo = SACConfig(
        actor_encoder_factory=factory,
        critic_encoder_factory=factory,
        action_scaler=MinMaxActionScaler(minimum=np.array([-2.0]), maximum=np.array([2.0])),
        batch_size=32,
    ).create()
    algo.build_with_env(env)
    buffer = create_fifo_replay_buffer(1_000, env=env)
    trainer = OFENetTrainer(algo, buffer, batch_size=32, learning_rate=3e-3)
    algo.fit_online(
        env,
        buffer,
        n_steps=300,
        n_steps_per_epoch=300,
        random_steps=50,
        callback=trainer,
        logger_adapter=NoopAdapterFactory(),
        show_progress=False,
    )
    env.close()
    assert algo.grad_step > 250
    # Transitions come one step late and one an episode less; then 33 of them are waited for.
    assert len(trainer.losses) == 300 - 33
    assert np.mean(trainer.losses[-20:]) < 0.5 * np.mean(trainer.losses[:5])
    action = algo.predict(np.array([[1.0, 0.0, 0.0]], dtype=np.float32))
    assert np.isfinite(action).all()


def test_an_agent_is_pruned_while_its_own_trainer_goes_on():
    data = dataset("vector-continuous")
    algo = make("td3_plus_bc")
    trainer = OFENetTrainer(algo, data, batch_size=16)
    trainer.pretrain(2)
    result = offline_prune.prune_then_train(
        data, algo, 0.5, n_steps=10, n_batches=1, evaluate=0, progress=False, callback=trainer
    )
    assert result.mask.sparsity == pytest.approx(0.5, abs=0.01)
    assert result.mask["features"].sparsity == pytest.approx(0.5, abs=0.01)
    for name, weight in trainer.ofenet.named_parameters():
        if (kept := result.mask.connected.get(f"ofenet.{name}")) is not None:
            assert not weight[~kept].any()
            for moment in ("exp_avg", "exp_avg_sq"):
                assert not trainer.optimizer.state[weight][moment][~kept].any()
    assert find_ofenet(result.algo) is trainer.ofenet
    assert len(trainer.losses) == 12
    weights = dict(result.algo.impl.policy.named_parameters())
    for name, kept in result.mask.nominal.items():
        if name.startswith("policy."):
            weight = weights[name.removeprefix("policy.")]
            assert not weight[~kept].any()
