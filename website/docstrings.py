"""Extension of griffe: docstrings and signatures as the site shows them.

Docstrings name others by Sphinx's roles; a role becomes a link where the site has its target, and
code where it has not. The calls of a request get their signature and arguments when they are
imported (``offline_prune/request/asked.py``), which reading the source alone would not find.
"""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from typing import Any

import griffe

__all__ = ["AsShown", "linked"]

_RETURNED = re.compile(r"((?:Returns|Yields):\n\s+[^\n`]*?): ")
_INIT = re.compile(r"\A[^\n]+(\n\n(?=[A-Z]\w+:\n)|\Z)")  # "Prepare.", under the words of the class
_LITERAL = re.compile(r"(\w:|^ *):{1,2}$", re.MULTILINE)  # of reStructuredText: code follows
_ROLE = re.compile(r":[a-z]+:`(~?)([\w.]+)`")
_PARAMETER_KINDS = {
    inspect.Parameter.POSITIONAL_ONLY: griffe.ParameterKind.positional_only,
    inspect.Parameter.POSITIONAL_OR_KEYWORD: griffe.ParameterKind.positional_or_keyword,
    inspect.Parameter.VAR_POSITIONAL: griffe.ParameterKind.var_positional,
    inspect.Parameter.KEYWORD_ONLY: griffe.ParameterKind.keyword_only,
    inspect.Parameter.VAR_KEYWORD: griffe.ParameterKind.var_keyword,
}


class AsShown(griffe.Extension):  # type: ignore[misc]
    """Changes every object once it is read."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Turn roles of its docstring into links, and leave out what a class has said itself."""
        if obj.docstring is not None:
            said = obj.docstring.value
            obj.docstring.value = linked(
                _INIT.sub("", said) if obj.name == "__init__" else said, obj
            )

    def on_attribute_instance(self, *, attr: griffe.Attribute, **_: Any) -> None:
        """Of a setting of a request show the default, not how it is declared."""
        value = attr.value
        if isinstance(value, griffe.ExprCall) and str(value.function) == "setting":
            attr.value = value.arguments[1]

    def on_function(self, *, func: griffe.Function, **_: Any) -> None:
        """Give a call of a request the signature that it has when it runs."""
        if any("asked_by" in str(decorator.value) for decorator in func.decorators):
            call = getattr(import_module(func.module.path), func.name)
            func.parameters = griffe.Parameters(
                *(_parameter(p) for p in inspect.signature(call).parameters.values())
            )
            said = linked(inspect.getdoc(call) or "", func)
            func.docstring = griffe.Docstring(said, parent=func)
            func.decorators = []


def linked(text: str, near: griffe.Object) -> str:
    """A docstring with links instead of roles.

    Args:
        text: The docstring.
        near: Whose it is: a short name is looked for there and around it.

    Returns:
        Markdown; what the site does not show stays plain code.
    """

    def link(match: re.Match[str]) -> str:
        short, target = match[1], match[2]
        shown = target.rpartition(".")[2] if short else target
        if "." in target:
            whole = target
        else:
            try:
                whole = near.resolve(target)
            except griffe.NameResolutionError:
                return f"`{shown}`"
        return f'<autoref identifier="{whole}" optional><code>{shown}</code></autoref>'

    # "The cells, each once: …" is a sentence; the type stands in the signature.
    said = _RETURNED.sub(r"\1&#58; ", text)
    return _ROLE.sub(link, _LITERAL.sub(r"\1", said))


def _parameter(parameter: inspect.Parameter) -> griffe.Parameter:
    empty = inspect.Parameter.empty
    said = parameter.annotation
    return griffe.Parameter(
        parameter.name,
        annotation=None if said is empty else said if isinstance(said, str) else str(said),
        kind=_PARAMETER_KINDS[parameter.kind],
        default=None if parameter.default is empty else repr(parameter.default),
    )
