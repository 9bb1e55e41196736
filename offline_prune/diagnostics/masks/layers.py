"""What a mask leaves of every layer: density, connected weights, dead units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from offline_prune.agents.agent import Agent
from offline_prune.base.diagram import Diagram
from offline_prune.masks.layer_titles import layer_titles
from offline_prune.masks.live import live_units
from offline_prune.masks.mask import Mask

__all__ = ["LayerReport", "layer_report"]


@dataclass(frozen=True)
class LayerReport(Diagram):
    """One row a layer.

    Attributes:
        roles: Network of each layer.
        names: Its weight.
        weights: Prunable weights.
        kept: Of them kept by the nominal mask.
        connected: Of them on a path from an input to an output.
        units: Output units, or channels.
        dead_units: Of them without a path, or that nobody reads where their constants do not
            fold; 0 where the wiring is not known.

    Examples:
        >>> from offline_prune import score
        >>> small = {"hidden_units": [16, 16]}
        >>> scored = score("pendulum/mixture-v0", "bc", 0.9, algo_params=small)
        >>> from offline_prune.diagnostics import layer_report
        >>> report = layer_report(scored.agent, scored.mask)
        >>> report.weights, sum(report.kept)
        ((48, 256, 16), 32)
        >>> all(a >= b for a, b in zip(report.densities, report.effective_densities))
        True
    """

    roles: tuple[str, ...]
    names: tuple[str, ...]
    weights: tuple[int, ...]
    kept: tuple[int, ...]
    connected: tuple[int, ...]
    units: tuple[int, ...]
    dead_units: tuple[int, ...]

    @property
    def densities(self) -> tuple[float, ...]:
        """Fraction of each layer's weights that the nominal mask keeps."""
        return tuple(k / n for k, n in zip(self.kept, self.weights, strict=True))

    @property
    def effective_densities(self) -> tuple[float, ...]:
        """Fraction of each layer's weights on a path from an input to an output."""
        return tuple(c / n for c, n in zip(self.connected, self.weights, strict=True))

    @property
    def titles(self) -> tuple[str, ...]:
        """What each layer is called in figures: ``"actor: layer 1"``."""
        roles: dict[str, list[str]] = {}
        for role, name in zip(self.roles, self.names, strict=True):
            roles.setdefault(role, []).append(name)
        named = layer_titles(roles)
        return tuple(named[name] for name in self.names)

    def _draw(self, axes: Any) -> None:
        """Bars of the densities, nominal behind effective, on a logarithmic axis."""
        places = range(len(self.names))
        axes.barh(places, self.densities, color="C0", alpha=0.3)
        axes.barh(places, self.effective_densities, height=0.5, color="C0")
        for place, density in enumerate(self.densities):
            axes.annotate(
                f"{density:.2g}", (max(density, 1e-6), place), xytext=(3, 0), fontsize="x-small",
                textcoords="offset points", va="center",
            )  # fmt: skip
        least = min((d for d in self.effective_densities if d), default=1e-3)
        axes.set(
            xscale="log",
            xlim=(min(least, 0.1) / 2, 3.0),
            xlabel="density: kept (pale), connected (strong)",
            yticks=list(places),
            yticklabels=self.titles,
        )
        axes.invert_yaxis()

    def _size(self) -> tuple[float, float]:
        return 6.0, 0.6 + 0.3 * len(self.names)


def layer_report(agent: Agent, mask: Mask) -> LayerReport:
    """Report on every layer of a mask.

    Args:
        agent: The agent that the mask belongs to; only its wiring is read.
        mask: The mask.

    Returns:
        The report, layers in the order of the agent's weights.

    Examples:
        >>> from offline_prune import score
        >>> small = {"hidden_units": [16, 16]}
        >>> scored = score("pendulum/mixture-v0", "bc", 0.9, algo_params=small)
        >>> from offline_prune.diagnostics import layer_report
        >>> axes = layer_report(scored.agent, scored.mask).plot()  # bars, a layer each
        >>> axes.figure.savefig("layers.png")  # doctest: +SKIP
    """
    live = live_units(agent.chains, mask.connected, agent.separable)
    names = [(role, name) for role, members in mask.roles.items() for name in members]
    return LayerReport(
        roles=tuple(role for role, _ in names),
        names=tuple(name for _, name in names),
        weights=tuple(mask.nominal[name].numel() for _, name in names),
        kept=tuple(int(mask.nominal[name].sum()) for _, name in names),
        connected=tuple(int(mask.connected[name].sum()) for _, name in names),
        units=tuple(len(mask.nominal[name]) for _, name in names),
        dead_units=tuple(int((~live[n]).sum()) if n in live else 0 for _, n in names),
    )
