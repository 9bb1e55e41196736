"""Every test runs on one thread and in a Minari root of its own."""

import warnings

import pytest
import torch

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # third parties warn while they are imported
    import offline_prune  # noqa: F401

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def minari_root(tmp_path_factory):
    """A Minari root that lasts for the session: embedded datasets are made once."""
    return tmp_path_factory.mktemp("minari")


@pytest.fixture(autouse=True)
def _own_minari_root(minari_root, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(minari_root))
