"""A folder's lock, as it is here and as it is where folders cannot be locked."""

import os

import pytest

from offline_prune.base import locks
from offline_prune.base.atomic import folder_aside, remove_leftovers, written_aside
from offline_prune.base.locks import lock_folder


@pytest.fixture(params=["folders", "files"], autouse=True)
def kind(request, monkeypatch):
    if request.param == "files":
        monkeypatch.setattr(locks, "fcntl", None)
    return request.param


def test_one_holder_at_a_time(tmp_path):
    folder = tmp_path / "a"
    folder.mkdir()
    release = lock_folder(folder, wait=True)
    assert lock_folder(folder, wait=False) is None
    release()
    lock_folder(folder, wait=False)()
    assert os.listdir(tmp_path) == ["a"]


def test_what_is_being_written_stays(tmp_path):
    with folder_aside(tmp_path / "a") as folder:
        remove_leftovers(tmp_path / "a")
        assert folder.is_dir()
    assert os.listdir(tmp_path) == []


def test_what_a_killed_writer_left_goes(tmp_path, kind):
    left = tmp_path / ".a-0123abcd.partial"
    (left / "half").mkdir(parents=True)
    if kind == "files":
        (tmp_path / ".a-0123abcd.partial.lock").touch()
    with written_aside(tmp_path / "a") as aside:
        aside.write_text("whole")
    assert os.listdir(tmp_path) == ["a"]


def test_a_lock_whose_folder_was_never_made_goes(tmp_path, kind):
    if kind == "files":
        (tmp_path / ".a-0123abcd.partial.lock").touch()
    remove_leftovers(tmp_path / "a")
    assert os.listdir(tmp_path) == []
