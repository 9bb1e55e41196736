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


def test_what_is_returned_is_a_sentence():
    text = linked("Do.\n\nReturns:\n    The cells: all of them.", griffe.Module("room"))
    (_, returned) = griffe.Docstring(text).parse("google", returns_named_value=False)
    assert returned.value[0].description == "The cells&#58; all of them."
