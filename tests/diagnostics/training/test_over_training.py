import math
import pickle

import d3rlpy
import numpy as np
import pytest
import torch
from d3rlpy.dataset import FIFOBuffer, ReplayBuffer
from d3rlpy.logging import FileAdapterFactory, NoopAdapterFactory
from d3rlpy.models import QRQFunctionFactory

from offline_prune.diagnostics import NetworkDiagnostics, parameter_norm, srank
from offline_prune.engines import make_engine
from offline_prune.errors import AlgorithmError, InputError
from offline_prune.masks.build import mask_from_kept
from tests.worlds import CASES, agent, dataset, long_dataset, source

VECTOR = "vector-continuous"
HELD = ("masked", "compact", "sparse")


def held(kind, algo, engine, density=0.1):
    subject = agent(kind, algo)
    generator = torch.Generator().manual_seed(0)
    kept = {
        n: torch.rand(w.shape, generator=generator) < density for n, w in subject.weights.items()
    }
    mask = mask_from_kept(subject, kept)
    holding = make_engine(engine, subject)
    holding.attach(mask)
    return subject, holding, mask


def steps(subject, kind, n):
    for _ in range(n):
        subject.algo.update(dataset(kind).buffer.sample_transition_batch(16))


@pytest.mark.parametrize(("kind", "algo"), CASES)
def test_names_of_every_agent(kind, algo):
    subject = agent(kind, algo)
    diagnostics = NetworkDiagnostics(dataset(kind), n_transitions=16)
    kinds = ("dormant", "srank", "parameter_norm", "sparsity")
    expected = [f"{kind}_{role}" for role in subject.roles for kind in kinds]
    if algo != "bc":
        expected += ["q_norm", "q_variance"]
    assert list(diagnostics.names(subject.algo)) == expected
    measured = diagnostics(subject.algo)
    assert list(measured) == expected
    assert all(type(value) is float and math.isfinite(value) for value in measured.values())
    assert diagnostics(subject.algo) == measured


@pytest.mark.parametrize("engine", HELD)
@pytest.mark.parametrize(("kind", "algo"), CASES)
def test_a_held_agent_measures_as_after_it_was_let_go(kind, algo, engine):
    subject, holding, mask = held(kind, algo, engine)
    steps(subject, kind, 2)
    diagnostics = NetworkDiagnostics(dataset(kind), n_transitions=24)
    measured = diagnostics(subject.algo)
    holding.detach()
    assert diagnostics(subject.algo) == measured
    assert NetworkDiagnostics(dataset(kind), n_transitions=24)(subject.algo) == measured
    for role in subject.roles:
        assert measured[f"sparsity_{role}"] == pytest.approx(mask[role].effective_sparsity)


@pytest.mark.parametrize("algo", ["cql", "bcq"])
def test_engines_measure_the_same_up_to_rounding(algo):
    found = []
    for engine in HELD:
        subject, _, _ = held(VECTOR, algo, engine)
        steps(subject, VECTOR, 3)
        found.append(NetworkDiagnostics(dataset(VECTOR))(subject.algo))
    assert found[1] == pytest.approx(found[0], rel=1e-4)
    assert found[2] == pytest.approx(found[0], rel=1e-4)


def test_values_by_hand():
    subject = agent(VECTOR, "td3_plus_bc")
    diagnostics = NetworkDiagnostics(dataset(VECTOR), n_transitions=50, seed=2)
    policy = subject.algo.impl.modules.policy
    with torch.no_grad():
        first = policy._encoder._layers[0]
        first.bias[:6] = -100.0  # six of 48 units never reach zero
        first.weight[6] = 0.0
    measured = diagnostics(subject.algo)
    probe = diagnostics.probe
    x = subject.algo.config.observation_scaler.transform(torch.as_tensor(probe.observations))
    with torch.no_grad():
        hidden = policy._encoder._layers[:2](x).mean(dim=0)
        features = policy._encoder(x)
    sleepy = [int((h <= 0.025 * h.mean()).sum()) for h in (hidden, features.mean(dim=0))]
    assert sleepy[0] >= 6
    assert measured["dormant_actor"] == sum(sleepy) / 48
    assert measured["srank_actor"] == srank(features)
    assert measured["parameter_norm_actor"] == parameter_norm(policy.parameters())
    assert measured["parameter_norm_actor"] > 200
    assert measured["sparsity_actor"] == 5 / (5 * 24 + 24 * 24 + 24 * 2)
    values = subject.algo.predict_value(probe.observations, probe.actions)
    assert measured["q_norm"] == pytest.approx(np.sqrt(np.mean(values**2)))
    assert measured["q_variance"] == pytest.approx(np.var(values), rel=1e-5)


def test_tau_and_delta_are_passed_on():
    algo = agent(VECTOR, "bc").algo
    lax = NetworkDiagnostics(dataset(VECTOR), tau=100.0, delta=0.9)(algo)
    strict = NetworkDiagnostics(dataset(VECTOR), tau=0.0, delta=0.0)(algo)
    assert lax["dormant_actor"] == 1.0
    assert strict["dormant_actor"] < 0.1
    assert lax["srank_actor"] < strict["srank_actor"]


def test_discrete_values_are_those_of_the_actions_in_the_data():
    subject = agent("vector-discrete", "cql")
    diagnostics = NetworkDiagnostics(dataset("vector-discrete"))
    measured = diagnostics(subject.algo)
    probe = diagnostics.probe
    values = subject.algo.predict_value(probe.observations, probe.actions.reshape(-1))
    assert measured["q_norm"] == pytest.approx(np.sqrt(np.mean(values**2)))


def test_distributional_critics():
    algo = d3rlpy.algos.DQNConfig(q_func_factory=QRQFunctionFactory(4)).create()
    algo.build_with_dataset(source("vector-discrete"))
    measured = NetworkDiagnostics(source("vector-discrete"))(algo)
    assert math.isfinite(measured["q_variance"])
    assert measured["srank_critic[0]"] > 1


def test_a_diverged_network_is_nan_not_a_crash():
    subject = agent(VECTOR, "td3_plus_bc")
    with torch.no_grad():
        subject.algo.impl.modules.q_funcs[0]._encoder._layers[0].weight[0, 0] = math.nan
    measured = NetworkDiagnostics(dataset(VECTOR))(subject.algo)
    broken = {name for name, value in measured.items() if math.isnan(value)}
    assert broken == {
        "dormant_critic[0]",
        "srank_critic[0]",
        "parameter_norm_critic[0]",
        "q_norm",
        "q_variance",
    }


@pytest.mark.parametrize("engine", [None, *HELD])
@pytest.mark.parametrize(("kind", "algo"), [(VECTOR, "cql"), (VECTOR, "bcq")])
def test_training_is_the_same_bit_for_bit(kind, algo, engine):
    found = []
    for diagnosed in (False, True):
        subject = held(kind, algo, engine)[0] if engine else agent(kind, algo)
        d3rlpy.seed(1)
        evaluators = None
        if diagnosed:
            evaluators = NetworkDiagnostics(dataset(kind)).evaluators(subject.algo)
        subject.algo.fit(
            dataset(kind).buffer,
            n_steps=6,
            n_steps_per_epoch=2,
            logger_adapter=NoopAdapterFactory(),
            show_progress=False,
            evaluators=evaluators,
        )
        modules = subject.algo.impl.modules.get_torch_modules().values()
        state = [tensor.clone() for module in modules for tensor in module.state_dict().values()]
        found.append((state, torch.get_rng_state(), np.random.get_state()[1].copy()))
    (plain, *random_plain), (watched, *random_watched) = found
    assert all(torch.equal(a, b) for a, b in zip(plain, watched, strict=True))
    assert torch.equal(random_plain[0], random_watched[0])
    assert np.array_equal(random_plain[1], random_watched[1])


def test_fit_logs_them_and_returns_them(tmp_path):
    subject, _, mask = held(VECTOR, "iql", "compact")
    diagnostics = NetworkDiagnostics(dataset(VECTOR))
    evaluators = diagnostics.evaluators(subject.algo)
    history = subject.algo.fit(
        dataset(VECTOR).buffer,
        n_steps=6,
        n_steps_per_epoch=3,
        logger_adapter=FileAdapterFactory(str(tmp_path)),
        experiment_name="run",
        with_timestamp=False,
        show_progress=False,
        evaluators=evaluators,
    )
    last = diagnostics(subject.algo)
    assert set(last) == set(evaluators)
    for name, value in last.items():
        rows = (tmp_path / "run" / f"{name}.csv").read_text().splitlines()
        assert [row.split(",")[:2] for row in rows] == [["1", "3"], ["2", "6"]]
        assert float(rows[1].split(",")[2]) == value == history[1][1][name]
    assert history[0][1]["parameter_norm_actor"] != history[1][1]["parameter_norm_actor"]
    assert history[1][1]["sparsity_value"] == pytest.approx(mask["value"].effective_sparsity)


def test_evaluators_of_an_epoch_share_one_measurement(monkeypatch):
    subject = agent(VECTOR, "bc")
    calls = []
    measure = NetworkDiagnostics.__call__
    monkeypatch.setattr(
        NetworkDiagnostics, "__call__", lambda self, algo: calls.append(1) or measure(self, algo)
    )
    evaluators = NetworkDiagnostics(dataset(VECTOR)).evaluators(subject.algo)
    assert calls == []  # the names need no data
    for epoch in range(1, 4):
        for evaluator in evaluators.values():
            evaluator(subject.algo, dataset(VECTOR).buffer)
        assert len(calls) == epoch


def test_the_probe_of_a_growing_buffer_stays():
    first, *later = source("vector-discrete").episodes
    buffer = ReplayBuffer(FIFOBuffer(12), episodes=[first])
    algo = agent("vector-discrete", "cql").algo
    diagnostics = NetworkDiagnostics(buffer, n_transitions=8)
    measured = diagnostics(algo)
    for episode in later:  # the first one drops out
        buffer.append_episode(episode)
    assert diagnostics(algo) == measured
    assert NetworkDiagnostics(buffer, n_transitions=8)(algo) != measured


def test_one_object_serves_algorithms_of_different_shape():
    data = long_dataset()
    diagnostics = NetworkDiagnostics(data)
    algos = [agent(VECTOR, name).algo for name in ("bc", "iql", "bc")]
    first, _, last = (diagnostics(algo) for algo in algos)
    assert first == last  # agents of the same seed
    assert pickle.loads(pickle.dumps(diagnostics))(algos[0]) == first


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_transitions": 0}, "n_transitions"),
        ({"n_transitions": 1.5}, "whole number"),
        ({"tau": -1.0}, "tau"),
        ({"delta": 1.0}, "delta"),
    ],
)
def test_arguments_out_of_range(options, message):
    with pytest.raises(InputError, match=message):
        NetworkDiagnostics(dataset(VECTOR), **options)


def test_refusals():
    with pytest.raises(InputError, match="Dataset"):
        NetworkDiagnostics(np.zeros((3, 2)))
    diagnostics = NetworkDiagnostics(dataset(VECTOR))
    with pytest.raises(AlgorithmError, match="build it first"):
        diagnostics.evaluators(d3rlpy.algos.BCConfig().create())
    with pytest.raises(AlgorithmError, match=r"agent\.algo"):
        diagnostics(agent(VECTOR, "bc"))
