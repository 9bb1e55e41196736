"""What scoring alone comes out with: a mask and the scores behind it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table
from safetensors.torch import save_file

from offline_prune.agents.agent import Agent
from offline_prune.base.arguments import known
from offline_prune.base.atomic import written_aside_directory
from offline_prune.masks.mask import Mask
from offline_prune.run.folder import check_output_directory
from offline_prune.run.summary import network_numbers
from offline_prune.saliency.objective import Scores

__all__ = ["ScoredAgent"]


@dataclass(frozen=True)
class ScoredAgent:
    """A mask, its scores and the untouched agent they belong to.

    Attributes:
        agent: The agent; nothing of it was changed.
        mask: What would be kept.
        scores: Role → weight name → score; None where nothing was scored.
        settings: What was asked for.
        seconds: Wall-clock seconds of scoring and masking.

    Examples:
        >>> from offline_prune import score
        >>> scored = score("pendulum/mixture-v0", "bc", 0.9, method="snip")
        >>> [tuple(values.shape) for values in scored.scores["actor"].values()]  # a score a weight
        [(256, 3), (256, 256), (1, 256)]
    """

    agent: Agent
    mask: Mask
    scores: Mapping[str, Scores] | None
    settings: Mapping[str, Any]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Everything that is a number or a word, ready for JSON."""
        return {
            **self.settings,
            "seconds": self.seconds,
            "networks": network_numbers(self.mask),
        }

    def summary(self) -> Table:
        """The mask layer by layer, as a table for the terminal or a notebook."""
        table = Table(
            title=f"{self.settings['method']} on {self.settings['dataset']},"
            f" {self.settings['algo']} at {self.mask.sparsity:.1%}",
            caption=f"effective sparsity {known(self.mask.effective_sparsity, '.2%')};"
            f" {self.seconds:.2f} s",
        )
        for heading in ("network", "layer", "weights", "kept", "density", "connected"):
            right = heading not in ("network", "layer")
            table.add_column(heading, justify="right" if right else "left")
        for role in self.mask:
            for i, name in enumerate(self.mask.roles[role]):
                kept = self.mask.nominal[name]
                table.add_row(
                    "" if i else role,
                    name,
                    f"{kept.numel():,}",
                    f"{int(kept.sum()):,}",
                    f"{float(kept.float().mean()):.2%}",
                    known(self.mask.connected_in(name), ","),
                )
            table.add_section()
        return table

    def save(self, directory: str | Path) -> Path:
        """Write ``mask.safetensors``, ``scores.safetensors`` and ``scoring.json``.

        The folder, or the mask alone, is a method:
        ``prune_then_train(…, method="path/to/folder")``.

        Args:
            directory: A new or empty folder.

        Returns:
            The folder.

        Raises:
            OutputDirectoryError: If the folder already holds something.
            WriteError: If the disk is full or refuses; nothing is left.
        """
        directory = check_output_directory(directory)
        with written_aside_directory(directory) as aside:
            self.mask.save(aside / "mask.safetensors")
            if self.scores is not None:
                flat = {
                    n: s.contiguous() for found in self.scores.values() for n, s in found.items()
                }
                save_file(flat, aside / "scores.safetensors")
            (aside / "scoring.json").write_text(json.dumps(self.to_dict(), indent=2) + "\n")
        return directory
