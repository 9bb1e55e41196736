"""Figures are drawn once a file, and are what matplotlib itself would save."""

import re

import numpy as np
import pytest
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

from offline_prune.reporting.analysis import analyse
from offline_prune.reporting.figures.canvas import legend_below, panels, save, styled
from offline_prune.reporting.figures.layer_densities import layer_densities
from offline_prune.study.records import write_record
from tests.reporting.studies import grid, record


class Counted(Line2D):
    """A line that counts how often it is drawn."""

    drawn = 0

    def draw(self, renderer):
        self.drawn += 1
        super().draw(renderer)


def figure():
    """Two panels, one with an offset above its axis, long labels and a legend."""
    made, (one, other) = panels(2, 2, 2.0)
    line = Counted([1, 2, 3], [1e6, 1e6 + 1, 1e6 + 2])
    one.add_line(line)
    one.autoscale()
    one.set_title("a title above an offset")
    other.plot([0.1, 0.2], [1.0, 2.0], "o-")
    other.set_yticks([1, 2], ["a label", "one that takes more room than the other"])
    other.set_xlabel("x")
    legend_below(made, {"a line": line}, ["a line"])
    return made, line


@pytest.mark.slow
def test_a_file_is_what_matplotlib_saves(tmp_path):
    with styled():
        save(figure()[0], tmp_path / "ours")
        plain = figure()[0]
        plain.savefig(tmp_path / "plain.png", dpi=144, metadata={"Software": None})
        plain.savefig(tmp_path / "plain.svg", metadata={"Date": None, "Creator": None})
    files = (tmp_path / "ours.png", tmp_path / "plain.png")
    assert files[0].read_bytes() == files[1].read_bytes()
    ours, theirs = (text_and_numbers(tmp_path / f"{name}.svg") for name in ("ours", "plain"))
    assert ours[0] == theirs[0]
    np.testing.assert_allclose(ours[1], theirs[1], atol=2e-6)  # ours have twelve digits of a place


def text_and_numbers(path):
    """Of an SVG: the text without names of clips and numbers, and the numbers with a point."""
    text, number = re.sub(r"\bp[0-9a-f]{10}\b", "clip", path.read_text()), r"-?\d+\.\d+"
    return re.sub(number, "number", text), [float(found) for found in re.findall(number, text)]


class Trembling(ConstrainedLayoutEngine):
    """Lays out, and leaves another last digit."""

    def execute(self, fig):
        super().execute(fig)
        for axes in fig.axes:
            left, bottom, width, height = axes.get_position(original=True).bounds
            axes.set_position([left + 2e-16, bottom, width, height + 4e-16])
            axes.set_in_layout(True)


@pytest.mark.slow
def test_the_last_digits_of_a_layout_change_no_byte(tmp_path):
    with styled():
        save(figure()[0], tmp_path / "plain")
        trembling = figure()[0]
        trembling.set_layout_engine(Trembling())
        save(trembling, tmp_path / "trembling")
    for kind in ("png", "svg"):
        one, other = ((tmp_path / f"{n}.{kind}").read_bytes() for n in ("plain", "trembling"))
        assert one == other


def test_a_figure_is_drawn_once_a_file(tmp_path):
    with styled():
        made, line = figure()
        save(made, tmp_path / "figure")
    assert line.drawn == 2


def test_numbers_of_a_heat_map_need_no_room_outside(tmp_path):
    name = "shuffled(iterative_snip(rounds=100))"
    for cell in grid([name], [0.5], 1):
        found = record(cell, 0.5)
        layers = {f"{n}": 1.0 for n in range(26)}
        found["result"]["networks"] = {"critic[0]": {"layer_densities": layers}}
        write_record(tmp_path, found)
    with styled():
        drawn = layer_densities(analyse(tmp_path)).figure
        drawn.draw_without_rendering()
        axes = drawn.axes[0]
        assert len(axes.texts) == 26
        for text in axes.texts:
            assert axes.bbox.count_contains(text.get_window_extent().corners()) == 4
