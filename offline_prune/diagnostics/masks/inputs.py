"""Which inputs a pruned network still reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offline_prune.agents.agent import Agent
from offline_prune.base.diagram import Diagram, legend_beside
from offline_prune.masks.connectivity import unit_mask
from offline_prune.masks.layer_titles import layer_titles
from offline_prune.masks.mask import Mask

__all__ = ["InputUse", "input_use"]


@dataclass(frozen=True)
class InputUse(Diagram):
    """How many hidden units read every input.

    Attributes:
        readers: First layer's weight name → (inputs,) number of connected weights that
            leave each input dimension (or channel); observation first, then action.
        titles: The same names → what their networks are called in figures.

    Examples:
        >>> import numpy as np
        >>> from offline_prune.diagnostics import InputUse
        >>> InputUse({"actor": np.array([3, 0, 12])}).kept  # two of three inputs are still read
        {'actor': 2}
    """

    readers: Mapping[str, NDArray[np.int64]]
    titles: Mapping[str, str] = field(default_factory=dict)

    @property
    def kept(self) -> dict[str, int]:
        """First layer's weight name → number of inputs that are still read."""
        return {name: int((count > 0).sum()) for name, count in self.readers.items()}

    def _draw(self, axes: Any) -> None:
        """A line of readers over inputs for every network."""
        for name, count in self.readers.items():
            label = f"{self.titles.get(name, name)}: {self.kept[name]} of {len(count)}"
            axes.plot(count, marker="o", markersize=3, label=label)
        axes.set(xlabel="input", ylabel="units that read it", ylim=(0, None))
        axes.xaxis.get_major_locator().set_params(integer=True)
        legend_beside(axes)


def input_use(agent: Agent, mask: Mask) -> InputUse:
    """Count the readers of every input.

    Args:
        agent: The agent that the mask belongs to; only its wiring is read.
        mask: The mask.

    Returns:
        The counts, one network after the other; networks whose wiring is not known are
        left out.

    Examples:
        >>> from offline_prune import score
        >>> small = {"hidden_units": [16, 16]}
        >>> scored = score("pendulum/mixture-v0", "bc", 0.9, algo_params=small)
        >>> from offline_prune.diagnostics import input_use
        >>> [readers] = input_use(scored.agent, scored.mask).readers.values()
        >>> readers.shape  # of the pendulum's three observations
        (3,)
    """
    first = [chain.stages[0].layers[0].name for chain in agent.chains]
    readers = {name: unit_mask(mask.connected[name]).sum(dim=0).numpy() for name in first}
    titles = layer_titles(mask.roles)
    return InputUse(readers, {name: titles[name].removesuffix(": layer 1") for name in first})
