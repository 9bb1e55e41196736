"""The questions of the study, answered from its committed results.

    python benchmarks/study/answers.py

reads ``benchmarks/study/results.tar.xz`` and writes ``benchmarks/study/answers.md``.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from offline_prune.base.atomic import written_aside
from offline_prune.evaluation.statistics import Estimate, probability_of_improvement
from offline_prune.reporting import Analysis, analyse
from offline_prune.reporting.tasks import Group, Task
from offline_prune.study import read_records

FOLDER = Path(__file__).parent
SNIP, GRASP, RANDOM = "snip", "grasp", "random, allocation erk"
RIVALS = (
    (GRASP, "GraSP"),
    ("shuffled(snip)", "its own mask, shuffled within layers"),
    (RANDOM, "random, ERK densities"),
    ("magnitude", "magnitude of the initial weights"),
    ("corrupted(snip, actions)", "SNIP on shuffled actions"),
    ("corrupted(snip, rewards)", "SNIP on shuffled rewards"),
    ("corrupted(snip, noise)", "SNIP on noise"),
    ("small_dense", "small dense network"),
    ("rescaled(snip)", "the same mask, weights rescaled"),
    ("gmp", "gradual magnitude pruning"),
)
SHARES = (0.2, 0.4, 0.6, 0.8, 1.0)


def main() -> None:
    """Write the answers."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.unpack_archive(FOLDER / "results.tar.xz", folder, filter="data")
        analysis = analyse(Path(folder) / "results")
        records = read_records(Path(folder) / "results")
    hours = {record["id"]: record["timing"]["seconds"] / 3600 for record in records}
    parts = [
        "# Answers of the study",
        "Made by `python benchmarks/study/answers.py` of the committed results. Scores are"
        " normalised returns, mean over the final window; intervals are 95 % (stratified bootstrap"
        " over seeds; of probabilities Newcombe's).",
        "## Budget",
        _budget(analysis, hours),
        "## Dense agents",
        _dense(analysis),
        "## Where is performance retained?",
        "Ratio of interquartile means to dense, over pairs of seeds. **Bold**: retained (lower"
        " end ≥ .97).",
        _retained(analysis),
        "## What does SNIP beat?",
        "Probability that a run of SNIP scores higher than one of the other method (a tie counts"
        " half): .5 is no difference.",
        *_rivals(analysis),
        "## Actor or critic?",
        "Ratio to dense where only some networks are pruned by SNIP.",
        _by_network(analysis),
        "## Which method at which sparsity?",
        "Interquartile mean of the score, best first.",
        _ranking(analysis),
        "## How fast do sparse networks learn?",
        "Interquartile mean of the score over the run, dense / SNIP at 95 %.",
        _speed(analysis),
    ]
    with written_aside(FOLDER / "answers.md") as aside:
        aside.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _budget(analysis: Analysis, hours: Mapping[str, float]) -> str:
    rows = []
    for task in analysis.tasks:
        runs = [run for group in task.groups for run in group.runs]
        rows.append(
            (
                task.name,
                f"{runs[0].n_steps:,}",
                str(len({run.seed for run in runs})),
                str(len(runs)),
                f"{sum(hours[run.id] for run in runs):.1f}",
            )
        )
    total = sum(hours.values())
    rows.append(("all", "", "", str(len(hours)), f"{total:.1f}"))
    return _table(("task", "gradient steps", "seeds", "runs", "hours of one worker"), rows)


def _dense(analysis: Analysis) -> str:
    rows = [
        (task.name, _text(found.interval), f"{min(found.values.values()):.2f}")
        for task in analysis.tasks
        for found in analysis.comparisons[task.name]
        if found.group is task.dense
    ]
    return _table(("task", "score (IQM)", "worst seed"), rows)


def _retained(analysis: Analysis) -> str:
    sparsities = sorted({g.sparsity for t in analysis.tasks for g in t.groups if g.sparsity})
    rows = []
    for task in analysis.tasks:
        for method in (SNIP, GRASP, "shuffled(snip)", RANDOM, "small_dense", "gmp"):
            found = {
                c.group.sparsity: _bold(_text(c.ratio), bool(c.retained))
                for c in analysis.comparisons[task.name]
                if c.group.label == method and c.group.sparsity
            }
            if found:
                rows.append((task.name, method, *(found.get(s, "") for s in sparsities)))
    return _table(("task", "method", *(f"{100 * s:g} %" for s in sparsities)), rows)


def _rivals(analysis: Analysis) -> Iterable[str]:
    levels = sorted({g.sparsity for t in analysis.tasks for g in t.groups if g.sparsity})
    for level in levels:
        tasks = [task for task in analysis.tasks if _group(task, SNIP, level)]
        rows = []
        for label, title in RIVALS:
            pairs = {
                task.name: (_values(task, _group(task, SNIP, level)), _values(task, other))
                for task in tasks
                if (other := _group(task, label, level)) is not None
            }
            if not pairs:
                continue
            single = [
                _text(_better({name: pairs[name]}), 2) if name in pairs else ""
                for name in (task.name for task in tasks)
            ]
            rows.append((title, *single, f"{_text(_better(pairs), 2)} ({len(pairs)})"))
        if rows:
            yield f"At {100 * level:g} %:"
            names = (task.name for task in tasks)
            yield _table(("against", *names, "together (tasks)"), rows)


def _by_network(analysis: Analysis) -> str:
    rows = []
    for task in analysis.tasks:
        found = [
            c
            for c in analysis.comparisons[task.name]
            if c.group.label == SNIP and (c.group.by_role or c.group.sparsity == 0.95)
        ]
        if any(c.group.by_role for c in found):
            rows += [
                (task.name, c.group.sparsity_text, _text(c.interval), _text(c.ratio)) for c in found
            ]
    return _table(("task", "pruned", "score (IQM)", "ratio to dense"), rows)


def _ranking(analysis: Analysis) -> str:
    rows = []
    for task in analysis.tasks:
        for level in sorted({g.sparsity for g in task.groups if g.sparsity}):
            found = [
                c
                for c in analysis.comparisons[task.name]
                if c.group.sparsity == level and c.iqm is not None
            ]
            found.sort(key=lambda c: -(c.iqm or 0.0))
            text = ", ".join(f"{c.group.label} {c.iqm:z.2f}" for c in found)
            rows.append((task.name, f"{100 * level:g} %", text))
    return _table(("task", "sparsity", "methods"), rows)


def _speed(analysis: Analysis) -> str:
    rows = []
    for task in analysis.tasks:
        sides = [_curve(group) for group in (task.dense, _group(task, SNIP, 0.95)) if group]
        if len(sides) == 2:
            cells = (f"{dense:z.2f} / {pruned:z.2f}" for dense, pruned in zip(*sides, strict=True))
            rows.append((task.name, *cells))
    return _table(("task", *(f"{100 * share:g} % of the steps" for share in SHARES)), rows)


def _curve(group: Group) -> list[float]:
    """Interquartile mean over seeds at each share of the run; between two points the earlier."""
    found = []
    for share in SHARES:
        scores = [
            [p.score for p in run.curve if p.step <= share * (run.n_steps or 0) + 0.5][-1]
            for run in group.runs
        ]
        ordered = np.sort(np.asarray(scores, dtype=np.float64))
        cut = len(ordered) // 4
        found.append(float(ordered[cut : len(ordered) - cut].mean()))
    return found


def _group(task: Task, label: str, sparsity: float) -> Group | None:
    """The group of a method at a sparsity, if it has the runs for an interval."""
    matching = (g for g in task.groups if (g.label, g.sparsity) == (label, sparsity))
    return next((g for g in matching if len(g.runs) > 1), None)


def _values(task: Task, group: Group | None) -> list[float]:
    return [] if group is None else list(task.values(group).values())


def _better(pairs: dict[str, tuple[list[float], list[float]]]) -> Estimate:
    ours = {name: pair[0] for name, pair in pairs.items()}
    theirs = {name: pair[1] for name, pair in pairs.items()}
    return probability_of_improvement(ours, theirs)


def _text(estimate: Estimate | None, digits: int = 2) -> str:
    if estimate is None:
        return ""
    value, low, high = (f"{x:z.{digits}f}" for x in (estimate.value, estimate.low, estimate.high))
    return f"{value} [{low}, {high}]"


def _bold(text: str, said: bool) -> str:
    return f"**{text}**" if said else text


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = (columns, ["---"] * len(columns), *rows)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    main()
