"""The cells of the online study of value networks, and a moment of C51 in it."""

import json

import pytest
import torch

pytest.importorskip("tianshou")
pytest.importorskip("stable_baselines3")
pytest.importorskip("minatar")


@pytest.fixture
def study(monkeypatch, request):
    """The study, imported as when it runs as a script."""
    monkeypatch.syspath_prepend(request.config.rootpath / "benchmarks")
    import minatar_c51
    import online_minatar

    monkeypatch.setattr(online_minatar, "EPISODES", 2)
    monkeypatch.setattr(minatar_c51, "STARTS", 200)
    return online_minatar


def test_a_record_belongs_to_a_cell(study):
    own = study.records(study.STUDY)
    cells = [json.dumps(cell) for cell in study.cells()]
    assert own
    assert all(json.dumps({k: record[k] for k in study.cells()[0]}) in cells for record in own)


def test_c51_is_pruned_to_the_exact_number(study):
    record = study.run("c51", width=1, sparsity=0.9, seed=0, steps=600)
    dense = 4 * 16 * 9 + 1024 * 128 + 128 * 3 * 51
    assert record["weights"] == round(dense * 0.1)
    assert len(record["returns"]) == 2
    # The floats of whoever called are as they were.
    assert torch.tensor(1e-40) * 0.5 > 0


def test_exploration_ends_after_a_quarter(study):
    import minatar_c51

    found = [minatar_c51.epsilon(step, 400) for step in (0, 50, 100, 400)]
    assert found == pytest.approx([1, 0.525, 0.05, 0.05])
