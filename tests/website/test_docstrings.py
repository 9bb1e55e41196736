import pytest

griffe = pytest.importorskip("griffe")  # the group `docs`

from website.docstrings import AsShown, linked  # noqa: E402


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


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("Two ways::\n\n    a()", "Two ways:\n\n    a()"),
        ("Do.\n\n::\n\n    a()", "Do.\n\n\n\n    a()"),
    ],
)
def test_signs_before_code_are_not_shown(said, shown):
    assert linked(said, griffe.Module("room")) == shown


def test_a_constructor_does_not_begin_anew():
    made = griffe.Function("__init__", parent=griffe.Class("C", parent=griffe.Module("room")))
    made.docstring = griffe.Docstring("Prepare.\n\nArgs:\n    a: One.", parent=made)
    AsShown().on_object(obj=made)
    assert made.docstring.value == "Args:\n    a: One."
