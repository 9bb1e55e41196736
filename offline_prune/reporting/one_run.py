"""report_run: a saved run as one page: what came out, what was kept, why this sparsity."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from offline_prune.base.arguments import folder_path
from offline_prune.evaluation.evaluation import Evaluation
from offline_prune.evaluation.off_policy import OffPolicyEvaluation
from offline_prune.masks.layer_titles import layer_titles
from offline_prune.reporting.figures.canvas import (
    Drawing,
    panels,
    require_matplotlib,
    save,
    styled,
)
from offline_prune.reporting.folder import check_folder, replaced_folder
from offline_prune.reporting.page import render
from offline_prune.reporting.runs import plain
from offline_prune.reporting.tables import Table
from offline_prune.request.settings import RunSettings
from offline_prune.run.folder import HISTORY, read_evaluation, read_words, saved_directory
from offline_prune.run.search import SparsitySearch

__all__ = ["RunReport", "report_run"]

_PAGE = "index.html"
_MOST_CURVES = 6


@dataclass(frozen=True)
class RunReport:
    """A page of a run that was written.

    Attributes:
        directory: Its folder.
        page: The page, which needs none of the other files.
        figures: PNG and SVG files.

    Examples:
        >>> import tempfile
        >>> from offline_prune import prune_then_train, report_run
        >>> result = prune_then_train(
        ...     "pendulum/mixture-v0", "bc", sparsity=0.9, n_steps=50, evaluate=1, progress=False
        ... )
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     written = report_run(result.save(f"{folder}/run"))
        >>> sorted({path.suffix for path in written.figures})
        ['.png', '.svg']
    """

    directory: Path
    page: Path
    figures: tuple[Path, ...]


def report_run(directory: str | Path, out: str | Path | None = None) -> RunReport:
    """Write the page of a saved run.

    Settings and scores; where the sparsity was chosen by ``"auto"`` its candidates and why
    this one; fitted values where an off-policy evaluation was made; what each layer kept,
    and the losses. The same run gives the same bytes.

    Args:
        directory: The folder that ``PruneResult.save`` or ``offline-prune run --out`` wrote.
        out: Where to write: a new folder, or that of an older report, which is replaced
            once the new one is whole; ``directory/report`` if left out.

    Returns:
        The files.

    Raises:
        OutputDirectoryError: If ``directory`` is not the folder of a run, or ``out`` holds
            what no report wrote.
        WriteError: If the disk is full or refuses; an older report stays.
        OfflinePruneError: If matplotlib is not installed.

    Examples:
        >>> import tempfile
        >>> from offline_prune import prune_then_train, report_run
        >>> result = prune_then_train(
        ...     "pendulum/mixture-v0", "bc", sparsity=0.9, n_steps=50, evaluate=1, progress=False
        ... )
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     page = report_run(result.save(f"{folder}/run")).page
        ...     print(page.name, page.is_file())
        index.html True
    """
    directory = folder_path("directory", directory)
    target = directory / "report" if out is None else folder_path("out", out)
    require_matplotlib()
    check_folder(target)
    with saved_directory(directory) as found:
        content, settings = read_words(found)
        evaluation = read_evaluation(content["evaluation"])
        search = content.get("search") and SparsitySearch.from_dict(content["search"])
        with (found / HISTORY).open(newline="") as file:
            history = list(csv.DictReader(file))
    with replaced_folder(target) as aside, styled():
        figures = dict(_figures(content, evaluation, search, history))
        for name, drawing in figures.items():
            save(drawing.figure, aside / name)
        text = render(
            "one_run.html",
            aside,
            figures,
            name=plain(directory.name),
            facts=_facts(content, settings, evaluation),
            why=None if search is None else plain(search),
            not_evidence=search is not None and search.no_rollouts is not None,
            tables=list(_tables(content, evaluation, search)),
        )
        (aside / _PAGE).write_text(text, encoding="utf-8")
    files = tuple(target / f"{name}.{kind}" for name in figures for kind in ("png", "svg"))
    return RunReport(target, target / _PAGE, files)


def _facts(
    content: Mapping[str, Any], settings: RunSettings, evaluation: Evaluation
) -> list[tuple[str, str]]:
    """What a reader wants to know first."""
    kept = f"{content['weights_kept']:,} of {content['weights']:,} weights"
    effective = content.get("effective_sparsity")
    more = "" if effective is None else f", effective sparsity {effective:.2%}"
    facts = [
        ("Agent", f"{settings.algo} on {settings.dataset or 'a dataset without an id'}"),
        ("Pruned by", f"{settings.method}, {kept} kept ({content['sparsity']:.2%} removed{more})"),
        ("Return", str(evaluation).split("\n", maxsplit=1)[0]),
    ]
    if evaluation.off_policy is not None:
        facts.append(("From the data", str(evaluation.off_policy)))
    facts.append(
        (
            "Trained",
            f"{settings.n_steps:,} gradient steps of {settings.batch_size} transitions, seed"
            f" {settings.seed}, {content['steps_per_second']:.0f} steps a second",
        )
    )
    return [(heading, plain(text)) for heading, text in facts]


def _figures(
    content: Mapping[str, Any],
    evaluation: Evaluation,
    search: SparsitySearch | None,
    history: list[dict[str, str]],
) -> Any:
    """Name of the files and figure, in order."""
    if search is not None:
        yield "search", _diagram(
            search,
            "What each sparsity was found to keep",
            "Estimates with their intervals; red was not accepted. The line is what had to be"
            " kept." + (
                "" if search.no_rollouts is None else
                " Squares: disagreement with the dense agent, over that of dense seeds; above"
                " the dashed line it acts farther from it than another seed does."
            ),
        )  # fmt: skip
    if evaluation.off_policy is not None and evaluation.off_policy.fits:
        yield (
            "fitted_values",
            _diagram(
                evaluation.off_policy,
                "Fitted values beside what followed in the data",
                "A point is the first state of a held-out episode in one fit. The policy is another"
                " one than the data's, so points need not lie on the line; far from it all they"
                " say little.",
            ),
        )
    yield "densities", _densities(content["networks"])
    curves = _curves(history)
    if curves is not None:
        yield "training", curves


def _diagram(shown: SparsitySearch | OffPolicyEvaluation, title: str, caption: str) -> Drawing:
    figure, (axes,) = panels(1, 1, 3.6)
    shown.plot(axes)
    return Drawing(figure, title, caption)


def _densities(networks: Mapping[str, Any]) -> Drawing:
    """Percentage that each layer keeps."""
    figure, all_axes = panels(len(networks), 3, 2.2)
    for axes, (role, found) in zip(all_axes, networks.items(), strict=True):
        kept = [100 * density for density in found["layer_densities"].values()]
        axes.bar(range(1, len(kept) + 1), kept, color="C0")
        for place, value in enumerate(kept, 1):
            axes.text(place, value, f"{value:.3g}", ha="center", va="bottom", fontsize=7.5)
        axes.set_xticks(range(1, len(kept) + 1))
        axes.set_ylim(0, 1.15 * max([*kept, 1.0]))
        axes.grid(visible=False)
        axes.set_title(plain(role))
        axes.set_xlabel("layer, from the input on")
        axes.set_ylabel("% kept")
    return Drawing(figure, "What each layer keeps", "Percentage of its weights in the final mask.")


def _curves(history: list[dict[str, str]]) -> Drawing | None:
    """The metrics of d3rlpy over training."""
    names = [n for n in (history[0] if history else {}) if n not in ("epoch", "step")]
    names = [n for n in names if n.endswith("loss")][:_MOST_CURVES] or names[:_MOST_CURVES]
    if not names or len(history) < 2:
        return None
    figure, all_axes = panels(len(names), 3, 2.2)
    for axes, name in zip(all_axes, names, strict=True):
        rows = [row for row in history if row[name]]
        axes.plot([float(r["step"]) for r in rows], [float(r[name]) for r in rows])
        axes.set_title(plain(name))
        axes.set_xlabel("gradient steps")
    return Drawing(figure, "Training", "Means of d3rlpy's metrics over each epoch.")


def _tables(
    content: Mapping[str, Any], evaluation: Evaluation, search: SparsitySearch | None
) -> Any:
    if search is not None:
        yield Table("Candidates", search.columns, 1, search.rows)
    networks = {role: found["layer_densities"] for role, found in content["networks"].items()}
    titles = layer_titles(networks)
    layers = [
        (plain(role), plain(titles[layer].removeprefix(f"{role}: ")), f"{density:.2%}")
        for role, found in networks.items()
        for layer, density in found.items()
    ]
    yield Table("Layers", ("network", "layer", "kept"), 2, tuple(layers))
    off_policy = evaluation.off_policy
    if off_policy is not None:
        numbers = off_policy.to_dict()
        words = {name: value for name, value in numbers.items() if not isinstance(value, list)}
        yield Table(
            "Off-policy evaluation",
            ("estimate", "value"),
            1,
            tuple((name.replace("_", " "), _number(value)) for name, value in words.items()),
            ("Values are discounted and in the data's unit of reward.",),
        )


def _number(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:.5g}" if isinstance(value, float) else str(value)
