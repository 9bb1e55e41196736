"""What an automatic choice of the sparsity looked at, and why it chose as it did."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from offline_prune.base.diagram import Diagram

__all__ = ["Candidate", "SparsitySearch"]


@dataclass(frozen=True)
class Candidate:
    """A sparsity that was tried, beside the dense agents of the same seeds.

    Attributes:
        sparsity: Fraction of the weights removed.
        scores: Score of the pruned agent of each seed.
        dense: Score of the dense agent of each seed.
        ratio: Ratio of the interquartile means, pruned over dense.
        low: Lower end of its interval over pairs of seeds
            (:func:`~offline_prune.evaluation.statistics.ratio_to_dense`).
        high: Upper end.
        accepted: Whether ``low ≥ retain``.
    """

    sparsity: float
    scores: tuple[float, ...]
    dense: tuple[float, ...]
    ratio: float
    low: float
    high: float
    accepted: bool

    def __str__(self) -> str:
        """One line."""
        verdict = "kept" if self.accepted else "not shown to be kept"
        return f"{self.sparsity:.0%}: {self.ratio:.3f} [{self.low:.3f}, {self.high:.3f}], {verdict}"


@dataclass(frozen=True)
class SparsitySearch(Diagram):
    """How a sparsity was chosen.

    Attributes:
        retain: Part of the dense agent's score that must be kept.
        level: Of the intervals.
        unit: What a score is.
        candidates: The sparsities that were tried, in that order.
        chosen: The sparsest one that was accepted; 0 where none was.
        confirmed: The chosen one again on seeds that the search had not seen; None where
            none was chosen.
        seeds: Seeds of the search.
        episodes: Evaluation episodes that all of it took.
        gradient_steps: Gradient steps that all of it took.
    """

    retain: float
    level: float
    unit: str
    candidates: tuple[Candidate, ...]
    chosen: float
    confirmed: Candidate | None
    seeds: tuple[int, ...]
    episodes: int
    gradient_steps: int

    def __str__(self) -> str:
        """Why this sparsity, in a sentence or two."""
        cost = f"{self.episodes} episodes and {self.gradient_steps:,} gradient steps"
        last = self.candidates[-1]
        if self.confirmed is None:
            return (
                f"No sparsity was shown to keep {self.retain:.0%} of the dense agent's score over"
                f" {len(self.seeds)} seeds; {last}. The result is the dense agent. It took {cost}."
            )
        stopped = "" if last.accepted else f" {last}."
        again = self.confirmed
        return (
            f"{self.chosen:.0%} is the sparsest that was shown to keep {self.retain:.0%} of the"
            f" dense agent's score.{stopped} On {len(again.scores)} further seeds it has"
            f" {again.ratio:.3f} [{again.low:.3f}, {again.high:.3f}] of it. It took {cost}."
        )

    def summary(self) -> Table:
        """The candidates as a table.

        Returns:
            A rich table.
        """
        table = Table(title=f"Keeping {self.retain:.0%} of the dense score", caption=str(self))
        for heading in (
            "sparsity",
            "seeds",
            "dense",
            "pruned",
            "ratio",
            f"{self.level:.0%} interval",
        ):
            table.add_column(heading, justify="right")
        table.add_column("")
        rows = [(c, "kept" if c.accepted else "not shown") for c in self.candidates]
        if self.confirmed is not None:
            rows.append((self.confirmed, "further seeds"))
        for candidate, said in rows:
            table.add_row(
                f"{candidate.sparsity:.0%}",
                str(len(candidate.scores)),
                f"{_mean(candidate.dense):.3f}",
                f"{_mean(candidate.scores):.3f}",
                f"{candidate.ratio:.3f}",
                f"{candidate.low:.3f} to {candidate.high:.3f}",
                said,
            )
        return table

    def to_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> SparsitySearch:
        """Read what :meth:`to_dict` wrote.

        Args:
            content: What it wrote, lists in the place of tuples.

        Returns:
            The search.
        """

        def candidate(found: Mapping[str, Any]) -> Candidate:
            scores, dense = tuple(found["scores"]), tuple(found["dense"])
            return Candidate(**{**found, "scores": scores, "dense": dense})

        confirmed = content["confirmed"]
        return cls(
            **{
                **content,
                "candidates": tuple(map(candidate, content["candidates"])),
                "confirmed": None if confirmed is None else candidate(confirmed),
                "seeds": tuple(content["seeds"]),
            }
        )

    def _draw(self, axes: Any) -> None:
        """Ratio and interval over sparsity, and what had to be kept."""
        confirmed = () if self.confirmed is None else (self.confirmed,)
        for shown, label in ((self.candidates, "search"), (confirmed, "further seeds")):
            if shown:
                axes.errorbar(
                    [100 * c.sparsity for c in shown],
                    [c.ratio for c in shown],
                    yerr=[
                        [c.ratio - c.low for c in shown],
                        [c.high - c.ratio for c in shown],
                    ],
                    fmt="o", capsize=3, label=label,
                )  # fmt: skip
        axes.axhline(self.retain, color="black", linewidth=0.8, label=f"{self.retain:.0%}")
        axes.set(xlabel="sparsity (% of weights removed)", ylabel="score / dense score")
        axes.legend()


def _mean(scores: tuple[float, ...]) -> float:
    return sum(scores) / len(scores)
