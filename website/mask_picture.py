"""A mask as a drawing inside a page, in the page's own colours."""

from __future__ import annotations

from html import escape

from torch import Tensor

from offline_prune.masks.mask import Mask

__all__ = ["mask_picture"]

_CELL, _GAP, _HEAD = 5, 18, 18
_TITLE = 84  # "layer 1: 100%" in any font
_SCALE = 1.6  # of the largest picture, so that two pictures have squares of one size


def mask_picture(mask: Mask, caption: str) -> str:
    """Draw the weights that every layer of a mask's first network keeps.

    Args:
        mask: The mask; its layers are linear.
        caption: What is to be seen.

    Returns:
        HTML of one figure: a square a weight, layers of (outputs, inputs) from left to right;
        strong where the weight is on a path from an input to an output, pale where it is kept
        and leads nowhere.
    """
    role = next(iter(mask.roles))
    layers = [(mask.nominal[name], mask.connected[name]) for name in mask.roles[role]]
    shapes, x, height = [], 0, 0
    for place, (nominal, connected) in enumerate(layers, start=1):
        rows, columns = nominal.shape
        shapes.append(_layer(nominal, connected, x, f"layer {place}"))
        x += max(columns * _CELL, _TITLE) + _GAP
        height = max(height, rows * _CELL)
    where = f"{mask.n_connected:,} on a path from an input to an output; the others are pale"
    if mask.n_connected == mask.n_kept:
        where = "all on a path from an input to an output"
    kept = (
        f"{mask.n_kept:,} of {mask.n_weights:,} weights kept, {where}."
        " Rows are the units of a layer, columns what they read."
    )
    width = x - _GAP
    style = f'style="max-width: {_SCALE * width:.0f}px"'
    return (
        f'<figure class="mask"><svg viewBox="0 0 {width} {height + _HEAD + 2}" role="img" '
        f'{style} aria-label="{escape(kept)}">{"".join(shapes)}</svg>'
        f"<figcaption>{escape(caption)} {escape(kept)}</figcaption></figure>"
    )


def _layer(nominal: Tensor, connected: Tensor, x: int, title: str) -> str:
    rows, columns = nominal.shape
    pale, strong = _path(nominal & ~connected), _path(connected)
    share = float(nominal.float().mean())
    return (
        f'<g transform="translate({x} {_HEAD})"><text y="-6">{title}: {share:.0%}</text>'
        f'<rect width="{columns * _CELL}" height="{rows * _CELL}" class="frame"/>'
        f'<path d="{pale}" class="pale"/><path d="{strong}"/></g>'
    )


def _path(kept: Tensor) -> str:
    """A square for every true entry."""
    side = _CELL - 1
    return "".join(
        f"M{column * _CELL} {row * _CELL}h{side}v{side}h-{side}z"
        for row, column in kept.nonzero().tolist()
    )
