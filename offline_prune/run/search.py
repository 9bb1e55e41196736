"""What an automatic choice of the sparsity looked at, and why it chose as it did."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from offline_prune.base.diagram import Diagram
from offline_prune.run.candidates import (
    Candidate,
    DataCandidate,
    ReturnsCandidate,
    in_percent,
)

__all__ = ["SparsitySearch"]


@dataclass(frozen=True)
class SparsitySearch(Diagram):
    """How a sparsity was chosen.

    Attributes:
        retain: What must be kept: of the dense agent's score, or, by held-out episodes alone,
            1 − the part of the behaviour's range that may be lost.
        level: Of the intervals.
        unit: What a score, or a difference, is.
        candidates: The sparsities that were tried, in that order.
        chosen: The sparsest one that was accepted, of all networks or by role; 0 where
            none was.
        confirmed: The chosen one again on seeds that the search had not seen; None where
            none was chosen, or there were no rollouts.
        seeds: Seeds of the search.
        episodes: Evaluation episodes that all of it took.
        gradient_steps: Gradient steps that all of it took.
        no_rollouts: Why held-out episodes judged; None where rollouts did.
    """

    retain: float
    level: float
    unit: str
    candidates: tuple[Candidate, ...]
    chosen: float | Mapping[str, float]
    confirmed: ReturnsCandidate | None
    seeds: tuple[int, ...]
    episodes: int
    gradient_steps: int
    no_rollouts: str | None = None

    def __str__(self) -> str:
        """Why this sparsity, in a few sentences."""
        last, steps = self.candidates[-1], f"{self.gradient_steps:,} gradient steps"
        accepted = any(candidate.accepted for candidate in self.candidates)
        stopped = "" if last.accepted else f" {last}."
        result = f"The result has {in_percent(self.chosen)}."
        if not isinstance(self.chosen, Mapping):
            result = "The result is the dense agent."
        if self.no_rollouts is not None:
            rule = (
                f"as close to the dense agent as another seed of it (of {len(self.seeds)}), with"
                f" fitted values shown to be lower by at most {1 - self.retain:.0%} of {self.unit}"
            )
            said = f"No sparsity was found to be {rule}: {last}. {result}"
            if accepted:
                said = f"{in_percent(self.chosen)} is the sparsest found to be {rule}.{stopped}"
            return (
                f"{said} No rollout was made ({self.no_rollouts}): of the return itself this"
                f" is no evidence. It took {steps}."
            )
        cost = f"{self.episodes} episodes and {steps}"
        if not accepted or self.confirmed is None:
            return (
                f"No sparsity was shown to keep {self.retain:.0%} of the dense agent's score over"
                f" {len(self.seeds)} seeds; {last}. {result} It took {cost}."
            )
        again = self.confirmed
        doubt = "" if again.accepted else ", which does not show it again"
        return (
            f"{in_percent(self.chosen)} is the sparsest that was shown to keep {self.retain:.0%} of"
            f" the dense agent's score.{stopped} On {len(again.scores)} further seeds it has"
            f" {again.ratio:.3f} [{again.low:.3f}, {again.high:.3f}] of it{doubt}. It took {cost}."
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """Headings of :attr:`rows`."""
        interval = f"{self.level:.0%} interval"
        if self.no_rollouts is None:
            return ("sparsity", "seeds", "dense", "pruned", "ratio", interval, "")
        return ("sparsity", "disagreement", "of dense seeds", "value", interval, "")

    @property
    def rows(self) -> tuple[tuple[str, ...], ...]:
        """The candidates in words, and what was chosen on further seeds."""
        said = [(c, "accepted" if c.accepted else "not shown") for c in self.candidates]
        if self.confirmed is not None:
            said.append((self.confirmed, "further seeds"))
        return tuple((in_percent(c.sparsity), *_cells(c), verdict) for c, verdict in said)

    def summary(self) -> Table:
        """The candidates as a table.

        Returns:
            A rich table.
        """
        title = f"Keeping {self.retain:.0%} of the dense score"
        if self.no_rollouts is not None:
            title = "As close to the dense agent as another seed"
        table = Table(title=title, caption=str(self))
        for heading in self.columns:
            table.add_column(heading, justify="right")
        for row in self.rows:
            table.add_row(*row)
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

        def candidate(found: Mapping[str, Any]) -> Any:
            if "disagreement" in found:
                return DataCandidate(**found)
            scores, dense = tuple(found["scores"]), tuple(found["dense"])
            return ReturnsCandidate(**{**found, "scores": scores, "dense": dense})

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
        """What was found of each candidate, its interval, and what had to be kept."""
        shown: list[Candidate] = [*self.candidates]
        if self.confirmed is not None:
            shown.append(self.confirmed)
        names = [in_percent(candidate.sparsity).replace(", ", "\n") for candidate in shown]
        if self.confirmed is not None:
            names[-1] += "\nfurther seeds"
        by_returns = self.no_rollouts is None
        least = self.retain if by_returns else self.retain - 1
        for place, candidate in enumerate(shown):
            value, low, high = _interval(candidate)
            if value is not None and low is not None and high is not None:
                axes.errorbar(
                    [place], [value], yerr=[[value - low], [high - value]], fmt="o", capsize=3,
                    color="C0" if candidate.accepted else "C3",
                )  # fmt: skip
            else:
                axes.annotate(
                    "values\ndiverged", (place - 0.05, 0.25), xycoords=("data", "axes fraction"),
                    color="C3", ha="right", va="center", fontsize="small",
                )  # fmt: skip
        axes.axhline(least, color="black", linewidth=0.8)
        axes.annotate(
            f"at least {least:.0%}", (0, least), xycoords=("axes fraction", "data"),
            xytext=(4, -11), textcoords="offset points", fontsize="small",
        )  # fmt: skip
        axes.set_xticks(range(len(shown)), names)
        axes.set_xlim(-0.5, len(shown) - 0.5)
        axes.set_xlabel("sparsity (weights removed)")
        if by_returns:
            axes.set_ylabel("score / dense score")
        else:
            bottom, top = axes.get_ylim()
            axes.set_ylim(min(bottom, 2 * least), max(top, 0.0))
            axes.set_ylabel("value − dense value,\nin ranges of the data's returns")
            _draw_disagreements(axes.twinx(), [c for c in shown if isinstance(c, DataCandidate)])


def _draw_disagreements(axes: Any, candidates: list[DataCandidate]) -> None:
    """How far each acts from the dense agent, in units of how far dense seeds do."""
    noise = candidates[0].noise or 1.0
    places = [place + 0.1 for place in range(len(candidates))]  # beside the intervals
    apart = [candidate.disagreement / noise for candidate in candidates]
    axes.plot(places, apart, "s", color="C1", markersize=4)
    axes.grid(visible=False)
    axes.axhline(1.0, color="C1", linewidth=0.8, linestyle="--")
    axes.set_ylim(0.0, 1.25 * max(1.0, *apart))
    axes.set_ylabel("disagreement with dense\n/ that of dense seeds", color="C1")


def _interval(candidate: Candidate) -> tuple[float | None, float | None, float | None]:
    if isinstance(candidate, DataCandidate):
        return candidate.difference, candidate.low, candidate.high
    return candidate.ratio, candidate.low, candidate.high


def _cells(candidate: Candidate) -> list[str]:
    value, low, high = _interval(candidate)
    if isinstance(candidate, DataCandidate):
        apart = [f"{candidate.disagreement:.3g}", f"{candidate.noise:.3g}"]
        if value is None:
            return [*apart, "diverged", ""]
        return [*apart, f"{value:+.3f}", f"{low:+.3f} to {high:+.3f}"]
    dense, scores = candidate.dense, candidate.scores
    means = [f"{sum(part) / len(part):.3f}" for part in (dense, scores)]
    return [str(len(scores)), *means, f"{value:.3f}", f"{low:.3f} to {high:.3f}"]
