"""From a request to what is run: dataset, agent, pruning method, and what was left open."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from offline_prune.agents.agent import Agent
from offline_prune.agents.build import build_agent
from offline_prune.agents.sequences import is_sequence_model
from offline_prune.base.as_json import as_json
from offline_prune.base.versions import versions
from offline_prune.data import Dataset, load_dataset
from offline_prune.errors import InputError
from offline_prune.evaluation.actors import chosen_target_return
from offline_prune.evaluation.off_policy.evaluation import DEFAULT_FITS
from offline_prune.evaluation.off_policy.policy import check_single_steps
from offline_prune.evaluation.off_policy.split import split_episodes
from offline_prune.evaluation.plan import DEFAULT_HELD_OUT, planned
from offline_prune.masks.mask import Mask
from offline_prune.methods import PruningMethod
from offline_prune.methods.default import default_pruning
from offline_prune.request.fit_options import fit_options
from offline_prune.request.options import RunOptions, ScoringOptions
from offline_prune.request.requests import ScoringRequest, TrainingRequest
from offline_prune.request.setting import values
from offline_prune.request.settings import RunSettings
from offline_prune.run.choices import (
    check_alone,
    check_batches,
    chosen_averaging,
    chosen_method,
    chosen_parameterization,
    pruning_settings,
)
from offline_prune.run.fit_checks import check_for_sequences

__all__ = ["Prepared", "prepare", "with_frames"]


@dataclass(frozen=True)
class Prepared:
    """What a request comes to, before anything is scored.

    Attributes:
        request: The request, checked.
        data: The fixed dataset, without what is held out.
        held_out: Episodes that neither score nor train, but judge; None for none.
        agent: The agent, built.
        method: The pruning method.
        settings: All of it in words and numbers.
    """

    request: TrainingRequest
    data: Dataset
    held_out: Dataset | None
    agent: Agent
    method: PruningMethod
    settings: RunSettings


def prepare(request: ScoringRequest) -> Prepared:
    """Check what is asked for, load the dataset, build the agent, choose the method.

    Args:
        request: Of a run, or of a part of one: what it lacks is as by default.

    Returns:
        What it comes to.

    Raises:
        InputError: If something is wrong; nothing was scored, trained or written.
    """
    request = check_alone(TrainingRequest(**values(request)))
    trained = getattr(request.algo, "impl", None) is not None  # with weights of its own
    data = with_frames(load_dataset(request.dataset), request.frame_stack)
    data, held_out = _without_held_out(request, data)
    agent, n_steps = build_agent(
        data,
        request.algo,
        algo_params=request.algo_params,
        n_steps=request.n_steps,
        batch_size=request.batch_size,
        seed=request.seed,
        device=request.device,
    )
    data = _with_steps(data, request.transition_steps, agent.algo)
    target_return = chosen_target_return(agent.algo, data.metadata, request.target_return)
    check_for_sequences(agent.algo, fit_options(request), diagnostics=request.diagnostics)
    off_policy = planned(request.evaluate).off_policy
    if off_policy:
        check_single_steps(agent.algo)
    advice = default_pruning(agent, data.metadata.dataset_id)
    method = request.method
    if method is None:
        method = advice.method
        request = replace(request, allocation=request.allocation or advice.allocation)
    asked = pruning_settings(request, agent, n_steps)
    check_batches(data, asked.n_batches, agent.algo)
    chosen = chosen_method(method, asked, request.rescale)
    parameterization = chosen_parameterization(
        request.parameterization, chosen, advised=advice.parameterization, trained=trained
    )
    dense = not any(asked.sparsity.values())
    averaging = chosen_averaging(request.averaging, chosen, dense=dense)
    own = (
        values(request, RunOptions)
        | values(asked, ScoringOptions)
        | {
            "allocation": in_words(chosen.settings.allocation),
            "algo_params": as_json(request.algo_params or {}, lambda part: type(part).__name__),
            "n_steps": n_steps,
            "batch_size": agent.algo.batch_size,
            "device": agent.algo.impl.device,
            "parameterization": parameterization,
            "averaging": averaging,
            "target_return": target_return,
            "frame_stack": data.picking.frames,
            "transition_steps": data.picking.steps,
            "held_out": None if held_out is None else _held_out_fraction(request),
            "ope_steps": (request.ope_steps or n_steps) if off_policy else None,
            "ope_fits": (request.ope_fits or DEFAULT_FITS) if off_policy else None,
        }
    )
    came_to = RunSettings(
        dataset=data.metadata.dataset_id,
        algo=agent.name,
        sparsity=dict(asked.sparsity),
        method=in_words(method),
        seed=request.seed,
        versions=versions("offline-prune", "d3rlpy", "minari", "torch", "gymnasium"),
        **own,
    )
    return Prepared(request, data, held_out, agent, chosen, came_to)


def with_frames(data: Dataset, frames: int | None) -> Dataset:
    """Stack frames as it is asked for.

    Args:
        data: A dataset.
        frames: Frames an observation; None leaves it as it is.

    Returns:
        The dataset.

    Raises:
        InputError: If its observations are stacks of another number already, or cannot
            be stacked.
    """
    if frames is None or frames == data.picking.frames:
        return data
    if data.picking.frames > 1:
        raise InputError(
            f"frame_stack={frames} is asked for, and this dataset's observations are stacks of"
            f" {data.picking.frames} frames already. Leave it out, or give the dataset of single"
            " frames."
        )
    return data.with_frame_stack(frames)


def _with_steps(data: Dataset, steps: int | None, algo: Any) -> Dataset:
    if steps is None or steps == data.picking.steps:
        return data
    if data.picking.steps > 1:
        raise InputError(
            f"transition_steps={steps} is asked for, and this dataset's transitions have"
            f" {data.picking.steps} steps already. Leave it out, or give the dataset of single"
            " steps."
        )
    if is_sequence_model(algo):
        raise InputError(
            f"transition_steps={steps} makes transitions of several steps, and"
            f" {type(algo).__name__} learns from whole stretches of episodes. Leave it out."
        )
    return data.with_n_steps(steps, algo.gamma)


def _held_out_fraction(request: TrainingRequest) -> float | None:
    """Fraction of the episodes that a request holds out; None for none."""
    if request.held_out is None and planned(request.evaluate).off_policy:
        return DEFAULT_HELD_OUT
    return request.held_out


def _without_held_out(request: TrainingRequest, data: Dataset) -> tuple[Dataset, Dataset | None]:
    """Hold out what a request asks for: the same episodes whatever its seed.

    Args:
        request: The request.
        data: All of the dataset.

    Returns:
        What is learned from, and what is held out; None for nothing.

    Raises:
        DatasetError: If there is only one episode.
    """
    fraction = _held_out_fraction(request)
    return (data, None) if fraction is None else split_episodes(data, fraction, seed=0)


def in_words(value: object) -> str:
    """What was asked for, in words a file can hold.

    Args:
        value: A name, a path, a mask, a function or a mapping.

    Returns:
        Its text.
    """
    if isinstance(value, str | Path):
        return str(value)
    return "a mask" if isinstance(value, Mask) else getattr(value, "__name__", "given")
