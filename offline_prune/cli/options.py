"""Options of a command, made of the settings of a request."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from offline_prune.errors import InputError, SparsityError
from offline_prune.request.asked import signature_of
from offline_prune.request.setting import Option, settings

__all__ = ["asked", "options_of", "switch"]


def options_of(request: Any, *others: inspect.Parameter) -> inspect.Signature:
    """The signature of a command: the settings of a request that have an option.

    Args:
        request: The request's class.
        others: Further options.

    Returns:
        The signature, as typer reads it.
    """
    fields = {f.name: f for f in settings(request)}
    found = [
        _parameter(name, fields[name].metadata["option"], parameter.default)
        for name, parameter in signature_of(request).parameters.items()
        if fields[name].metadata["option"] is not None
    ]
    return inspect.Signature([*found, *others])


def switch(flag: str, meaning: str) -> inspect.Parameter:
    """A further option of a command that is on or off; its name is the flag's.

    Args:
        flag: ``"--quiet"``.
        meaning: What it is.

    Returns:
        The parameter.
    """
    return _parameter(flag.lstrip("-"), Option(flag, bool, meaning), False)


def asked(given: Mapping[str, Any]) -> dict[str, Any]:
    """Read what was typed.

    Args:
        given: Name of a setting → what typer has of it.

    Returns:
        Name → value, for a request.

    Raises:
        InputError: If a value cannot be read.
    """
    sparsity, texts = sparsities(given["sparsity"]), given["algo_params"] or []
    return {**given, "sparsity": sparsity, "algo_params": hyperparameters(texts)}


def _parameter(name: str, option: Option, default: Any) -> inspect.Parameter:
    if option.flag:
        said: Any = typer.Option(*option.flag.split(), help=option.help)
    else:
        said = typer.Argument(help=option.help)
    kind = option.kind | None if default is None else option.kind
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, said]
    )


def sparsities(text: str) -> float | str | dict[str, float | str]:
    """``".95"``, ``"auto"`` or ``"actor=.95,critic=auto"``."""

    def number(part: str) -> float | str:
        return "auto" if part.strip() == "auto" else float(part)

    try:
        if "=" not in text:
            return number(text)
        pairs = (part.split("=") for part in text.split(","))
        return {role.strip(): number(part) for role, part in pairs}
    except ValueError as error:
        raise SparsityError(
            f"--sparsity takes a number or role=number,role=number, not {text!r}."
        ) from error


def hyperparameters(texts: list[str]) -> dict[str, Any]:
    """``["learning_rate=1e-3", "hidden_units=[64, 64]"]``; values in JSON."""
    params: dict[str, Any] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign:
            raise InputError(f"--param takes name=value, not {text!r}.")
        try:
            params[name.strip()] = json.loads(value)
        except (ValueError, RecursionError):
            params[name.strip()] = value  # a bare word is a string
    return params
