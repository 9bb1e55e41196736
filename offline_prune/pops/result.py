"""What pruning and shrinking came out with: a small dense student and how it came about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray
from rich.table import Table

from offline_prune.evaluation.evaluation import Evaluation

if TYPE_CHECKING:
    from offline_prune.export import ExportedPolicy

__all__ = ["Iteration", "ShrinkResult", "in_words"]


@dataclass(frozen=True)
class Iteration:
    """One round: prune the student, shrink it, distil the small one.

    Attributes:
        hidden_units: Widths that the round began with.
        sparsity: Of the sparsest student that reached the objective; None if none did.
        redundancy: Weight name → fraction of the layer's weights that this student could
            do without.
        pruning_score: The gate's score of it.
        pruning_steps: Gradient steps of pruning.
        shrunken_units: Widths of the small dense student; None where there is none.
        shrunken_score: The gate's best score of the small dense student; None where it was
            not trained.
        distillation_steps: Gradient steps of distilling it.
        accepted: Whether it reached the objective and took the place of the one before.
    """

    hidden_units: tuple[int, ...]
    sparsity: float | None
    redundancy: Mapping[str, float]
    pruning_score: float | None
    pruning_steps: int
    shrunken_units: tuple[int, ...] | None
    shrunken_score: float | None
    distillation_steps: int
    accepted: bool


@dataclass(frozen=True)
class ShrinkResult:
    """A small student that acts as its teacher does, and an honest account of it.

    Attributes:
        algo: The student, a stock d3rlpy ``DiscreteBC`` or ``BC``:
            ``algo.save("student.d3")`` opens in stock d3rlpy.
        hidden_units: Its widths; for images filters, then the feature size.
        n_weights: Its weights.
        n_parameters: Weights and biases.
        n_nonzero: Weights that are not zero. Fewer than :attr:`n_weights` only where no
            small student reached the objective: the result is then the sparsest pruned one
            that did, of the teacher's own widths.
        teacher_hidden_units: Widths of the teacher's acting network (of its first critic).
        teacher_weights: Weights of all its acting networks.
        teacher_parameters: Weights and biases of these.
        gate: The measure by which students were judged, in words.
        objective: Score from which on a student was good.
        lower_bound: Score below which pruning paused.
        gate_score: The score with which the result passed. Students are chosen by such
            scores, :attr:`evaluation` is of other episodes.
        iterations: Round by round.
        evaluation: Returns of the student, or why there are none.
        teacher_evaluation: Returns of the teacher in the same episodes.
        dataset: Id of the dataset; None where it had none.
        seed: Of everything random.
        seconds: Wall-clock seconds of the whole.
        history: One row an evaluation of the gate: ``iteration`` (from 1), ``shrunken`` (0
            while pruning, 1 while distilling the small student), ``step``, ``loss``,
            ``sparsity``, ``gate_score``.
    """

    algo: Any
    hidden_units: tuple[int, ...]
    n_weights: int
    n_parameters: int
    n_nonzero: int
    teacher_hidden_units: tuple[int, ...]
    teacher_weights: int
    teacher_parameters: int
    gate: str
    objective: float
    lower_bound: float
    gate_score: float
    iterations: tuple[Iteration, ...]
    evaluation: Evaluation
    teacher_evaluation: Evaluation
    dataset: str | None
    seed: int
    seconds: float
    history: tuple[Mapping[str, float], ...] = ()

    @property
    def fraction(self) -> float:
        """Weights of the student for every weight of the teacher's acting networks."""
        return self.n_weights / self.teacher_weights

    @property
    def gradient_steps(self) -> int:
        """Gradient steps of all rounds."""
        return sum(i.pruning_steps + i.distillation_steps for i in self.iterations)

    def __str__(self) -> str:
        """One line: from which size to which, and how good."""
        return (
            f"{in_words(self.teacher_hidden_units)} → {in_words(self.hidden_units)}:"
            f" {self.n_weights:,} of {self.teacher_weights:,} weights ({self.fraction:.2%}),"
            f" return {self.evaluation}; the teacher's {self.teacher_evaluation}"
        )

    def summary(self) -> Table:
        """The rounds as a table for the terminal or a notebook.

        Returns:
            A rich table: ``rich.print(result.summary())``.
        """
        table = Table(
            title=f"{in_words(self.teacher_hidden_units)} → {in_words(self.hidden_units)}:"
            f" {self.fraction:.2%} of {self.teacher_weights:,} weights",
            caption=f"return {self.evaluation}; the teacher's {self.teacher_evaluation}\n"
            f"gate: {self.gate}, objective {self.objective:.4g}, passed with"
            f" {self.gate_score:.4g}\n{self.gradient_steps:,} gradient steps in"
            f" {self.seconds:.0f} s",
        )
        table.add_column("widths")
        for heading in ("pruned", "redundancy by layer", "shrunken", "score", "steps"):
            table.add_column(heading, justify="right")
        for i in self.iterations:
            table.add_row(
                in_words(i.hidden_units),
                "no student" if i.sparsity is None else f"{i.sparsity:.1%}",
                " ".join(f"{r:.1%}" for r in i.redundancy.values()),
                "" if i.shrunken_units is None else in_words(i.shrunken_units),
                "" if i.shrunken_score is None else f"{i.shrunken_score:.4g}",
                f"{i.pruning_steps + i.distillation_steps:,}",
            )
        return table

    def export(
        self,
        path: str | Path,
        observations: NDArray[Any] | None = None,
        *,
        dtype: str = "float32",
    ) -> ExportedPolicy:
        """Write the student as a file that runs without this package.

        See :func:`~offline_prune.export.export_policy`: the written file is run and
        compared with ``algo.predict``.

        Args:
            path: Ends in ``.onnx``, ``.pt`` (TorchScript) or ``.c`` (C99). An existing
                file is replaced.
            observations: (N, *observation shape) to compare on; None takes them from the
                dataset.
            dtype: Of the weights: ``"float32"``; in C also ``"float16"`` and
                ``"int8"``, which is calibrated on the observations.

        Returns:
            What was written.

        Raises:
            InputError: If the dataset has no id and there are no observations, or they do
                not fit.
            UnsupportedExportError: If a package is missing.
            ExportError: If the written file computes something else; nothing is left.
        """
        from offline_prune.export import export_policy  # exporters, only where one is wanted

        return export_policy(self.algo, path, observations, dtype=dtype, dataset=self.dataset)


def in_words(units: tuple[int, ...]) -> str:
    """Widths of hidden layers: ``"64-32"``."""
    return "-".join(map(str, units))
