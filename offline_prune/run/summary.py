"""A run in numbers, and as a table made of what its folder says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.table import Table

from offline_prune.base.arguments import known
from offline_prune.request.settings import RunSettings
from offline_prune.run.folder import read_evaluation
from offline_prune.run.search import SparsitySearch

if TYPE_CHECKING:
    from offline_prune.masks.mask import Mask

__all__ = ["counts", "network_numbers", "numbers", "summary_table"]

_ONLY_IN_THE_FILE = ("format", "evaluation", "last_evaluation", "settings")


def counts(mask: Mask) -> dict[str, Any]:
    """What a mask keeps, in numbers ready for JSON."""
    return {
        "sparsity": mask.sparsity,
        "effective_sparsity": mask.effective_sparsity,
        "weights": mask.n_weights,
        "weights_kept": mask.n_kept,
        "weights_connected": mask.n_connected,
    }


def network_numbers(mask: Mask) -> dict[str, Any]:
    """The same of every network, with its layers: role → numbers."""
    return {
        role: {
            **counts(part),
            "layer_densities": part.layer_densities,
            "layer_units": {n: list(u) for n, u in part.layer_units.items()},
        }
        for role, part in ((role, mask[role]) for role in mask)
    }


def numbers(content: Mapping[str, Any]) -> dict[str, Any]:
    """What :meth:`~offline_prune.run.result.PruneResult.to_dict` says of a saved run.

    Args:
        content: ``result.json``.

    Returns:
        The same numbers.
    """
    return {name: value for name, value in content.items() if name not in _ONLY_IN_THE_FILE}


def summary_table(content: Mapping[str, Any], settings: RunSettings) -> Table:
    """Show a run.

    Args:
        content: ``result.json``.
        settings: Those in it.

    Returns:
        A rich table.
    """
    table = Table(
        title=f"{settings.algo} on {settings.dataset or 'a dataset without an id'},"
        f" {settings.method} at {content['sparsity']:.1%}",
        caption=f"return {read_evaluation(content['evaluation'])}\n{_chosen(settings, content)}"
        f"{settings.n_steps} gradient steps, {content['steps_per_second']:.0f} a second; scoring"
        f" {content['scoring_seconds']:.2f} s",
    )
    table.add_column("network")
    for heading in ("weights", "kept", "sparsity", "connected", "effective"):
        table.add_column(heading, justify="right")
    for role, part in {**content["networks"], "total": content}.items():
        if role == "total":
            table.add_section()
        table.add_row(
            role,
            f"{part['weights']:,}",
            f"{part['weights_kept']:,}",
            f"{part['sparsity']:.2%}",
            known(part["weights_connected"], ","),
            known(part["effective_sparsity"], ".2%"),
        )
    return table


def _chosen(settings: RunSettings, content: Mapping[str, Any]) -> str:
    """What was chosen besides the mask, a line each."""
    lines = []
    trained_as: Mapping[str, str] = content.get("trained_as", {})
    for form in dict.fromkeys(trained_as.values()):
        roles = [role for role, own in trained_as.items() if own == form]
        named = "all networks" if len(roles) == len(trained_as) else ", ".join(roles)
        lines.append(f"{named} trained {form}")
    if content.get("search"):
        lines.append(str(SparsitySearch.from_dict(content["search"])))
    if settings.parameterization != "standard":
        lines.append(f"{settings.parameterization} parameterization")
    if content.get("last_evaluation") is not None:
        lines.append(
            f"weights averaged: {settings.averaging}; the last ones return"
            f" {read_evaluation(content['last_evaluation'])}"
        )
    return "".join(f"{line}\n" for line in lines)
