"""Requests: of a score, of a mask that is held, of a whole run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from offline_prune.base.arguments import check_seed, check_switch, folder_path
from offline_prune.request.fit_options import FitOptions
from offline_prune.request.options import (
    AgentOptions,
    DeviceOptions,
    EngineOptions,
    PruningOptions,
    RunOptions,
    ScoringOptions,
)
from offline_prune.request.setting import Option, at_least, by, described, each, maybe, setting

if TYPE_CHECKING:
    from offline_prune.methods import MethodLike

__all__ = ["AXES", "OnlineRequest", "PruningRequest", "ScoringRequest", "TrainingRequest"]

AXES = ("dataset", "algo", "sparsity", "method", "seed")
"""What a run is of; everything else is an option."""


_SPARSITY = described(
    "Fraction of the prunable weights to remove, in [0, 1): one number, or role → number"
    ' (``{"actor": .95, "critic": .8}``; others stay dense). ``prune_then_train`` also takes'
    ' ``"auto"``, of all networks or of some: the sparsest agent that is shown to keep ``retain``'
    " of the dense one's score, or without an environment to be as close to it as another"
    " seed (:mod:`offline_prune.run.automatic`).",
    check=each(by("masks.allocation.check_sparsity")),
    option=Option("--sparsity", str, "Fraction to remove: .95, actor=.95,critic=.8, or auto."),
)


_SEED = described(
    "Of everything random; the same seed gives the same mask and weights.",
    check=lambda _, value: check_seed(value),
    option=Option("--seed", int, "Of everything random."),
)


@dataclass(frozen=True)
class _Axes:
    dataset: Any = field(
        metadata=described(
            "A Minari id, a Minari dataset, a d3rlpy replay buffer, a mapping of arrays, a path,"
            " or what :func:`load_dataset` returned.",
            option=Option("", str, "A Minari id or a path (Minari, .npz, HDF5, LeRobot)."),
        )
    )
    algo: Any = field(
        metadata=described(
            '``"bc"``, ``"bcq"``, ``"cql"``, ``"iql"`` or ``"td3_plus_bc"`` (discrete forms are'
            " chosen by the dataset's actions), a d3rlpy config, or a d3rlpy algorithm.",
            option=Option("--algo", str, "bc, bcq, cql, iql or td3_plus_bc."),
        )
    )
    sparsity: float | Mapping[str, float] | Literal["auto"] = field(metadata=_SPARSITY)
    _: KW_ONLY
    method: MethodLike | None = setting(
        'A name: before training ``"snip_flow"``, ``"snip"``, ``"grasp"``, ``"synflow"``,'
        ' ``"random"``, …; while training ``"gmp"``, ``"set"``, ``"rigl"``, ``"gates"``;'
        ' afterwards ``"pops"``, whose agent is a small dense student; an expression such as'
        ' ``"shuffled(snip)"`` or ``"force(rounds=20)"``; a mask, or the path of a saved one'
        " (:func:`~offline_prune.methods.make_method`). None: what keeps most of the algorithm's"
        " return (:func:`~offline_prune.methods.default.default_pruning`): mostly"
        ' ``"snip_flow"``.',
        None,
        option=Option(
            "--method",
            str,
            "snip_flow (by default), snip, grasp, synflow, …; while training gmp, set, rigl,"
            " gates; 'shuffled(snip)'; or a saved mask.",
        ),
    )
    seed: int = field(default=0, metadata=_SEED)


@dataclass(frozen=True, kw_only=True)
class ScoringRequest(_Axes, ScoringOptions, AgentOptions):
    """A mask, chosen and not held: what :func:`~offline_prune.run.pipeline.score` takes."""


@dataclass(frozen=True, kw_only=True)
class PruningRequest(ScoringRequest, PruningOptions):
    """A mask that is held: what :func:`~offline_prune.run.pipeline.prune` takes."""


@dataclass(frozen=True, kw_only=True)
class TrainingRequest(FitOptions, PruningRequest, RunOptions):
    """A whole run: what :func:`~offline_prune.run.pipeline.prune_then_train` takes."""

    diagnostics: bool = setting(
        "Whether to measure the networks after every epoch, into the history and d3rlpy's"
        " loggers: dormant units, srank, norms, Q values, sparsity"
        " (:class:`~offline_prune.diagnostics.NetworkDiagnostics`).",
        False,
        check=check_switch,
        option=Option("--diagnostics", bool, "Measure the networks after every epoch."),
    )
    output_dir: str | Path | None = setting(
        "Where to save the result; a new or empty folder.",
        None,
        check=maybe(by("run.folder.check_output_directory")),
        option=Option("--out", Path, "New folder for the result."),
    )
    checkpoint_dir: str | Path | None = setting(
        "Folder for the state of the run after every epoch, which runs may share. A run that was"
        " killed goes on from there when it is called again, and ends with the same weights, bit"
        " for bit on the CPU; agents with an OFENet and methods that prune while training start"
        " from their beginning. The state is removed when the run is done and its result saved.",
        None,
        check=maybe(folder_path),
        option=Option("--checkpoint", Path, "Folder to go on from after a kill or Ctrl-C."),
    )
    keep_checkpoint: bool = setting(
        "Whether the state stays nevertheless: for a caller that has yet to store what this"
        " returns. The same call then evaluates, and trains nothing.",
        False,
        check=check_switch,
    )
    progress: bool = setting("Whether to show progress bars.", True, check=check_switch)


@dataclass(frozen=True)
class OnlineRequest(ScoringOptions, EngineOptions, DeviceOptions):
    """A mask for online training: what :func:`~offline_prune.run.online.prune_online` takes."""

    environment: Any = field(metadata=described("The gymnasium environment to train in."))
    algo: Any = field(
        metadata=described(
            "A d3rlpy config (``DQNConfig()``, ``SACConfig()``, …) or algorithm; a built one keeps"
            " its weights."
        )
    )
    sparsity: float | Mapping[str, float] = field(metadata=_SPARSITY)
    _: KW_ONLY
    n_steps: int = field(
        metadata=described(
            "Environment steps that you will train: schedules are fractions of it.",
            check=at_least(1),
        )
    )
    method: MethodLike = setting(
        "As in :func:`~offline_prune.run.pipeline.prune_then_train`; without a dataset one that"
        " prunes while training.",
        "gmp",
    )
    dataset: Any = setting("What to score on, for a method that scores before training.", None)
    buffer: Any = setting(
        "The replay buffer that ``fit_online`` will fill; needed by an agent with an OFENet, whose"
        " features are trained on it.",
        None,
    )
    seed: int = field(default=0, metadata=_SEED)
