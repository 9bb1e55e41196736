"""The page: one HTML file that needs nothing else."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from offline_prune.evaluation.statistics import LEAST_DENSE_SCORE, RETAINED
from offline_prune.reporting.analysis import Analysis
from offline_prune.reporting.overview import overview
from offline_prune.reporting.style_sheet import STYLE_SHEET
from offline_prune.reporting.tables import Table, failed_table, overall_table, task_table

__all__ = ["Figure", "page"]


@dataclass(frozen=True)
class Figure:
    """A figure of the page.

    Attributes:
        name: Of its files, without ending.
        title: What it shows.
        caption: How to read it.
    """

    name: str
    title: str
    caption: str


def page(analysis: Analysis, figures: Sequence[Figure], directory: Path) -> str:
    """Write the page.

    Every text that comes from a file is escaped, and figures are images, so that nothing in
    a record can become markup.

    Args:
        analysis: The study.
        figures: In order.
        directory: Where their SVG files are.

    Returns:
        HTML.
    """
    name = escape(analysis.name)
    failed, overall = failed_table(analysis), overall_table(analysis)
    parts = [
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{name} · offline_prune</title>\n<style>{STYLE_SHEET}</style>\n</head>\n<body>",
        f"<h1>Study: {name}</h1>",
        _section("What was run", _facts(overview(analysis))),
        _section("How to read it", _how_to_read(analysis)),
    ]
    if overall is not None:
        parts.append(_section("All tasks", _table(overall, heading=True)))
    if figures:
        parts.append(_section("Figures", "\n".join(_figure(f, directory) for f in figures)))
    tables = [_table(task_table(analysis, task), heading=True) for task in analysis.tasks]
    parts.append(_section("Tables", "\n".join(tables)))
    parts.append(
        _section("Failed runs", "<p>None.</p>" if failed is None else _table(failed, heading=False))
    )
    parts.append(
        "<footer><p>Made by <code>offline-prune report "
        f"{name}</code>. Beside this page: the figures as PNG and SVG, and"
        " <code>summary.csv</code>, <code>curves.csv</code>, <code>layers.csv</code> with all"
        " numbers.</p></footer>\n</body>\n</html>\n"
    )
    return "\n".join(parts)


def _section(title: str, content: str) -> str:
    return f"<section>\n<h2>{escape(title)}</h2>\n{content}\n</section>"


def _facts(facts: Sequence[tuple[str, str]]) -> str:
    rows = (f"<dt>{escape(heading)}</dt><dd>{escape(text)}</dd>" for heading, text in facts)
    return "<dl>\n" + "\n".join(rows) + "\n</dl>"


def _how_to_read(analysis: Analysis) -> str:
    points: Mapping[str, str] = {
        "Score": "the mean over the final window of evaluations of a run, never its best"
        " checkpoint. A normalised score is 0 for a random policy and 1 for the reference expert"
        " of the dataset; where there are no references, returns are shown.",
        "IQM": "interquartile mean over the runs, the mean of their middle half. In brackets its"
        " 95 % interval: Student's t around it, with the standard error of the stratified"
        " bootstrap over seeds (Agarwal et al. 2021). One run has no interval.",
        "Ratio to dense": "interquartile mean over the dense agent's, where runs of the same seed"
        f" are drawn in pairs. None where dense scores less than {LEAST_DENSE_SCORE}, or without"
        " normalised scores: a return near zero divides nothing.",
        "Retained": f"declared beforehand: the lower end of the ratio's interval is at least"
        f" {RETAINED}, and no run failed. “No”: the whole interval lies below, or a run failed."
        " “Undecided”: it holds both, and more seeds would tell. Power is how often a method that"
        " equals dense would be called retained, with as many runs as there are.",
        "P(better than …)": "probability that a run of the method scores higher than one of the"
        " dense agent, or of the method's own mask shuffled within its layers; ½ says no"
        " difference.",
        "Effective sparsity": "fraction of the dense agent's prunable weights that are removed or"
        " lead nowhere.",
        "Training time / dense": "wall-clock time of training over that of the dense run of the"
        " seed, median over seeds. Runs share a machine: this is no benchmark.",
    }
    rows = "\n".join(
        f"<dt>{escape(word)}</dt><dd>{escape(said)}</dd>" for word, said in points.items()
    )
    return f"<dl>\n{rows}\n</dl>"


def _table(table: Table, *, heading: bool) -> str:
    sides = [' class="word"' if n < table.words else "" for n in range(len(table.columns))]
    head = "".join(f"<th{s}>{escape(c)}</th>" for s, c in zip(sides, table.columns, strict=True))
    body = "\n".join(
        "<tr>"
        + "".join(f"<td{s}>{escape(c)}</td>" for s, c in zip(sides, row, strict=True))
        + "</tr>"
        for row in table.rows
    )
    title = f"<h3>{escape(table.title)}</h3>\n" if heading else ""
    notes = "".join(f'\n<p class="note">{escape(note)}</p>' for note in table.notes)
    return (
        f'{title}<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n'
        f"</tbody>\n</table></div>{notes}"
    )


def _figure(figure: Figure, directory: Path) -> str:
    data = base64.b64encode((directory / f"{figure.name}.svg").read_bytes()).decode("ascii")
    title, caption = escape(figure.title), escape(figure.caption)
    return (
        f'<figure id="{figure.name}">\n<h3>{title}</h3>\n'
        f'<img alt="{title}" src="data:image/svg+xml;base64,{data}">\n'
        f'<figcaption>{caption} (<a href="{figure.name}.png">PNG</a>,'
        f' <a href="{figure.name}.svg">SVG</a>)</figcaption>\n</figure>'
    )
