"""The cells of the online study of SAC on OFENet features, and a moment of one."""

from dataclasses import asdict, replace

import pytest

pytest.importorskip("mujoco")


@pytest.fixture
def study(monkeypatch, request, tmp_path):
    """The study, imported as when it runs as a script; it keeps its records elsewhere."""
    monkeypatch.syspath_prepend(request.config.rootpath / "benchmarks")
    import online_cells
    import online_sac_ofenet

    for module in (online_cells, online_sac_ofenet):
        monkeypatch.setattr(module, "RESULTS", tmp_path)
    short = {"n_steps": 60, "every": 20, "episodes": 1, "last_episodes": 2, "random_steps": 20}
    monkeypatch.setattr(online_sac_ofenet, "HOPPER", replace(online_sac_ofenet.HOPPER, **short))
    return online_sac_ofenet


def test_the_three_of_a_seed_come_before_the_next_seed(study):
    cells = study.cells()
    assert [cell["seed"] for cell in cells] == [0] * 3 + [1] * 3 + [2] * 3
    assert cells[1]["size"] == {**cells[0]["size"], "sparsity": 0.8}


def test_a_cell_is_trained_once_and_reported(study, tmp_path):
    cell = {"task": asdict(study.HOPPER), "size": asdict(study.SIZES["gates"]), "seed": 0}
    for _ in range(2):
        study.run_cells(study.STUDY, [cell], study.run)
    (record,) = study.records(study.STUDY)
    assert [step for step, _ in record["curve"]] == [20, 40, 60]
    study.report()
    page = (tmp_path / "online_sac_ofenet.md").read_text()
    assert f"| gates | {sum(record['weights'].values()):,} |" in page
    assert "| unpruned | – |" in page
