import pytest

from offline_prune.errors import OutputDirectoryError
from offline_prune.reporting.folder import MANIFEST, replaced_folder


def write(path, **files):
    with replaced_folder(path) as aside:
        for name, text in files.items():
            (aside / name).write_text(text)


def test_a_report_replaces_the_one_before(tmp_path):
    path = tmp_path / "deep" / "report"
    write(path, a="1", b="2")
    write(path, a="3")
    assert sorted(p.name for p in path.iterdir()) == ["a", MANIFEST]
    assert (path / "a").read_text() == "3"
    assert list(path.parent.iterdir()) == [path]


def test_an_error_leaves_the_older_report_as_it_was(tmp_path):
    path = tmp_path / "report"
    write(path, a="1")
    with pytest.raises(TypeError, match="str"):
        write(path, a="2", b=None)
    assert (path / "a").read_text() == "1"
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_else_is_ever_replaced(tmp_path):
    path = tmp_path / "report"
    write(path, a="1")
    (path / "notes.txt").write_text("mine")
    with pytest.raises(OutputDirectoryError, match=r"notes\.txt"):
        write(path, a="2")
    assert (path / "a").read_text() == "1"
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(OutputDirectoryError, match="no folder"):
        write(file, a="1")
    link = tmp_path / "link"
    link.symlink_to(path)
    with pytest.raises(OutputDirectoryError, match="no folder"):
        write(link, a="1")
    plain = tmp_path / "plain"
    plain.mkdir()
    (plain / "data").write_text("mine")
    with pytest.raises(OutputDirectoryError, match="data"):
        write(plain, a="1")


def test_what_appears_meanwhile_stays(tmp_path):
    path = tmp_path / "report"
    context = replaced_folder(path)
    context.__enter__()
    path.mkdir()
    (path / "late").write_text("mine")
    with pytest.raises(OutputDirectoryError, match="late"):
        context.__exit__(None, None, None)
    assert (path / "late").read_text() == "mine"


def test_a_folder_with_the_name_of_a_file_stays(tmp_path):
    path = tmp_path / "report"
    write(path, a="1", b="1")
    (path / "b").unlink()
    (path / "b").mkdir()
    (path / "b" / "data").write_text("mine")
    with pytest.raises(OutputDirectoryError, match="wrote: b"):
        write(path, a="2")
    assert (path / "b" / "data").read_text() == "mine"
    assert (path / "a").read_text() == "1"
