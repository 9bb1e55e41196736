"""Read a name with arguments, such as the method ``corrupted(snip, rewards)``."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from offline_prune.errors import InputError

__all__ = ["Expression", "parse", "plain_word"]


@dataclass(frozen=True)
class Expression:
    """A name with arguments; words among them are expressions without any.

    Attributes:
        name: The name.
        arguments: In order.
        options: By keyword.
    """

    name: str
    arguments: tuple[Expression | str | float, ...] = ()
    options: Mapping[str, Expression | str | float] = field(default_factory=dict)

    @property
    def is_name(self) -> bool:
        """Whether there are no arguments."""
        return not self.arguments and not self.options

    @property
    def plain(self) -> Expression:
        """The same, with the names of words in their place (:func:`plain_word`)."""
        options = {option: plain_word(value) for option, value in self.options.items()}
        return Expression(self.name, tuple(map(plain_word, self.arguments)), options)

    def __str__(self) -> str:
        """As it is written."""
        options = (f"{option}={value}" for option, value in self.options.items())
        inside = ", ".join((*map(str, self.arguments), *options))
        return f"{self.name}({inside})" if inside else self.name


def plain_word(value: Any) -> Any:
    """An argument whose words may stand without quotation marks.

    Args:
        value: An argument of an expression.

    Returns:
        The name of one that has no arguments itself; anything else as it is.
    """
    return value.name if isinstance(value, Expression) and value.is_name else value


def parse(
    text: str, what: str = "pruning method", example: str = "'force(rounds=20)' or 'shuffled(snip)'"
) -> Expression:
    """Read an expression; nothing is executed.

    Args:
        text: ``name``, or ``name(argument, …, option=value, …)``; an argument is a
            number, a quoted string or an expression. A hyphen in a name counts as an
            underscore: ``small-dense``. ``global`` is a name like any other.
        what: It names, for the message.
        example: Of one with arguments, for the message.

    Returns:
        The expression.

    Raises:
        InputError: If it cannot be read.
    """
    try:
        tree = ast.parse(_WORD.sub(_as_name, text.strip()), mode="eval").body
        found = _read(tree)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise InputError(
            f"{text[:200]!r} is not a {what}: {error}. Write a name, or a name with"
            f" arguments such as {example}."
        ) from error
    if not isinstance(found, Expression):
        raise InputError(f"{text!r} is not a {what} but a plain value.")
    return found


_WORD = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|\b[^\W\d]\w*(?:-[^\W\d]\w*)*""")
_GLOBAL = "_global_"  # the name of an allocation, but not a name to Python


def _as_name(match: re.Match[str]) -> str:
    """What Python can read as a name; quoted strings as they are."""
    text = match[0]
    if text[0] in "'\"":
        return text
    return _GLOBAL if text == "global" else text.replace("-", "_")


def _word(node: ast.Name) -> str:
    return "global" if node.id == _GLOBAL else node.id


def _read(node: ast.expr) -> Expression | str | float:
    if isinstance(node, ast.Name):
        return Expression(_word(node))
    if isinstance(node, ast.Constant) and isinstance(node.value, str | int | float):
        return node.value
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        arguments = tuple(_read(argument) for argument in node.args)
        options = {str(keyword.arg): _read(keyword.value) for keyword in node.keywords}
        return Expression(_word(node.func), arguments, options)
    raise ValueError("only names, numbers, quoted strings and calls are understood")
