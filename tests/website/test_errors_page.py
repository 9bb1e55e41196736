from offline_prune import errors
from website.errors_page import error_list, messages


def test_every_error_is_listed():
    listed = [line[3:] for line in error_list().splitlines() if line.startswith("## ")]
    assert listed == errors.__all__


def test_messages_are_read_from_the_source(tmp_path):
    source = 'raise MaskError(f"{name} has no mask.")\nraise KeyError("not of ours")\n'
    (tmp_path / "module.py").write_text(source)
    assert messages(tmp_path) == {"MaskError": ["… has no mask."]}


def test_what_it_is_caught_as_is_said():
    entry = error_list().partition("## DatasetNotFoundError\n")[2].partition("\n## ")[0]
    assert "[`DatasetError`](#dataseterror), `ValueError`, `FileNotFoundError`" in entry
