import pytest

griffe = pytest.importorskip("griffe")  # the group `docs`

from website.docstrings import linked  # noqa: E402


def test_roles_become_links():
    near = griffe.Module("room")
    near["call"] = griffe.Function("call", parent=near)
    assert linked(":func:`call`", near) == (
        '<autoref identifier="room.call" optional><code>call</code></autoref>'
    )
    assert ">name<" in linked(":class:`~other.name`", near)
    assert linked(":meth:`nowhere`", near) == "`nowhere`"
