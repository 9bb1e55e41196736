"""What a reader calls the layers of an agent's networks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

__all__ = ["layer_titles"]

_WORDS = {
    "fc": "output",
    "output": "output",
    "mu": "mean",
    "logstd": "log deviation",
    "prediction": "prediction",
    "q": "query",
    "k": "key",
    "v": "value",
    "proj": "projection",
    "l1": "inner 1",
    "l2": "inner 2",
}
"""Last module of a weight's name → what it is called; other layers are numbered."""

_PLACES = (
    (re.compile(r"vae_(encoder|decoder)\."), r"\1"),
    (re.compile(r"\.(state|state_action)_branch\."), r"\1"),
    (re.compile(r"_transformer\.(\d+)\."), r"block \1"),
)
"""Parts of a network in which layers are counted anew."""


def layer_titles(roles: Mapping[str, Iterable[str]]) -> dict[str, str]:
    """Name the layers of networks for tables and figures.

    Layers are numbered from the input on, heads called what they put out; the network's role stands
    in front.

    Args:
        roles: Role → names of its weights, in order.

    Returns:
        Weight name → title, no two alike.

    Examples:
        >>> from offline_prune.masks.layer_titles import layer_titles
        >>> names = ["policy._encoder._layers.0.weight", "policy._mu.weight"]
        >>> list(layer_titles({"actor": names}).values())
        ['actor: layer 1', 'actor: mean']
    """
    titles: dict[str, str] = {}
    for role, names in roles.items():
        counts: dict[str, int] = {}
        for name in names:
            place = _place(name)
            what = _WORDS.get(name.removesuffix(".weight").split(".")[-1].lstrip("_"))
            if what is None:
                counts[place] = counts.get(place, 0) + 1
                what = f"layer {counts[place]}"
            title = f"{role}: {place} {what}".replace("  ", " ")
            while title in titles.values():  # two heads of one name
                title += "'"
            titles[name] = title
    return titles


def _place(name: str) -> str:
    for pattern, what in _PLACES:
        found = pattern.search(name)
        if found:
            number = re.fullmatch(r"block (\d+)", found.expand(what))
            return f"block {int(number[1]) + 1}" if number else found.expand(what)
    return ""
