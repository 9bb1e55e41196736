import d3rlpy
import gymnasium
import numpy as np
import pytest
import torch
from d3rlpy.dataset import create_fifo_replay_buffer
from d3rlpy.logging import (
    CombineAdapterFactory,
    FileAdapterFactory,
    LoggerAdapter,
    LoggerAdapterFactory,
    NoopAdapterFactory,
)
from d3rlpy.models import VectorEncoderFactory

from offline_prune.diagnostics import DiagnosticsAdapterFactory, NetworkDiagnostics
from tests.worlds import agent, dataset

VECTOR = "vector-continuous"


class Notes(LoggerAdapterFactory, LoggerAdapter):
    """A logger that writes down what it is called with."""

    def __init__(self):
        self.calls = []

    def create(self, algo, experiment_name, n_steps_per_epoch):
        self.calls.append(("create", experiment_name, n_steps_per_epoch))
        return self

    def __getattribute__(self, name):
        if name in ("calls", "create") or name.startswith("_"):
            return object.__getattribute__(self, name)
        return lambda *given: self.calls.append((name, *given))


def train_online(make_logger):
    """DQN on CartPole for 200 steps; the logger is made for a buffer that is empty."""
    env = gymnasium.make("CartPole-v1")
    buffer = create_fifo_replay_buffer(1000, env=env)
    logger_adapter = make_logger(buffer)
    env.reset(seed=0)
    d3rlpy.seed(0)
    algo = d3rlpy.algos.DQNConfig(
        encoder_factory=VectorEncoderFactory([16, 16]), batch_size=8
    ).create()
    algo.fit_online(
        env,
        buffer,
        n_steps=200,
        n_steps_per_epoch=100,
        logger_adapter=logger_adapter,
        experiment_name="run",
        with_timestamp=False,
        show_progress=False,
    )
    return algo


@pytest.mark.slow
def test_fit_online_writes_them_and_trains_the_same(tmp_path):
    made = []

    def logger(buffer):
        made.append(NetworkDiagnostics(buffer, n_transitions=64))
        return DiagnosticsAdapterFactory(FileAdapterFactory(str(tmp_path)), made[0])

    watched = train_online(logger)
    plain = train_online(lambda _: NoopAdapterFactory())
    states = [algo.impl.modules.q_funcs.state_dict().values() for algo in (watched, plain)]
    assert all(torch.equal(a, b) for a, b in zip(*states, strict=True))
    assert len(made[0].probe.actions) == 64
    last = made[0](watched)
    assert set(last) == {
        "dormant_critic[0]",
        "srank_critic[0]",
        "parameter_norm_critic[0]",
        "sparsity_critic[0]",
        "q_norm",
        "q_variance",
    }
    for name, value in last.items():
        rows = (tmp_path / "run" / f"{name}.csv").read_text().splitlines()
        assert [row.split(",")[:2] for row in rows] == [["1", "100"], ["2", "200"]]
        assert float(rows[1].split(",")[2]) == value
    assert (tmp_path / "run" / "loss.csv").is_file()


def test_everything_else_is_passed_on():
    notes = Notes()
    subject = agent(VECTOR, "bc")
    factory = DiagnosticsAdapterFactory(notes, lambda algo: {"answer": 42.0})
    subject.algo.fit(
        dataset(VECTOR).buffer,
        n_steps=2,
        n_steps_per_epoch=2,
        logger_adapter=CombineAdapterFactory([factory]),
        experiment_name="run",
        with_timestamp=False,
        show_progress=False,
    )
    names = [call[0] for call in notes.calls]
    metrics = [call for call in notes.calls if call[0] == "write_metric"]
    assert notes.calls[0] == ("create", "run", 2)
    assert {call[3] for call in metrics} >= {"loss", "time_step", "answer"}
    assert metrics[-1] == ("write_metric", 1, 2, "answer", 42.0)
    others = [name for name in names if name != "write_metric"]
    assert others == [
        "create",
        "write_params",
        "before_write_metric",
        "after_write_metric",
        "watch_model",
        "save_model",
        "close",
    ]
    # Tensorboard begins a table before and writes it after.
    written = [i for i, name in enumerate(names) if name == "write_metric"]
    assert names.index("before_write_metric") < written[0]
    assert names.index("after_write_metric") > written[-1]
    saved = next(call for call in notes.calls if call[0] == "save_model")
    assert saved == ("save_model", 2, subject.algo)


def test_a_commit_in_the_middle_of_an_epoch_measures_too():
    notes = Notes()
    subject = agent(VECTOR, "td3_plus_bc")
    diagnostics = NetworkDiagnostics(dataset(VECTOR), n_transitions=32)
    subject.algo.fit(
        dataset(VECTOR).buffer,
        n_steps=4,
        n_steps_per_epoch=4,
        logging_strategy=d3rlpy.constants.LoggingStrategy.STEPS,
        logging_steps=2,
        logger_adapter=DiagnosticsAdapterFactory(notes, diagnostics),
        show_progress=False,
    )
    norms = [call[4] for call in notes.calls if "parameter_norm_critic[0]" in call]
    assert len(norms) == 2
    assert np.diff(norms) != 0
