"""What a user asks of pruning and shrinking, checked before anything is trained."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field
from typing import Any, TypeVar

from d3rlpy.algos import BCConfig

from offline_prune.agents.configure import check_config
from offline_prune.base.arguments import check_seed, check_switch, finite_number
from offline_prune.errors import InputError, UnknownNameError
from offline_prune.evaluation.rollouts import check_episodes
from offline_prune.masks.allocation import check_sparsity
from offline_prune.pops.gate import Gate
from offline_prune.request.setting import at_least, checked, described, maybe, setting

__all__ = ["GATES", "LEARNING_RATE", "ShrinkOptions", "ShrinkRequest", "check_options"]

GATES = ("auto", "environment", "agreement")
"""Names of gates."""

LEARNING_RATE = 1e-3
"""d3rlpy's for imitation. A teacher's own served another loss: DQN's is 6.25e-5."""


Options = TypeVar("Options", bound="ShrinkOptions")


def _positive(name: str, value: Any) -> float:
    number = finite_number(name, value)
    if number <= 0:
        raise InputError(f"{name} is a positive number, not {value!r}.")
    return number


def _learning_rate(name: str, value: Any) -> float:
    number = _positive(name, value)
    check_config(BCConfig(learning_rate=number))
    return number


def _known_gate(_: str, gate: Any) -> str | Gate:
    if isinstance(gate, str) and gate not in GATES:
        raise UnknownNameError("gate", gate, GATES)
    if not isinstance(gate, str | Gate):
        raise InputError(
            f"gate is one of {', '.join(GATES)}, or an object with objective, lower_bound,"
            f" description and score(algo), not {type(gate).__name__}."
        )
    return gate


@dataclass(frozen=True, kw_only=True)
class ShrinkOptions:
    """How a student comes about."""

    objective: float | None = setting(
        "The gate's score from which on a student is good. None: by returns, the teacher's mean T"
        " over the final evaluation's episodes less ``.05 · |T − floor|``, floor being the mean"
        " return of a random policy; by agreement .95.",
        None,
        check=maybe(finite_number),
    )
    lower_bound: float | None = setting(
        "Score below which pruning pauses until the student has recovered. None: by returns"
        " ``objective − .10 · |T − floor|``; by agreement ``objective − .10``.",
        None,
        check=maybe(finite_number),
    )
    gate: str | Gate = setting(
        'What judges students. ``"environment"``: the mean return of rollouts, with new seeds each'
        ' time; ``"agreement"``: the same actions as the teacher, on a tenth of the episodes, which'
        ' students then do not learn on; ``"auto"``: the environment where it can be made here. Or'
        " a :class:`Gate` of your own.",
        "auto",
        check=_known_gate,
    )
    gate_interval: int = setting("Gradient steps between two scores.", 1_000, check=at_least(1))
    gate_episodes: int = setting("Episodes of one rollout score.", 20, check=at_least(1))
    n_steps: int = setting(
        "Gradient steps of one pruning schedule, pauses not counted.", 50_000, check=at_least(1)
    )
    distil_steps: int = setting(
        "Most gradient steps to distil a shrunken student; it is done as soon as it reaches the"
        " objective.",
        50_000,
        check=at_least(1),
    )
    final_sparsity: float = setting(
        "Of every weight tensor at the end of a schedule, in [0, 1).",
        0.99,
        check=lambda _, value: check_sparsity(value),
    )
    temperature: float = setting(
        "τ of :func:`~offline_prune.pops.distillation.kullback_leibler`, in the units of the"
        " teacher's scores; for discrete actions.",
        0.01,
        check=_positive,
    )
    patience: int = setting(
        "Failures of the gate in a row that end a pruning phase; scores in a row without a new"
        " best that end a distillation.",
        5,
        check=at_least(1),
    )
    minimum_width: int = setting("Smallest width of a shrunken layer.", 4, check=at_least(1))
    max_iterations: int = setting("Most rounds.", 10, check=at_least(1))
    batch_size: int | None = setting(
        "States a gradient step; None for the teacher's.", None, check=maybe(at_least(1))
    )
    learning_rate: float | None = setting(
        "Of Adam; None for :data:`~offline_prune.pops.options.LEARNING_RATE`.",
        None,
        check=maybe(_learning_rate),
    )
    seed: int = setting(
        "Of everything random; the same seed gives the same student.",
        0,
        check=lambda _, value: check_seed(value),
    )


@dataclass(frozen=True)
class ShrinkRequest(ShrinkOptions):
    """What :func:`~offline_prune.pops.prune_and_shrink` takes."""

    teacher: Any = field(
        metadata=described(
            "A trained d3rlpy algorithm, or what has one as ``.algo``: a result of"
            " :func:`~offline_prune.run.pipeline.prune_then_train`. BC, CQL, IQL, TD3(+BC), SAC,"
            " DQN, DoubleDQN, discrete BC, CQL and BCQ, on d3rlpy's vector or pixel encoders. It"
            " stays as it is."
        )
    )
    dataset: Any = field(
        metadata=described(
            "As in :func:`~offline_prune.run.pipeline.prune_then_train`; for its states."
        )
    )
    _: KW_ONLY
    evaluate: int = setting(
        "Evaluation episodes of teacher and result; 0 for none.",
        10,
        check=lambda _, value: check_episodes(value),
    )
    progress: bool = setting("Whether to show progress bars.", True, check=check_switch)


def check_options(options: Options) -> Options:
    """Check every option by itself, and those that depend on one another.

    Args:
        options: The options.

    Returns:
        The same with their values in plain form.

    Raises:
        InputError: If one is out of range.
    """
    options = checked(options)
    bounds = [b for b in (options.lower_bound, options.objective) if b is not None]
    if bounds and not isinstance(options.gate, str):
        raise InputError("A gate of your own has its objective and lower_bound itself.")
    if bounds != sorted(bounds):
        raise InputError(
            f"lower_bound={options.lower_bound} is above objective={options.objective}: pruning"
            " pauses below the one, students are good from the other on."
        )
    return options
