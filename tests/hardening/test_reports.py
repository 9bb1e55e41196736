"""A report that is killed or meets a full disk: an older one is never lost, and nothing stays."""

import json
import os
import shutil
import signal
import threading

import pytest

from offline_prune import report
from offline_prune.reporting.folder import MANIFEST, replaced_folder
from tests.hardening.forks import Forks
from tests.hardening.test_disk_full import (
    disk_in,
    found_on_disk,
    full_disk,
    raised_by,
    refusal,
)
from tests.hardening.test_kills import leftovers
from tests.reporting.studies import grid, write_study

OLDER = {"index.html": "older" * 1000, "a.csv": "older", "gone.csv": "older"}
OTHER = {"index.html": "other" * 1000, "b.csv": "other", "new.csv": "other"}
NEWER = {"index.html": "newer" * 1000, "a.csv": "newer", "new.csv": "newer"}
KILLS = 60


@pytest.fixture(scope="module")
def forks():
    with Forks() as process:
        yield process


def write(path, files):
    with replaced_folder(path) as aside:
        for name, text in files.items():
            (aside / name).write_text(text)


def contents(path):
    return {p.name: p.read_bytes() for p in path.iterdir()}


def texts(path):
    return {name: text.decode() for name, text in contents(path).items() if name != MANIFEST}


@pytest.mark.parametrize("older", [OLDER, None], ids=["older", "new"])
def test_killed_at_every_moment(older, forks, tmp_path):
    def prepared(name):
        path = tmp_path / name / "report"
        if older:
            write(path, older)
        return path

    path = prepared("counted")
    counted = forks.run(write, path, NEWER, kind="writes", under=path.parent)
    assert counted.error is None
    assert texts(path) == NEWER
    found, cleaned = [], 0
    for moment in range(1, counted.events, max(1, counted.events // KILLS)):
        path = prepared(str(moment))
        died = forks.run(write, path, NEWER, kind="writes", under=path.parent, die_at=moment)
        assert died.code == -signal.SIGKILL
        state = texts(path) if path.exists() else None
        if older:
            assert state["index.html"] in (OLDER["index.html"], NEWER["index.html"])
            assert state.items() <= OLDER.items() | NEWER.items()
            json.loads((path / MANIFEST).read_text())
        else:
            assert state in (None, NEWER)
        found.append(state)
        cleaned += len(leftovers(path.parent))
        write(path, NEWER)
        assert texts(path) == NEWER
        assert json.loads((path / MANIFEST).read_text())["files"] == sorted(NEWER)
        assert list(path.parent.iterdir()) == [path]
    assert older in found
    assert NEWER in found
    assert cleaned > 0
    if older:
        assert any(state not in (OLDER, NEWER) for state in found)


@pytest.mark.parametrize("older", [OLDER, None], ids=["older", "new"])
def test_of_two_at_once_one_stays_whole(older, tmp_path, monkeypatch):
    path = tmp_path / "report"
    other = threading.Thread(target=write, args=(path, OTHER))
    replace = os.replace

    def meanwhile(source, target):
        moved = target.parent if older else target
        if moved == path and not other.ident:
            other.start()
            other.join(timeout=0.5)  # waits for the lock, or is done by then
        replace(source, target)

    if older:
        write(path, older)
    monkeypatch.setattr(os, "replace", meanwhile)
    write(path, NEWER)
    other.join()
    assert texts(path) in (NEWER, OTHER)
    assert sorted(json.loads((path / MANIFEST).read_text())["files"]) == sorted(texts(path))
    assert list(tmp_path.iterdir()) == [path]


@pytest.fixture(scope="module")
def study(tmp_path_factory, forks):
    """A study with a report, and then more cells; the report of those."""
    folder = tmp_path_factory.mktemp("reported") / "study"
    forks.warm(report, write_study(folder, grid(["snip"], [0.0, 0.5], 2)))
    write_study(folder, grid(["snip"], [0.9], 2))
    forks.warm(report, folder, folder / "newer")
    newer = contents(folder / "newer")
    shutil.rmtree(folder / "newer")
    return folder, newer


def test_a_report_that_was_killed_is_made_again(study, forks, tmp_path):
    folder, newer = study
    older = contents(folder / "report")
    shutil.copytree(folder, tmp_path / "study")
    here = tmp_path / "study"
    counted = forks.run(report, here, tmp_path / "out", under=tmp_path / ".out")
    assert counted.error is None
    assert contents(tmp_path / "out") == newer
    for part in (0.2, 0.4, 0.6):
        moment = int(part * counted.events)
        died = forks.run(report, here, under=here / ".report", die_at=moment)
        assert died.code == -signal.SIGKILL
        assert contents(here / "report") == older
        assert len(leftovers(here)) == 1  # of the last one alone
    assert forks.run(report, here).error is None
    assert contents(here / "report") == newer
    assert not leftovers(here)


def report_without_room(study, folder, how, room):
    """A report of a study in little room, and again; what was raised, and was found."""
    disk = disk_in(folder, how)
    here = disk / "study"
    shutil.copytree(study, here)
    with full_disk(how, disk, room):
        raised = raised_by(report, here)
    found = {
        "raised": raised,
        "there": contents(here / "report"),
        "leftovers": leftovers(here),
    }
    report(here)
    return found | {"at last": contents(here / "report")}


@pytest.mark.parametrize(
    ("how", "room"),
    # Where the tables end, in a figure, and in the page.
    [("limit", 500), ("limit", 20_000), ("limit", 100_000), ("tmpfs", 100_000)],
)
def test_a_full_disk_leaves_the_older_report(how, room, study, forks, tmp_path):
    folder, newer = study
    found = found_on_disk(forks.run(report_without_room, folder, tmp_path, how, room))
    assert "report could not be written" in refusal(found["raised"])
    assert found["there"] == contents(folder / "report")
    assert found["leftovers"] == []
    assert found["at last"] == newer
