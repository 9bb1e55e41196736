"""Every test runs on one thread and in a Minari root of its own."""

import os
import sys
import warnings

import pytest
import torch

from tests.figures import FIGURES

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # third parties warn while they are imported
    from offline_prune.cli import main

torch.set_num_threads(1)


def pytest_collection_modifyitems(items):
    """Whole folders and kinds are slow; and the longest tests come first.

    No worker is left with notebooks at the end that way.
    """
    for item in items:
        if "hardening/" in item.nodeid or "pixel-" in item.nodeid:
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: "test_notebooks" not in item.nodeid)


def pytest_sessionfinish(session):
    """A worker of pytest-xdist hands over what its tests counted."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["figures"] = dict(FIGURES)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    """The process that started the workers adds it up."""
    FIGURES.update(getattr(node, "workeroutput", {}).get("figures", {}))


def pytest_terminal_summary(terminalreporter):
    for name, number in sorted(FIGURES.items()):
        terminalreporter.write_line(f"{name}: {number}")


@pytest.fixture(scope="session")
def minari_root(tmp_path_factory):
    """A Minari root of the session, for all workers: embedded datasets are made once."""
    base = tmp_path_factory.getbasetemp()
    root = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "minari"
    root.mkdir(exist_ok=True)
    return root


@pytest.fixture(autouse=True)
def _own_minari_root(minari_root, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(minari_root))


@pytest.fixture
def run(monkeypatch, capsys):
    """Run a command in this process; returns (exit code, stdout, stderr)."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["offline-prune", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", "200")
        with pytest.raises(SystemExit) as stop:
            main()
        captured = capsys.readouterr()
        return stop.value.code, captured.out, captured.err

    return call


@pytest.fixture
def double_precision():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)
