"""A setting is written down once; signature, check, option, cell and result follow."""

import dataclasses
import inspect

import numpy as np
import pytest
import typer

from offline_prune import prune, prune_and_shrink, prune_online, prune_then_train, score
from offline_prune.cli.options import options_of
from offline_prune.errors import InputError, UnknownNameError
from offline_prune.pops.options import ShrinkRequest
from offline_prune.request.asked import asked_by, signature_of
from offline_prune.request.options import RunOptions
from offline_prune.request.requests import (
    AXES,
    OnlineRequest,
    PruningRequest,
    ScoringRequest,
    TrainingRequest,
)
from offline_prune.request.setting import Option, at_least, checked, setting, settings
from offline_prune.request.settings import RunSettings
from offline_prune.study import Cell

CALLS = {
    score: ScoringRequest, prune: PruningRequest, prune_then_train: TrainingRequest,
    prune_online: OnlineRequest, prune_and_shrink: ShrinkRequest,
}  # fmt: skip
pairs = pytest.mark.parametrize(("call", "request_"), CALLS.items(), ids=lambda x: x.__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Coloured(TrainingRequest):
    brightness: int = setting(
        "How bright.", 3, check=at_least(1), option=Option("--bright", int, "How bright.")
    )


@asked_by(Coloured)
def paint(request: Coloured) -> int:
    """Paint.

    Returns:
        The brightness.
    """
    return checked(request).brightness


def test_a_new_setting_is_known_everywhere():
    assert paint("data", "bc", 0.5, brightness=np.int64(4)) == 4
    assert type(paint("data", "bc", 0.5)) is int
    with pytest.raises(InputError, match="brightness"):
        paint("data", "bc", 0.5, brightness=0)
    with pytest.raises(UnknownNameError, match=r"'brightnes'.* 'brightness'"):
        paint("data", "bc", 0.5, brightnes=1)
    assert "    brightness: How bright.\n" in paint.__doc__
    assert inspect.signature(paint).parameters["brightness"].default == 3


def test_a_new_setting_has_its_option():
    def command(**given):
        return given["brightness"]

    command.__signature__ = options_of(Coloured)
    app = typer.Typer(add_completion=False)
    app.command()(command)
    typed = ["data", "--algo", "bc", "--sparsity", ".5", "--bright", "4"]
    assert typer.main.get_command(app)(typed, standalone_mode=False) == 4


@pairs
def test_calls_tell_their_settings(call, request_):
    parameters = inspect.signature(call).parameters
    if call not in (prune_online, prune_and_shrink):
        assert list(parameters)[:5] == list(AXES)
    assert list(parameters) == list(signature_of(request_).parameters)
    for name in parameters:
        assert f"\n    {name}: " in call.__doc__
    assert inspect.signature(call).return_annotation != inspect.Signature.empty
    assert call.__doc__.index("\nArgs:\n") < call.__doc__.index("\nReturns:\n")


@pairs
def test_what_is_given_by_place_is_shown_in_the_order_in_which_it_is_taken(call, request_):
    def by_place(function):
        found = inspect.signature(function).parameters.values()
        return [p.name for p in found if p.kind is p.POSITIONAL_OR_KEYWORD]

    assert by_place(call) == by_place(request_)


@pairs
def test_every_setting_means_something_and_its_check_takes_its_default(call, request_):
    for field in settings(request_):
        assert field.metadata["meaning"].endswith(".")
        if field.metadata["check"] is not None and field.default is not dataclasses.MISSING:
            assert field.metadata["check"](field.name, field.default) == field.default


def test_options_are_fields_of_cells_and_of_results():
    options = {field.name for field in settings(RunOptions)}
    for kept in (Cell, RunSettings):
        assert options <= {field.name for field in dataclasses.fields(kept)}


def test_a_cell_asks_for_what_it_says():
    cell = Cell("some/data-v0", "iql", 3, "snip", 0.5, refill=True, evaluate=2)
    asked = cell.request(progress=False)
    assert (asked.dataset, asked.seed, asked.method, asked.refill) == (
        "some/data-v0",
        3,
        "snip",
        True,
    )
    assert (asked.evaluate, asked.progress) == (2, False)
    assert Cell("some/data-v0", "iql", sparsity=0.0).request().method == "magnitude"
