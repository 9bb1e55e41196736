"""How dense each layer of a group's masks is."""

from __future__ import annotations

from statistics import fmean

from offline_prune.reporting.tasks import Group

__all__ = ["mean_densities"]


def mean_densities(group: Group) -> dict[tuple[str, str], float]:
    """Average the density of each layer over the seeds.

    Args:
        group: Runs of one method and sparsity.

    Returns:
        (network, layer) → fraction of the layer's weights that is kept, in the order of
        the agent. Of an agent that is small itself that is 1.
    """
    found: dict[tuple[str, str], list[float]] = {}
    for run in group.runs:
        for network, layer, density in run.layers:
            found.setdefault((network, layer), []).append(density)
    return {where: fmean(values) for where, values in found.items()}
