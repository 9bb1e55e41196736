"""The environment a dataset was collected in."""

from __future__ import annotations

import copy
import logging
import sys
from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec

import offline_prune.environments  # noqa: F401 - registers them with gymnasium
from offline_prune.data.metadata import DatasetMetadata
from offline_prune.errors import EnvironmentUnavailableError

__all__ = ["make_environment", "make_registered", "trusted_spec"]


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

    Examples:
        >>> from offline_prune import load_dataset
        >>> from offline_prune.data import make_environment
        >>> env = make_environment(load_dataset("pendulum/mixture-v0").metadata)
        >>> env.spec.id
        'Pendulum-v1'
        >>> env.close()
    """
    spec = metadata.env_spec
    if spec is None:
        raise EnvironmentUnavailableError("the dataset names no environment")
    return make_registered(trusted_spec(spec), **options)


def trusted_spec(spec: EnvSpec) -> EnvSpec:
    """A dataset's environment with the code that this machine knows for it.

    The file of a dataset names a function to import and call ("entry point"), which
    could be any function. So the environment is the one registered with gymnasium under
    the same id, and wrappers are classes that are imported already; the file gives
    their parameters alone. Where it gives no limit of steps, the registered one holds.

    Args:
        spec: As the dataset gives it.

    Returns:
        A specification whose code does not come from the dataset.

    Raises:
        EnvironmentUnavailableError: If gymnasium does not know the environment, or a
            wrapper is not imported.
    """
    known = gymnasium.registry.get(spec.id)
    if known is None and not _is_imported(spec.entry_point, gymnasium.Env):
        raise EnvironmentUnavailableError(
            f"gymnasium does not know the environment {spec.id}; install the package that"
            " provides it and import it"
        )
    for wrapper in spec.additional_wrappers:
        if not _is_imported(wrapper.entry_point, gymnasium.Wrapper):
            raise EnvironmentUnavailableError(
                f"the environment {spec.id} is wrapped by {wrapper.entry_point}, which is no"
                " gymnasium.Wrapper that is imported here; import the package that provides it"
            )
    trusted = copy.deepcopy(spec)
    if known is not None:
        trusted.entry_point = known.entry_point
        if trusted.max_episode_steps is None:
            trusted.max_episode_steps = known.max_episode_steps
    return trusted


def _is_imported(entry_point: object, base: type) -> bool:
    """Whether an entry point is such a class, itself or by the name of an imported one."""
    if isinstance(entry_point, str):
        module, _, name = entry_point.partition(":")
        entry_point = getattr(sys.modules.get(module), name, None)
    return isinstance(entry_point, type) and issubclass(entry_point, base)


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
    except EnvironmentUnavailableError:  # it says itself what to install
        raise
    except Exception as error:  # whatever a constructor may raise, from such parameters
        raise EnvironmentUnavailableError(
            f"the environment {name} cannot be made here ({error}); install the"
            " package that provides it and import it, so that gymnasium knows it"
        ) from error
