"""Functions of a request, called with its settings as keywords."""

from __future__ import annotations

import functools
import inspect
import textwrap
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from offline_prune.errors import UnknownNameError
from offline_prune.request.requests import AXES
from offline_prune.request.setting import settings

__all__ = ["asked_by", "signature_of"]

Settings = ParamSpec("Settings")
Request = TypeVar("Request")
Answer = TypeVar("Answer")


def asked_by(
    request: Callable[Settings, Request],
) -> Callable[[Callable[[Request], Answer]], Callable[Settings, Answer]]:
    """Let a function of a request be called with its settings.

    Its signature and the ``Args`` of its documentation are the request's: a setting is
    written down once, there.

    Args:
        request: The request's class.

    Returns:
        A decorator; the function of the request itself stays as ``__wrapped__``.
    """
    known = [f.name for f in settings(request)]

    def decorate(function: Callable[[Request], Answer]) -> Callable[Settings, Answer]:
        @functools.wraps(function)
        def ask(*args: Settings.args, **kwargs: Settings.kwargs) -> Answer:
            for name in kwargs:
                if name not in known:
                    raise UnknownNameError("option", name, known)
            return function(request(*args, **kwargs))

        returned = inspect.signature(function).return_annotation
        signature = signature_of(request).replace(return_annotation=returned)
        ask.__signature__ = signature  # type: ignore[attr-defined]
        ask.__doc__ = _with_arguments(inspect.getdoc(function) or "", request)
        return ask

    return decorate


def signature_of(request: Any) -> inspect.Signature:
    """The signature of a request: what is given by place, what it is of, then the options.

    Args:
        request: Its class.

    Returns:
        The signature, without annotation of what is returned.
    """
    found = list(inspect.signature(request).parameters.values())
    found.sort(key=lambda p: (p.kind, p.kind == p.KEYWORD_ONLY and p.name not in AXES))
    return inspect.Signature(found)


def _with_arguments(documentation: str, request: Any) -> str:
    """A docstring with a section of arguments before its ``Returns``."""
    meanings = {f.name: f.metadata["meaning"] for f in settings(request)}
    lines = [
        textwrap.fill(
            f"{name}: {meanings[name]}", 92, initial_indent=" " * 4, subsequent_indent=" " * 8,
            break_long_words=False, break_on_hyphens=False,
        )
        for name in signature_of(request).parameters
    ]  # fmt: skip
    summary, _, rest = documentation.partition("Returns:")
    return "\n".join([summary + "Args:", *lines, "", "Returns:" + rest])
