"""What was run: the facts at the top of a report."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable

from offline_prune.reporting.analysis import Analysis
from offline_prune.study import DENSE, Cell
from offline_prune.study.cell import PRUNING_OPTIONS

__all__ = ["overview"]

_DEFAULTS = {f.name: f.default for f in dataclasses.fields(Cell)}


def overview(analysis: Analysis) -> tuple[tuple[str, str], ...]:
    """List what was run, on what, for how long, with which versions.

    Args:
        analysis: The study.

    Returns:
        (heading, text), in order.
    """
    runs = analysis.runs
    pruned = [run for run in runs if run.method != DENSE]
    sparsities = sorted({run.sparsity for run in pruned if run.sparsity is not None})
    by_role = sum(bool(run.by_role) for run in pruned)
    failed = len(analysis.failed)
    facts = [
        ("Runs", f"{len(runs) - failed} finished, {failed} failed"),
        ("Datasets", _list(sorted({run.dataset for run in runs}))),
        ("Algorithms", _list(sorted({run.algo for run in runs}))),
        ("Methods", _list(analysis.methods)),
        ("Sparsities", _list(f"{100 * s:g} %" for s in sparsities)
         + (f"; {by_role} runs where networks differ" if by_role else "")),
        ("Comparisons", _family(analysis)),
        ("Seeds", _list(map(str, sorted({run.seed for run in runs})))),
        ("Gradient steps", _by_algo((r.algo, f"{r.n_steps:,}") for r in runs if r.n_steps)),
        ("Batch size", _by_algo((r.algo, f"{r.batch_size:,}") for r in runs if r.batch_size)),
        ("Evaluation", _evaluation(analysis)),
        ("Hyperparameters replaced", _params(analysis)),
        ("Engine", _option(analysis, "engine")),
        ("Device", _option(analysis, "device")),
        *((name, _pruning(analysis, name)) for name in PRUNING_OPTIONS),
        ("Versions", _versions(analysis)),
    ]  # fmt: skip
    return tuple((heading, text) for heading, text in facts if text)


def _family(analysis: Analysis) -> str:
    together = list(analysis.family.together.values())
    if not together:
        return ""
    verdicts = [
        comparison.verdict
        for task, found in analysis.comparisons.items()
        for n, comparison in enumerate(found)
        if (task, n) in analysis.family.together
    ]
    text = (
        f"{len(together)} ratios to dense; {len(verdicts) - verdicts.count('undecided')} verdicts,"
        f" {len(together) - together.count('undecided')} of which hold together (Holm)"
    )
    undeciding = analysis.family.undeciding
    return text + (f"; not counted: {_list(undeciding)}" if undeciding else "")


def _list(texts: Iterable[str]) -> str:
    return ", ".join(texts)


def _by_algo(pairs: Iterable[tuple[str, str]]) -> str:
    found: dict[str, list[str]] = {}
    for algo, text in pairs:
        own = found.setdefault(algo, [])
        if text not in own:
            own.append(text)
    texts = {" or ".join(own) for own in found.values()}
    if len(texts) == 1:
        return texts.pop()
    return "; ".join(f"{algo} {' or '.join(own)}" for algo, own in sorted(found.items()))


def _evaluation(analysis: Analysis) -> str:
    ways = {tuple(run.training[n] for n in ("evaluate", "evaluations", "window"))
            for run in analysis.runs}  # fmt: skip
    return "; ".join(
        "none"
        if episodes == "0"
        else f"{episodes} episodes at each of {points} points, the final window is the last"
        f" {window}"
        for episodes, points, window in sorted(ways)
    )


def _option(analysis: Analysis, name: str) -> str:
    return " or ".join(sorted({run.training[name].strip('"') for run in analysis.runs}))


def _params(analysis: Analysis) -> str:
    pairs = {(run.algo, ", ".join(f"{k} {v}" for k, v in sorted(run.params.items())))
             for run in analysis.runs}  # fmt: skip
    return _by_algo((algo, text or "none") for algo, text in sorted(pairs)).removeprefix("none")


def _pruning(analysis: Analysis, name: str) -> str:
    found = {run.pruning[name] for run in analysis.runs if run.method != DENSE}
    default = json.dumps(_DEFAULTS[name])
    if found <= {default}:
        return ""
    texts = ("the default" if text == default else text.strip('"') for text in sorted(found))
    return " or ".join(texts)


def _versions(analysis: Analysis) -> str:
    found: dict[str, set[str]] = {}
    for run in analysis.runs:
        for package, version in run.versions.items():
            found.setdefault(package, set()).add(version)
    return _list(f"{package} {' or '.join(sorted(own))}" for package, own in found.items())
