"""The state of an unfinished run on disk, so that a killed one goes on bit for bit.

A checkpoint holds everything that the next gradient step depends on: the modules, targets
among them, and the optimizers with their moments and learning-rate schedules, the global
random states, and the number of steps; and with it the history so far. All of it speaks of
the original shapes, whatever engine holds the mask.

What a run begins with is made anew when it is resumed: agent, scores, mask. The file is
named after it, so that a run finds its own state and no other: a digest of the initial
weights, the mask, the random states, the dataset, the algorithm's config and the versions of
the packages. If any of them differs the run starts from its beginning.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from offline_prune.agents.d3rlpy_host import find_optimizers
from offline_prune.base.atomic import remove_leftovers, written_aside
from offline_prune.base.digest import digest_of
from offline_prune.base.random_state import get_random_state, set_random_state
from offline_prune.base.versions import versions
from offline_prune.data import Dataset
from offline_prune.run.averaging import WeightAverage
from offline_prune.run.pruned_agent import PrunedAgent
from offline_prune.run.stored import config_of

__all__ = ["Checkpoint", "Progress", "can_resume", "contents_of"]

_UNREADABLE = (OSError, RuntimeError, EOFError, KeyError, ValueError, pickle.UnpicklingError)


@dataclass(frozen=True)
class Progress:
    """How far a run has come.

    Attributes:
        epochs: Epochs that are done.
        history: One row an epoch.
        seconds: Wall-clock seconds of training.
    """

    epochs: int
    history: tuple[dict[str, float], ...]
    seconds: float


def can_resume(agent: PrunedAgent) -> bool:
    """Whether a checkpoint holds all that the run depends on.

    A method that prunes while training and the trainer of an OFENet keep a state of their
    own, and CUDA graphs keep the tensors they captured: such a run starts from its
    beginning.

    Args:
        agent: The agent.

    Returns:
        Whether a resumed run ends with the weights of an undisturbed one.
    """
    return not (agent.method.while_training or agent.features or agent.algo.compiled)


class Checkpoint:
    """The checkpoint of one run.

    Attributes:
        path: The file; it need not exist.
    """

    def __init__(
        self, directory: str | Path, agent: PrunedAgent, data: Dataset, schedule: Sequence[Any]
    ) -> None:
        """Name the checkpoint of a run that is about to start.

        Args:
            directory: Folder of checkpoints; runs may share it.
            agent: The agent as training begins.
            data: The fixed dataset.
            schedule: Gradient steps, steps an epoch, and whatever else distinguishes runs.
        """
        self._agent = agent
        self.path = Path(directory) / f"{_fingerprint(agent, data, schedule)}.pt"

    def save(
        self,
        progress: Progress,
        observer: Mapping[str, Any] | None,
        average: WeightAverage | None = None,
    ) -> None:
        """Write the state at the end of an epoch, whole or not at all.

        Args:
            progress: How far the run has come.
            observer: State of the epoch callback: tensors, numbers, words, lists, tables.
            average: The running average of the weights.

        Raises:
            WriteError: If the disk is full or refuses; the state before stays.
        """
        algo = self._agent.algo
        content = {
            "epochs": progress.epochs,
            "history": [{k: float(v) for k, v in row.items()} for row in progress.history],
            "seconds": progress.seconds,
            "observer": observer,
            "average": None if average is None else average.state_dict(),
            "grad_step": algo.grad_step,
            "tokens": getattr(algo.impl, "_tokens", None),
            "parts": {name: part.state_dict() for name, part in _parts(algo).items()},
            "with_gradient": [[p.grad is not None for p in each] for each in _stepped(algo)],
            "random": get_random_state(),
        }
        with written_aside(self.path) as aside:
            torch.save(content, aside)

    def restore(
        self, observer: Any = None, average: WeightAverage | None = None
    ) -> Progress | None:
        """Bring the agent to the state of the file; no code of it is executed.

        Args:
            observer: What has a ``load_state_dict`` and takes the saved state; or None.
            average: The running average of the weights; goes on from the saved one.

        Returns:
            How far the run had come; None without a file, or if it cannot be read.
        """
        try:
            content = torch.load(self.path, map_location="cpu", weights_only=True)
        except _UNREADABLE:
            return None
        algo = self._agent.algo
        for name, part in _parts(algo).items():
            part.load_state_dict(content["parts"][name])
        for parameters, flags in zip(_stepped(algo), content["with_gradient"], strict=True):
            for parameter, flag in zip(parameters, flags, strict=True):
                # d3rlpy zeroes gradients, and Adam steps on a zero but not on None.
                parameter.grad = torch.zeros_like(parameter) if flag else None
        algo.set_grad_step(content["grad_step"])
        if (tokens := content.get("tokens")) is not None:
            algo.impl._tokens = tokens  # a discrete transformer's learning rate follows them
        if observer is not None:
            observer.load_state_dict(content["observer"])
        if average is not None:
            average.load_state_dict(content["average"], self._agent.engine.mask)
        set_random_state(content["random"])
        return Progress(content["epochs"], tuple(content["history"]), content["seconds"])

    def remove(self) -> None:
        """Remove the file and what killed processes left of it; the run is done."""
        self.path.unlink(missing_ok=True)
        remove_leftovers(self.path)


def _parts(algo: Any) -> dict[str, Any]:
    """d3rlpy's modules and optimizers by name."""
    found = vars(algo.impl.modules)
    return {name: part for name, part in found.items() if hasattr(part, "state_dict")}


def _stepped(algo: Any) -> list[list[Tensor]]:
    """The parameters that each optimizer steps."""
    return [
        [p for group in wrapper.optim.param_groups for p in group["params"]]
        for wrapper in find_optimizers(algo)
    ]


def _fingerprint(agent: PrunedAgent, data: Dataset, schedule: Sequence[int]) -> str:
    algo, mask = agent.algo, agent.engine.mask
    return digest_of(
        {
            "versions": versions("offline-prune", "d3rlpy", "torch", "numpy"),
            "config": config_of(algo),
            "device": algo.impl.device,
            "schedule": list(schedule),
            "parameterization": agent.parameterization,
            "grad_step": algo.grad_step,
            **contents_of(data),
            "mask": None if mask is None else [dict(mask.nominal), dict(mask.connected)],
            # Which form an engine gives the networks decides how sums are rounded.
            "forms": [list(p.shape) for each in _stepped(algo) for p in each],
            "parts": {name: part.state_dict() for name, part in _parts(algo).items()},
            "random": get_random_state(),
        },
    )[:32]


def contents_of(data: Dataset) -> dict[str, Any]:
    """What of a dataset a run depends on.

    Args:
        data: The dataset.

    Returns:
        Name → value, for :func:`~offline_prune.base.digest.digest_of`.
    """
    return {
        "semantics": data.semantics,
        "picking": data.picking,
        "data": [data.frames, data.actions, data.rewards, data.terminals, data.ends],
        "final_actions": data.final_actions,
    }
