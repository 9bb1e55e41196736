"""From a name, a config or an algorithm to a built agent."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import d3rlpy
import torch
from d3rlpy.algos import QLearningAlgoBase, TransformerAlgoBase
from d3rlpy.base import LearnableConfig
from d3rlpy.constants import ActionSpace

from offline_prune.agents.action_range import check_action_range
from offline_prune.agents.agent import Agent
from offline_prune.agents.configure import check_config, configure
from offline_prune.agents.networks import LAYOUTS
from offline_prune.agents.scalers import check_scalers, fit_observation_scaler
from offline_prune.agents.sequences import check_built_sequences, check_sequences, fit_scalers
from offline_prune.base.arguments import check_seed, whole_number
from offline_prune.base.memory import ran_out
from offline_prune.data import Dataset
from offline_prune.errors import AlgorithmError, InputError, OfflinePruneError
from offline_prune.ofenet import find_readers, share_ofenet
from offline_prune.recipes.algorithms import check_algorithm, find_recipe

__all__ = [
    "BuiltAgent",
    "build_agent",
    "check_algo",
    "check_device_of",
    "check_fits",
    "d3rlpy_config_class",
    "d3rlpy_device",
    "too_large",
]

DEFAULT_STEPS = 100_000
"""Gradient steps for an algorithm that comes without a recipe."""


class BuiltAgent(NamedTuple):
    """An agent ready to be scored, and how long to train it.

    Attributes:
        agent: The agent.
        n_steps: Gradient steps.
    """

    agent: Agent
    n_steps: int


def d3rlpy_device(device: str) -> str:
    """Device in d3rlpy's spelling: ``"cpu"`` → ``"cpu:0"``, ``"cuda"`` → ``"cuda:0"``.

    Raises:
        InputError: If torch does not know the device or does not see it.
    """
    found = None
    with contextlib.suppress(RuntimeError):
        found = torch.device(device) if isinstance(device, str) else None
    if found is None or found.type not in ("cpu", "cuda"):
        raise InputError(f"Unknown device {device!r}. Use 'cpu', 'cuda' or 'cuda:<index>'.")
    if found.type == "cuda" and not torch.cuda.is_available():
        raise InputError(
            f"Device {device!r} was asked for, but torch sees no CUDA here. Use 'cpu'."
        )
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise InputError(f"torch sees {torch.cuda.device_count()} CUDA devices, not {device!r}.")
    return f"{found.type}:{found.index or 0}"


def d3rlpy_config_class(type_name: str) -> Any:
    """The d3rlpy config class with this type name, e.g. ``"discrete_cql"``."""
    for name in LAYOUTS:
        config_class: Any = getattr(d3rlpy.algos, name)
        if config_class.get_type() == type_name:
            return config_class
    raise AlgorithmError(f"d3rlpy has no prunable algorithm of the type {type_name!r}.")


def check_algo(algo: Any, algo_params: Mapping[str, Any] | None) -> None:
    """Check that an algorithm is named or given, whether it fits a dataset or not.

    Args:
        algo: As :func:`build_agent` takes it.
        algo_params: So too.

    Raises:
        UnknownNameError: If there is no algorithm of this name.
        AlgorithmError: If it is something else.
        InputError: If the hyperparameters are no mapping.
    """
    if algo_params is not None and not isinstance(algo_params, Mapping):
        raise InputError(
            "algo_params is a mapping of hyperparameters, such as {'learning_rate': 1e-3}, not"
            f" {type(algo_params).__name__}."
        )
    if isinstance(algo, str):
        check_algorithm(algo)
    elif not isinstance(algo, LearnableConfig | QLearningAlgoBase | TransformerAlgoBase):
        raise AlgorithmError(
            "algo is the name of an algorithm, a d3rlpy config or a d3rlpy algorithm, not"
            f" {type(algo).__name__}."
        )


def check_device_of(algo: QLearningAlgoBase, device: str) -> None:
    """Refuse another device than that of a d3rlpy algorithm that is made already.

    Args:
        algo: The algorithm.
        device: What was asked for; ``"cpu"``, the default, may stand for nothing.

    Raises:
        InputError: If the algorithm is elsewhere: it cannot be moved.
    """
    made_on = algo._device if algo.impl is None else algo.impl.device
    if device != "cpu" and d3rlpy_device(device) != made_on:
        raise InputError(
            f"device={device!r} cannot be had for an algorithm that was made on {made_on!r}."
            " Make it with config.create(device=…), or pass its config."
        )


def too_large(algo: QLearningAlgoBase, error: Exception) -> AlgorithmError:
    """The error to raise where an algorithm's networks do not fit into memory.

    Args:
        algo: The algorithm.
        error: What building them raised; it says how many bytes were asked for.

    Returns:
        The error.
    """
    said = str(error).splitlines()[0].rstrip(" .:")
    return AlgorithmError(
        f"The networks of this {type(algo).__name__} do not fit into memory ({said}). Choose"
        " smaller hidden_units, or a smaller encoder."
    )


def build_agent(
    data: Dataset,
    algo: Any,
    *,
    algo_params: Mapping[str, Any] | None = None,
    batch_size: int | None = None,
    n_steps: int | None = None,
    seed: int = 0,
    device: str = "cpu",
) -> BuiltAgent:
    """Build the networks that will be scored and trained.

    Sets the global seeds of Python, numpy and torch, as ``d3rlpy.seed`` does: from
    here on a run is what stock d3rlpy does after ``d3rlpy.seed(seed)``.

    Args:
        data: The fixed dataset.
        algo: Name of an algorithm, a d3rlpy config, or a d3rlpy algorithm. A built
            algorithm keeps its weights and goes on from them.
        algo_params: Hyperparameters that replace the recipe's or the config's.
        batch_size: Transitions a gradient step; None keeps the recipe's.
        n_steps: Gradient steps; None takes the recipe's.
        seed: Of the initial weights and of everything after.
        device: ``"cpu"``, ``"cuda"`` or ``"cuda:<index>"``.

    Returns:
        The agent and its number of gradient steps.

    Raises:
        UnknownNameError: If the algorithm or a hyperparameter does not exist.
        AlgorithmError: If the algorithm does not fit the dataset or cannot be pruned.
        InputError: If a number is out of range or the device is not there.

    Examples:
        >>> from offline_prune import load_dataset
        >>> from offline_prune.agents import build_agent
        >>> data = load_dataset("cartpole/mixture-v0")
        >>> built = build_agent(data, "bcq", algo_params={"hidden_units": [16, 16]}, n_steps=10)
        >>> built.agent.roles, built.n_steps
        (('critic[0]', 'imitator'), 10)
    """
    n_steps = None if n_steps is None else whole_number("n_steps", n_steps, 1)
    seed = check_seed(seed)
    check_algo(algo, algo_params)
    params = dict(algo_params or {})
    if batch_size is not None:
        params["batch_size"] = whole_number("batch_size", batch_size, 1)
    if isinstance(algo, QLearningAlgoBase | TransformerAlgoBase):
        check_device_of(algo, device)
    device = d3rlpy_device(device)
    name: str | None = None
    if isinstance(algo, str):
        recipe = find_recipe(algo, data.metadata.action_kind)
        name = recipe.name
        merged, recipe_steps = recipe.for_dataset(data.metadata.dataset_id)
        n_steps = n_steps or recipe_steps
        config = configure(d3rlpy_config_class(recipe.d3rlpy), merged | params, data, n_steps)
        made = config.create(device=device)
    elif isinstance(algo, LearnableConfig):
        n_steps = n_steps or DEFAULT_STEPS
        given = {f.name: getattr(algo, f.name) for f in dataclasses.fields(algo) if f.init}
        config = configure(type(algo), given | params, data, n_steps) if params else algo
        made = config.create(device=device)
    else:
        n_steps = n_steps or DEFAULT_STEPS
        if params:
            raise InputError(
                f"{sorted(params)} cannot be changed on a d3rlpy algorithm that is made"
                " already. Pass its config instead, or a name."
            )
        made = algo
    check_fits(made, data)
    check_sequences(made, data)
    check_config(made.config)
    _check_warmup(made.config, n_steps)
    d3rlpy.seed(seed)
    fit_observation_scaler(made, data)
    fit_scalers(made, data)
    check_scalers(made, data)
    check_action_range(made, data)
    _build(made, data)
    return BuiltAgent(Agent.of(made, name), n_steps)


def _build(algo: Any, data: Dataset) -> None:
    """Build what is not built yet, or say which sizes d3rlpy and torch cannot make."""
    try:
        if algo.impl is None:
            algo.build_with_dataset(data.buffer)
        check_built_sequences(algo)
        if find_readers(algo):
            if data.picking.steps > 1:
                raise AlgorithmError(
                    "An OFENet learns to predict the observation one step ahead, and the"
                    f" transitions of this dataset are {data.picking.steps} steps long. Load it"
                    " from a buffer with BasicTransitionPicker."
                )
            share_ofenet(algo)
    except OfflinePruneError:
        raise
    except Exception as error:  # whatever their constructors may raise, from such sizes
        if ran_out(error):
            raise too_large(algo, error) from error
        metadata = data.metadata
        said = f"{type(error).__name__}: {error}".splitlines()[0].rstrip(" .:")
        raise AlgorithmError(
            f"{type(algo).__name__} cannot be built for observations of shape"
            f" {metadata.observation_shape} and {metadata.action_size}"
            f" {metadata.action_kind} actions ({said}). Expected encoders that fit: images"
            " take 'encoder', vectors 'hidden_units'."
        ) from error


def _check_warmup(config: Any, n_steps: int) -> None:
    """Refuse a run that ends while d3rlpy still trains the imitator (PLAS, BEAR)."""
    warmup = getattr(config, "warmup_steps", 0)
    if warmup >= n_steps:
        raise InputError(
            f"{type(config).__name__.removesuffix('Config')} begins to learn from rewards after"
            f" warmup_steps={warmup}, and n_steps is {n_steps}: its policy would stay what it is."
            f" Pass more n_steps, or algo_params={{'warmup_steps': {n_steps // 2}}}."
        )


def check_fits(algo: Any, data: Dataset) -> None:
    """Refuse an algorithm that is unknown here or made for other data.

    Args:
        algo: A d3rlpy algorithm, built or not.
        data: The data.

    Raises:
        AlgorithmError: If its kind of actions, or of a built one the shapes, are others.
    """
    metadata = data.metadata
    kind = {ActionSpace.CONTINUOUS: "continuous", ActionSpace.DISCRETE: "discrete"}
    wanted = kind.get(algo.get_action_type(), metadata.action_kind)
    if wanted != metadata.action_kind:
        raise AlgorithmError(
            f"{type(algo).__name__} trains on {wanted} actions; this dataset's are"
            f" {metadata.action_kind}."
        )
    if algo.impl is None:
        if type(algo.config).__name__ not in LAYOUTS:
            Agent.of(algo)  # raises, and says which algorithms are known
        return
    expected = (tuple(metadata.observation_shape), metadata.action_size)
    found = (tuple(algo.impl.observation_shape), algo.impl.action_size)
    if expected != found:
        raise AlgorithmError(
            f"The built {type(algo).__name__} takes observations of shape {found[0]}"
            f" and {found[1]} actions; this dataset's are {expected[0]} and"
            f" {expected[1]}."
        )
