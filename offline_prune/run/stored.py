"""A trained agent in its folder: d3rlpy's own two files, the mask, last weights, history."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from d3rlpy.base import LearnableConfigWithShape
from safetensors.torch import load_file, save_file
from torch import Tensor

from offline_prune.agents.agent import Agent
from offline_prune.agents.copying import unpacked
from offline_prune.engines.zeros import check_fits, pruned_entries
from offline_prune.errors import MaskError, OutputDirectoryError
from offline_prune.masks.mask import Mask
from offline_prune.run.averaging import LastWeights, acting_weights
from offline_prune.run.folder import (
    CONFIG,
    HISTORY,
    LAST,
    MASK,
    MODEL,
    RESULT,
    read_evaluation,
    read_words,
)
from offline_prune.run.search import SparsitySearch

if TYPE_CHECKING:
    from offline_prune.run.result import PruneResult

__all__ = ["config_of", "read_result", "write_result"]


def config_of(algo: Any) -> str:
    """What d3rlpy's ``from_json`` reads.

    Args:
        algo: A built d3rlpy algorithm.

    Returns:
        Its config with the shapes of observations and actions, in JSON.
    """
    text: str = LearnableConfigWithShape(
        observation_shape=algo.impl.observation_shape,
        action_size=algo.impl.action_size,
        config=algo.config,
    ).serialize()
    return text


def write_result(result: PruneResult, content: Mapping[str, Any], folder: Path) -> None:
    """Write the files of a result.

    Args:
        result: The result.
        content: Its words and numbers.
        folder: An empty folder.
    """
    (folder / RESULT).write_text(json.dumps(content, indent=2) + "\n")
    (folder / CONFIG).write_text(config_of(result.algo) + "\n")
    result.algo.save_model(str(folder / MODEL))
    result.mask.save(folder / MASK)
    if result.last is not None:
        tensors = {n: t.cpu().contiguous() for n, t in result.last.weights.items()}
        save_file(tensors, folder / LAST)
    columns = list(dict.fromkeys(name for row in result.history for name in row))
    with (folder / HISTORY).open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(result.history)


def read_result(folder: Path, device: str) -> dict[str, Any]:
    """Read what :func:`write_result` wrote; no code of the files is executed.

    Args:
        folder: Its folder.
        device: Where to put the networks.

    Returns:
        The fields of a :class:`~offline_prune.run.result.PruneResult`.

    Raises:
        OutputDirectoryError: If files belong to different runs or versions.
    """
    content, settings = read_words(folder)
    model = (folder / MODEL).read_bytes()
    # Tensors alone: anything else in the file is refused, whatever the environment says.
    torch.load(io.BytesIO(model), map_location="cpu", weights_only=True)
    config = _config(folder / CONFIG)
    algo = unpacked(
        config.config,
        device,
        config.observation_shape,
        config.action_size,
        settings.n_steps,
        model,
    )
    mask = Mask.load(folder / MASK)
    _check_mask_fits(Agent.of(algo), mask, folder)
    last = None
    if content.get("last_evaluation") is not None:
        weights = load_file(folder / LAST)
        _check_weights_fit(algo, weights, folder)
        last = LastWeights(weights, read_evaluation(content["last_evaluation"]))
    with (folder / HISTORY).open(newline="") as file:
        history = tuple(
            {name: float(value) for name, value in row.items() if value}
            for row in csv.DictReader(file)
        )
    return {
        "algo": algo,
        "mask": mask,
        "evaluation": read_evaluation(content["evaluation"]),
        "settings": settings,
        "scoring_seconds": float(content["scoring_seconds"]),
        "training_seconds": float(content["training_seconds"]),
        "history": history,
        "last": last,
        "trained_as": content.get("trained_as", {}),
        "search": SparsitySearch.from_dict(found) if (found := content.get("search")) else None,
    }


def _config(path: Path) -> LearnableConfigWithShape:
    """d3rlpy's config; a part of one's own is known only once it is registered."""
    text = path.read_text()
    try:
        return LearnableConfigWithShape.deserialize(text)
    except KeyError as error:
        name = error.args[0]
        if f'"type": {json.dumps(name)}' not in text:
            raise
        raise OutputDirectoryError(
            f"{path} names a part of the type {name!r}, which d3rlpy does not know here: the file"
            " is damaged, or the part is of your own. Expected registered ones: before loading,"
            " import your class and call"
            " d3rlpy.preprocessing.register_observation_scaler(YourScaler), or the function of"
            " its kind (register_reward_scaler, d3rlpy.models.register_encoder_factory, …)."
        ) from error


def _check_weights_fit(algo: Any, weights: Mapping[str, Tensor], folder: Path) -> None:
    """Refuse last weights of another run."""
    expected = {name: value.shape for name, value in acting_weights(algo).items()}
    if expected != {name: value.shape for name, value in weights.items()}:
        raise OutputDirectoryError(
            f"{folder}: {LAST} and {MODEL} belong to different runs: their networks have"
            " other names or shapes."
        )


def _check_mask_fits(agent: Agent, mask: Mask, folder: Path) -> None:
    """Refuse a mask of another run: pruned weights of a result are exactly zero."""
    strangers = f"{folder}: {MASK} and {MODEL} belong to different runs"
    try:
        check_fits(agent, mask)
    except MaskError as error:
        raise OutputDirectoryError(f"{strangers}. {error}") from error
    for name, pruned in pruned_entries(agent, mask.nominal).items():
        if bool(agent.weights[name][pruned].any()):
            raise OutputDirectoryError(
                f"{strangers}: {name!r} has weights other than 0 where the mask prunes."
            )
