"""prune_and_shrink: from a trained agent to a small dense student of it."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import d3rlpy

from offline_prune.agents.agent import Agent
from offline_prune.base.progress import ProgressBar
from offline_prune.data import Dataset, load_dataset, make_environment
from offline_prune.errors import EnvironmentUnavailableError, ObjectiveNotReachedError
from offline_prune.evaluation.evaluation import Evaluation
from offline_prune.evaluation.off_policy.split import split_episodes
from offline_prune.evaluation.rollouts import evaluate as evaluate_policy
from offline_prune.pops.gate import AgreementGate, EnvironmentGate, Gate
from offline_prune.pops.options import (
    LEARNING_RATE,
    ShrinkOptions,
    ShrinkRequest,
    check_options,
)
from offline_prune.pops.pruning import PruningPhase, prune_student
from offline_prune.pops.result import Iteration, ShrinkResult, in_words
from offline_prune.pops.shrink import redundancy, shrunken_widths
from offline_prune.pops.student import Workshop, weights_of, widths
from offline_prune.pops.teacher import Teacher
from offline_prune.request.asked import asked_by

__all__ = ["check_possible", "prune_and_shrink", "shrink"]

_CONVERGED = 0.0005  # of the teacher's weights
_HELD_OUT = 0.1  # of the episodes


@asked_by(ShrinkRequest)
def prune_and_shrink(request: ShrinkRequest) -> ShrinkResult:
    """Make a small dense network that acts as a trained agent does, offline.

    Only the acting network is compressed. A student, at first a copy of it, is pruned by
    magnitude while it learns the teacher's preferences on the dataset's states. How much
    each layer could do without tells the widths of a smaller dense student; that one is
    initialised anew, distilled from the same teacher and becomes the next student to be
    pruned. This ends when the number of weights changes by less than .05 % of the
    teacher's, or when a smaller student no longer reaches the objective. The result is
    the smallest dense student that did; where none did, the sparsest pruned student of
    the first round, of the teacher's widths.

    Returns:
        The student, and how it came about.

    Raises:
        InputError: If an argument is wrong, before anything is trained; an
            :class:`~offline_prune.errors.AlgorithmError` if it is the teacher.
        EnvironmentUnavailableError: If the gate is ``"environment"`` and there is none here.
        ObjectiveNotReachedError: If no student reached the objective, pruned ever so
            little.
        NonFiniteError: If a weight becomes NaN or infinite.

    References:
        Livne, Cohen 2020, arXiv 2001.05012. Theirs draws states by acting; here they are
        the dataset's.

    Examples:
        >>> from offline_prune import load_dataset, prune, prune_and_shrink
        >>> data = load_dataset("pendulum/mixture-v0")
        >>> agent, _ = prune(data, "bc", sparsity=0.5, algo_params={"hidden_units": [32, 32]})
        >>> agent.engine.detach()  # here should be training: the teacher is to be a good one
        >>> student = prune_and_shrink(
        ...     agent.algo, data, gate="agreement", objective=0.5, n_steps=20, distil_steps=20,
        ...     gate_interval=10, max_iterations=1, evaluate=0, progress=False,
        ... )
        >>> student.fraction <= 1.0
        True
    """
    request = check_options(request)
    data = load_dataset(request.dataset)
    return shrink(
        request.teacher, data, request, evaluate=request.evaluate, progress=request.progress
    )


def shrink(
    trained: Any, data: Dataset, options: ShrinkOptions, *, evaluate: int, progress: bool
) -> ShrinkResult:
    """:func:`prune_and_shrink` with its options, checked, in one."""
    start = time.perf_counter()
    check_possible(trained, data, options)
    teacher = Teacher.of(trained, data)
    d3rlpy.seed(options.seed)
    returns = evaluate_policy(teacher.algo, data.metadata, evaluate, seed=options.seed)
    gate, states = _gate(teacher, data, options, returns)
    workshop = Workshop(
        teacher=teacher,
        data=states,
        batch_size=options.batch_size or teacher.algo.batch_size,
        learning_rate=options.learning_rate or LEARNING_RATE,
        temperature=options.temperature,
    )
    search = _Search(workshop, gate, options, progress=progress)
    found = search.run()
    weights = Agent.of(found.student).weights.values()
    parameters = found.student.impl.modules.imitator.parameters()
    return ShrinkResult(
        algo=found.student,
        hidden_units=widths(found.student),
        n_weights=_n_weights(found.student),
        n_parameters=sum(parameter.numel() for parameter in parameters),
        n_nonzero=sum(int(weight.count_nonzero()) for weight in weights),
        teacher_hidden_units=teacher.hidden_units,
        teacher_weights=teacher.n_weights,
        teacher_parameters=teacher.n_parameters,
        gate=gate.description,
        objective=gate.objective,
        lower_bound=gate.lower_bound,
        gate_score=found.score,
        iterations=tuple(search.iterations),
        evaluation=evaluate_policy(
            found.student, data.metadata, evaluate, seed=options.seed, progress=progress
        ),
        teacher_evaluation=returns,
        dataset=data.metadata.dataset_id,
        seed=options.seed,
        seconds=time.perf_counter() - start,
        history=tuple(search.history),
    )


def check_possible(trained: Any, data: Dataset, options: ShrinkOptions) -> None:
    """Refuse at once what could only fail after the teacher was trained.

    Args:
        trained: The algorithm, trained or not.
        data: The dataset.
        options: What is asked for.

    Raises:
        AlgorithmError: If it cannot be a teacher.
        InputError: If the dataset has no episode to hold out, or the lower bound is above
            the objective of an agreement.
        EnvironmentUnavailableError: If the gate needs an environment that is not here.
    """
    teacher = Teacher.of(trained, data)
    if isinstance(options.gate, str) and _kind(options.gate, data) == "agreement":
        _agreement(teacher, data, options)


def _kind(gate: str, data: Dataset) -> str:
    """``"environment"`` or ``"agreement"``."""
    if gate != "agreement":
        try:
            make_environment(data.metadata).close()
            return "environment"
        except EnvironmentUnavailableError:
            if gate == "environment":
                raise
    return "agreement"


def _gate(
    teacher: Teacher, data: Dataset, options: ShrinkOptions, returns: Evaluation
) -> tuple[Gate, Dataset]:
    """What judges students, and the data that they learn on."""
    if not isinstance(options.gate, str):
        return options.gate, data
    if _kind(options.gate, data) == "agreement":
        return _agreement(teacher, data, options)
    episodes, seed = options.gate_episodes, options.seed
    if returns.mean_return is None:  # none were asked for
        returns = evaluate_policy(teacher.algo, data.metadata, episodes, seed=seed)
    made = EnvironmentGate(
        data.metadata,
        teacher_return=float(returns.mean_return or 0.0),
        episodes=episodes,
        objective=options.objective,
        lower_bound=options.lower_bound,
        seed=seed,
    )
    return made, data


def _agreement(teacher: Teacher, data: Dataset, options: ShrinkOptions) -> tuple[Gate, Dataset]:
    """The agreement on episodes that are held out, and the data without them."""
    states, held_out = split_episodes(data, _HELD_OUT, options.seed)
    bounds = {"objective": options.objective, "lower_bound": options.lower_bound}
    return AgreementGate(teacher, held_out, **bounds), states


@dataclass(frozen=True)
class _Judged:
    """A student that reached the objective, or the best that an attempt came to."""

    student: Any
    score: float
    steps: int


class _Search:
    """Rounds of pruning and shrinking."""

    def __init__(
        self, workshop: Workshop, gate: Gate, options: ShrinkOptions, *, progress: bool
    ) -> None:
        self._workshop, self._gate, self._options = workshop, gate, options
        self._progress = progress
        self._best: _Judged | None = None
        self.iterations: list[Iteration] = []
        self.history: list[dict[str, float]] = []

    def run(self) -> _Judged:
        """The smallest student that reached the objective.

        Raises:
            ObjectiveNotReachedError: If none did.
        """
        student = self._workshop.copy_of_teacher()
        for number in range(1, self._options.max_iterations + 1):
            phase = self._round(number, student)
            if not self.iterations[-1].accepted or self._best is None:
                break
            student = self._workshop.copy_of(self._best.student)
        if self._best is None:
            raise ObjectiveNotReachedError(
                f"No student reached the objective {self._gate.objective:.6g}"
                f" ({self._gate.description}); the best score was {phase.best_score:.6g}. Lower"
                " objective=, or distil longer at low sparsity: more n_steps, more patience."
            )
        return self._best

    def _round(self, number: int, student: Any) -> PruningPhase:
        """Prune a student, shrink it, distil the small one if it is smaller indeed."""
        workshop, phase = self._workshop, self._prune(number, student)
        sparse = phase.sparsest
        without: dict[str, float] = {}
        small, judged = None, None
        if sparse is not None:
            weights = Agent.of(student).weights
            kept = {name: int(sparse.state[_own(name)].count_nonzero()) for name in weights}
            without = {name: redundancy(kept[name], w.numel()) for name, w in weights.items()}
            shapes = [tuple(weight.shape) for weight in weights.values()]
            small = shrunken_widths(shapes, list(kept.values()), self._options.minimum_width)
            if self._best is None:
                made = workshop.copy_of(student, sparse.state)
                self._best = _Judged(made, sparse.score, sparse.step)
            candidate = workshop.build(small)
            change = _n_weights(student) - _n_weights(candidate)
            if change >= _CONVERGED * workshop.teacher.n_weights:
                judged = self._distil(number, candidate)
        accepted = judged is not None and judged.score >= self._gate.objective
        self.iterations.append(
            Iteration(
                hidden_units=widths(student),
                sparsity=None if sparse is None else sparse.mask.sparsity,
                redundancy=without,
                pruning_score=None if sparse is None else sparse.score,
                pruning_steps=phase.steps,
                shrunken_units=small,
                shrunken_score=None if judged is None else judged.score,
                distillation_steps=0 if judged is None else judged.steps,
                accepted=accepted,
            )
        )
        self._best = judged if accepted else self._best
        return phase

    def _prune(self, number: int, student: Any) -> PruningPhase:
        title = f"Round {number}: pruning {in_words(widths(student))}"
        options = self._options
        with ProgressBar(title, options.n_steps, "steps", show=self._progress) as bar:
            phase = prune_student(self._workshop, student, self._gate, options, bar.advance)
        self.history += [{"iteration": number, "shrunken": 0, **row} for row in phase.history]
        return phase

    def _distil(self, number: int, student: Any) -> _Judged:
        """Distil until the objective is reached, or it gets no better."""
        best, best_score, since_best, step = weights_of(student), -math.inf, 0, 0
        title = f"Round {number}: distilling {in_words(widths(student))}"
        budget, interval = self._options.distil_steps, self._options.gate_interval
        with ProgressBar(title, budget, "steps", show=self._progress) as bar:
            for step, loss in self._workshop.train(student, budget, interval, bar.advance):
                score = self._gate.score(student)
                row = {"step": step, "loss": loss, "sparsity": 0.0, "gate_score": score}
                self.history.append({"iteration": number, "shrunken": 1, **row})
                since_best += 1
                if score > best_score:
                    best, best_score, since_best = weights_of(student), score, 0
                if score >= self._gate.objective or since_best >= self._options.patience:
                    break
        student.impl.modules.imitator.load_state_dict(best)
        return _Judged(student, best_score, step)


def _own(name: str) -> str:
    """A weight's name within the imitator, of its name within the algorithm."""
    return name.removeprefix("imitator.")


def _n_weights(student: Any) -> int:
    return sum(weight.numel() for weight in Agent.of(student).weights.values())
