"""What the figures share: a panel an algorithm, and the legend in a place of its own."""

from __future__ import annotations

from cells import ALGOS, NAMES, Arms
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLOURS = {"dense": "#1a1a1a", "ours": "#0072B2", "sparser": "#56B4E9", "small": "#E69F00",
           "shuffled": "#D55E00", "random": "#CC79A7", "gradual": "#009E73"}  # fmt: skip
"""Okabe and Ito's, which colour-blind readers tell apart; markers differ too."""
_COLUMNS = 3


def panels(arms: Arms) -> tuple[Figure, dict[str, Axes], Axes]:
    """A figure, an axes an algorithm that the arms have, and an empty one for the legend."""
    algos = [algo for algo in ALGOS if any(arm.algo == algo for arm in arms)]
    n_rows = len(algos) // _COLUMNS + 1
    figure = Figure(figsize=(9.0, 2.5 * n_rows), layout="constrained")
    axes = figure.subplots(n_rows, _COLUMNS, sharey=True).flatten()
    found = dict(zip(algos, axes, strict=False))
    for algo, own in found.items():
        own.set_title(NAMES[algo], fontsize="medium")
        for side in ("top", "right"):
            own.spines[side].set_visible(False)
    for empty in axes[len(algos) :]:
        empty.set_axis_off()
    return figure, found, axes[len(algos)]


def add_legend(empty: Axes, found: dict[str, Axes], said: str) -> None:
    """Every label of any panel, once, below what is said, where it covers nothing."""
    handles: dict[str, Artist | tuple[Artist, ...]] = {}
    for axes in found.values():
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    empty.legend(
        list(handles.values()), list(handles), loc="upper left", bbox_to_anchor=(-0.1, 0.8),
        frameon=False, fontsize="small", title=said, title_fontsize="small", alignment="left",
    )  # fmt: skip
