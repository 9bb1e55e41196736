"""Everything that can be asked of a run besides what it is of: dataset, algorithm, sparsity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from offline_prune.base.arguments import check_switch, finite_number
from offline_prune.request.setting import Option, at_least, by, maybe, setting

__all__ = [
    "AgentOptions",
    "DeviceOptions",
    "EngineOptions",
    "PruningOptions",
    "RunOptions",
    "ScoringOptions",
]


@dataclass(frozen=True, kw_only=True)
class DeviceOptions:
    """Where networks are."""

    device: str = setting(
        '``"cpu"``, ``"cuda"`` or ``"cuda:<index>"``.',
        "cpu",
        check=by("agents.build.d3rlpy_device"),
        option=Option("--device", str, "cpu, cuda or cuda:<index>."),
    )


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """How zeros are held."""

    engine: str = setting(
        'What holds the zeros while d3rlpy trains: ``"auto"``, the fastest for each network;'
        ' ``"masked"``, layers of the original size; ``"compact"``, dense layers of the live'
        ' size; ``"sparse"``, kept weights only, where that is possible (CPU, ReLU, the ``fast``'
        " extra). All give the same weights up to rounding.",
        "auto",
        check=by("engines.check_engine"),
        option=Option("--engine", str, "auto, masked, compact or sparse."),
    )


@dataclass(frozen=True, kw_only=True)
class AgentOptions(DeviceOptions):
    """How the agent is built."""

    algo_params: Mapping[str, Any] | None = setting(
        "Hyperparameters that replace the recipe's.",
        None,
        option=Option("--param", list[str], "Hyperparameter name=value; repeatable."),
    )
    frame_stack: int | None = setting(
        "Frames that an observation is stacked of, newest last"
        " (:meth:`~offline_prune.Dataset.with_frame_stack`); None: as the dataset has them.",
        None,
        check=maybe(at_least(1)),
        option=Option("--frame-stack", int, "Frames that an observation is stacked of."),
    )
    transition_steps: int | None = setting(
        "Steps from an observation to the next of a transition, its rewards discounted by the"
        " algorithm's gamma (:meth:`~offline_prune.Dataset.with_n_steps`); None: as the dataset"
        " has them.",
        None,
        check=maybe(at_least(1)),
        option=Option("--transition-steps", int, "Steps of a transition (n-step returns)."),
    )


@dataclass(frozen=True, kw_only=True)
class ScoringOptions:
    """How weights are scored, and which of them are kept."""

    allocation: str | Mapping[str, float] | None = setting(
        '``"global"`` within a network; ``"floor"``, the same with a least fan-in'
        ' (``"floor(fan_in=8)"``) or density (``"floor(density=0.1)"``) of every layer;'
        ' ``"uniform"``, ``"erk"``; ``"constant_fan_in"``, every unit of a layer keeps as many'
        ' weights, the layers by ERK (``"constant_fan_in(layers=global)"``); or the density of'
        " every layer by weight name. None for the method's own: ERK for those that prune while"
        " training, else global.",
        None,
        check=by("masks.checks.check_allocation"),
        option=Option(
            "--allocation",
            str,
            "global, 'floor(fan_in=4)', uniform, erk or constant_fan_in; by default the method's"
            " own.",
        ),
        prunes=True,
    )
    structure: str | None = setting(
        "What kept weights have in common besides their scores, for runtimes that compute more than"
        ' what is kept: ``"units"``, they lie between the best units, at a density of .5 there'
        ' (``"units(density=0.3)"``); ``"block"``, blocks of 4 outputs × 8 inputs'
        ' (``"block(16, 16)"``); ``"2:4"``, at most 2 of any 4 inputs of a unit. None: nothing.',
        None,
        check=maybe(by("masks.structures.check_structure")),
        option=Option(
            "--structure", str, "Of masks: units, 'units(density=0.3)', 'block(4, 8)' or 2:4."
        ),
        prunes=True,
    )
    n_batches: int | None = setting(
        "Scoring mini-batches of 256 transitions; None takes"
        " :data:`~offline_prune.saliency.scoring.DEFAULT_N_BATCHES`.",
        None,
        check=maybe(at_least(1)),
        option=Option("--batches", int, "Scoring mini-batches."),
        prunes=True,
    )
    average: Literal["gradients", "scores"] = setting(
        'What is averaged over the mini-batches: ``"gradients"``, which may cancel, or'
        ' ``"scores"``, which do not.',
        "gradients",
        check=by("saliency.scoring.check_average"),
        option=Option("--average", str, "Over mini-batches: gradients or scores."),
        prunes=True,
    )
    float64: bool = setting(
        "Whether to score in double precision.",
        False,
        check=check_switch,
        option=Option("--float64", bool, "Score in double precision."),
        prunes=True,
    )
    refill: bool = setting(
        "Whether kept weights that lead nowhere make room for the next best.",
        False,
        check=check_switch,
        option=Option("--refill", bool, "Weights that lead nowhere make room for the next best."),
        prunes=True,
    )
    share_critics: bool = setting(
        "Whether twin critics share one threshold; apart by default, because a shared one can"
        " starve a head.",
        False,
        check=check_switch,
        option=Option("--share-critics", bool, "One threshold for all critics."),
        prunes=True,
    )


@dataclass(frozen=True, kw_only=True)
class PruningOptions(ScoringOptions, EngineOptions, AgentOptions):
    """How a mask is held."""

    n_steps: int | None = setting(
        "Gradient steps; None takes the recipe's.",
        None,
        check=maybe(at_least(1)),
        option=Option("--steps", int, "Gradient steps."),
    )
    batch_size: int | None = setting(
        "Transitions a gradient step; None takes the recipe's.",
        None,
        check=maybe(at_least(1)),
        option=Option("--batch-size", int, "Transitions a step."),
    )
    rescale: bool = setting(
        "Whether to scale a unit's kept weights by ``sqrt(fan-in / kept fan-in)`` before"
        ' training; short for ``"rescaled(method)"``.',
        False,
        check=check_switch,
        option=Option("--rescale", bool, "Scale kept weights for the fan-in left."),
        prunes=True,
    )
    parameterization: str | None = setting(
        "How initial weights and optimizer steps follow from the weights that a layer keeps:"
        ' ``"sparse"``, so that it learns as fast as the dense layer would'
        " (:class:`~offline_prune.masks.parameterization.Parameterization`), also with numbers,"
        ' ``"sparse(exponent=0.5, cap=10)"``; ``"standard"``, as in the dense network. None: what'
        " suits the algorithm where the mask is made before training, on initial weights.",
        None,
        check=maybe(by("masks.parameterization.make_parameterization")),
        option=Option(
            "--parameterization",
            str,
            "sparse, standard or 'sparse(exponent=0.5)': initial weights, steps.",
        ),
        prunes=True,
    )


@dataclass(frozen=True, kw_only=True)
class RunOptions(PruningOptions):
    """How a pruned agent is trained and judged: all that decides what comes out."""

    averaging: str | None = setting(
        'Whether the trained agent acts by an average of its weights: ``"tail"``, their mean over'
        ' the last quarter of training (``"tail(0.5)"``: the second half); ``"exponential"``;'
        ' ``"none"``. None: tail where the mask is made before training. Training itself does not'
        " notice; ``result.last`` has the last weights.",
        None,
        check=maybe(by("run.averaging.make_averaging")),
        option=Option("--averaging", str, "Of the weights that act: tail, exponential or none."),
    )
    feature_steps: int = setting(
        "Auxiliary steps that train an OFENet's features before anything is scored or pruned;"
        ' only with ``algo_params={"encoder": "ofenet"}``.',
        0,
        check=at_least(0),
        option=Option(
            "--feature-steps", int, "Steps of an OFENet (--param encoder=ofenet) beforehand."
        ),
    )
    evaluate: int | str = setting(
        "By what the agent is judged: a number of evaluation episodes in the environment, 0 for"
        ' none; ``"env"``, ten of them; ``"ope"``, an off-policy evaluation on held-out episodes'
        ' (:mod:`offline_prune.evaluation.off_policy`); ``"both"`` or ``"both(20)"``.',
        10,
        check=by("evaluation.plan.check_evaluate", plain=True),
        option=Option("--evaluate --episodes", str, "Evaluation episodes; 0 = none; ope, both."),
    )
    held_out: float | None = setting(
        "Fraction of the episodes that is held out before anything is scored or trained, the same"
        " ones for every seed. None: .2 where an off-policy evaluation is asked for, else none.",
        None,
        check=maybe(by("evaluation.plan.check_held_out", plain=True)),
        option=Option(
            "--held-out", float, "Fraction of the episodes to judge by, not to train on."
        ),
    )
    ope_steps: int | None = setting(
        "Gradient steps of each fitted Q function of an off-policy evaluation; None takes as many"
        " as the agent's.",
        None,
        check=maybe(at_least(1)),
        option=Option("--ope-steps", int, "Gradient steps of each fitted Q function."),
    )
    ope_fits: int | None = setting(
        "Fitted Q functions of an off-policy evaluation, a seed each; None takes 5.",
        None,
        check=maybe(at_least(1)),
        option=Option("--ope-fits", int, "Fitted Q functions of an off-policy evaluation."),
    )
    max_episode_steps: int | None = setting(
        "Steps after which an evaluation episode is cut; None takes the environment's own limit,"
        " or without one the longest episode of the dataset.",
        None,
        check=maybe(at_least(1)),
        option=Option("--max-episode-steps", int, "Where an evaluation episode is cut."),
    )
    target_return: float | None = setting(
        "Undiscounted return that a sequence model (decision transformer, TACR) is told to reach"
        " when it is evaluated; None takes the best of the dataset's episodes.",
        None,
        check=maybe(finite_number),
        option=Option("--target-return", float, "What a decision transformer is told to reach."),
    )
    retain: float | None = setting(
        'Part of the dense agent\'s score that ``sparsity="auto"`` must keep: the lower end of the'
        " ratio's 95 % interval over seeds; without an environment 1 − the part of the range"
        " of the behaviour's returns that fitted values may be lower. None takes .97.",
        None,
        check=maybe(by("run.automatic.check_retain", plain=True)),
        option=Option("--retain", float, "With --sparsity auto: part of the dense score to keep."),
    )
    max_sparsity: float | None = setting(
        'Sparsity beyond which ``"auto"`` does not look. None takes .99.',
        None,
        check=maybe(by("masks.allocation.check_sparsity", plain=True)),
        option=Option("--max-sparsity", float, "With --sparsity auto: the sparsest to try."),
    )
    search_seeds: int | None = setting(
        'Seeds of every sparsity that ``"auto"`` tries, and further ones at the end; without an'
        " environment seeds of the dense agent alone. None takes 5, without an environment 3.",
        None,
        check=maybe(at_least(2)),
        option=Option("--search-seeds", int, "With --sparsity auto: seeds of every sparsity."),
    )
