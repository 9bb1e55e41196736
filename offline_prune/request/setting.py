"""A setting: a field of a request, with what it means and what may be asked of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, TypeVar

from offline_prune.base.arguments import whole_number

__all__ = [
    "Check",
    "Option",
    "at_least",
    "by",
    "checked",
    "described",
    "each",
    "maybe",
    "setting",
    "settings",
    "values",
]

Request = TypeVar("Request")

Check = Callable[[str, Any], Any]
"""Name, value → the value in its plain form; raises InputError."""


@dataclass(frozen=True)
class Option:
    """A setting on the command line.

    Attributes:
        flag: ``"--steps"``, several with spaces between, or ``""`` for an argument.
        kind: Type of what is typed there.
        help: What it means, in few words.
    """

    flag: str
    kind: Any
    help: str


def described(
    meaning: str,
    *,
    check: Check | None = None,
    option: Option | None = None,
    prunes: bool = False,
) -> dict[str, Any]:
    """What a request knows of one of its fields: ``field(metadata=described(…))``.

    Args:
        meaning: What it is, as the documentation of the calls that take it says it.
        check: What refuses a wrong value, before a dataset is looked at.
        option: What it is on the command line; None where it is not there.
        prunes: Whether it says how weights are chosen, so that a dense run has none of it.

    Returns:
        The field's metadata.
    """
    return {"meaning": meaning, "check": check, "option": option, "prunes": prunes}


def setting(meaning: str, default: Any, **more: Any) -> Any:
    """A field of a request that need not be given.

    Args:
        meaning: As in :func:`described`.
        default: Its default.
        **more: As there.

    Returns:
        The field.
    """
    return dataclasses.field(default=default, metadata=described(meaning, **more))


def settings(request: Any) -> Iterator[dataclasses.Field[Any]]:
    """The fields of a request, or of a class of them, that are settings."""
    return (f for f in dataclasses.fields(request) if "meaning" in f.metadata)


def values(request: Any, of: Any = None) -> dict[str, Any]:
    """The settings of a request by name.

    Args:
        request: The request.
        of: A class of requests: only the settings that it has too.

    Returns:
        Name → value.
    """
    return {f.name: getattr(request, f.name) for f in settings(of or request)}


def checked(request: Request) -> Request:
    """Check every setting by itself.

    Args:
        request: A request.

    Returns:
        The same with its values in plain form: numpy's numbers as Python's.

    Raises:
        InputError: If one of them is wrong.
    """
    plain = {
        f.name: f.metadata["check"](f.name, getattr(request, f.name))
        for f in settings(request)
        if f.metadata["check"] is not None
    }
    return dataclasses.replace(request, **plain)  # type: ignore[type-var]


def at_least(least: int) -> Check:
    """A check for a whole number that is not smaller."""
    return lambda name, value: whole_number(name, value, least)


def maybe(check: Check) -> Check:
    """The same check, for a setting that may be None."""
    return lambda name, value: value if value is None else check(name, value)


def each(check: Check) -> Check:
    """The same check for one value, or for each of a mapping."""

    def check_each(name: str, value: Any) -> Any:
        for part in value.values() if isinstance(value, Mapping) else (value,):
            check(name, part)
        return value

    return check_each


def by(function: str, *, plain: bool = False) -> Check:
    """A check that another room makes; it is imported when something is checked.

    Args:
        function: Module and name of a function of the value, ``"engines.check_engine"``.
        plain: Whether it returns the value's plain form; else the value stays as it is.

    Returns:
        The check.
    """

    def check(name: str, value: Any) -> Any:
        module, _, attribute = function.rpartition(".")
        found = getattr(import_module(f"offline_prune.{module}"), attribute)(value)
        return found if plain else value

    return check
