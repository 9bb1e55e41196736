"""The environment a dataset was collected in."""

from __future__ import annotations

import logging
from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec

import offline_prune.environments  # noqa: F401 - registers them with gymnasium
from offline_prune.data.metadata import DatasetMetadata
from offline_prune.errors import EnvironmentUnavailableError

__all__ = ["make_environment", "make_registered"]


def _log_mujoco_warnings() -> None:
    """Send MuJoCo's warnings to the logger ``mujoco``, at level INFO.

    By itself MuJoCo prints them to stderr and writes MUJOCO_LOG.TXT into the working
    directory, one for every environment that is made.
    """
    import mujoco

    mujoco.set_mju_user_warning(logging.getLogger("mujoco").info)


def make_environment(metadata: DatasetMetadata, **options: Any) -> gymnasium.Env[Any, Any]:
    """Make the dataset's environment.

    Args:
        metadata: Of the dataset.
        **options: Passed to ``gymnasium.make``.

    Returns:
        The environment.

    Raises:
        EnvironmentUnavailableError: If the dataset names none or it cannot be made
            here; the message says what is missing.
    """
    spec = metadata.env_spec
    if spec is None:
        raise EnvironmentUnavailableError("the dataset names no environment")
    return make_registered(spec, **options)


def make_registered(spec: EnvSpec | str, **options: Any) -> gymnasium.Env[Any, Any]:
    """Make an environment that gymnasium knows.

    Args:
        spec: Its specification or id.
        **options: Passed to ``gymnasium.make``.

    Returns:
        The environment.

    Raises:
        EnvironmentUnavailableError: If it cannot be made here; the message says what
            is missing.
    """
    name = spec if isinstance(spec, str) else spec.id
    try:
        spec = gymnasium.spec(spec) if isinstance(spec, str) else spec
        if "mujoco" in str(spec.entry_point):
            _log_mujoco_warnings()
        return gymnasium.make(spec, **options)
    except (gymnasium.error.Error, ImportError, OSError, AttributeError) as error:
        raise EnvironmentUnavailableError(
            f"the environment {name} cannot be made here ({error}); install the"
            " package that provides it and import it, so that gymnasium knows it"
        ) from error
