"""Models that Stable-Baselines3 saved, opened only with the user's word."""

from __future__ import annotations

import inspect
import zipfile
from pathlib import Path
from typing import Any

from stable_baselines3.common.save_util import load_from_zip_file

from offline_prune.base.arguments import in_one_line
from offline_prune.errors import InputError, UntrustedFileError

__all__ = ["load_policy"]


def load_policy(path: str | Path, *, trust: bool) -> Any:
    """Read the policy of a model that ``model.save`` wrote, whatever its algorithm.

    The policy alone is built, on the CPU: no environment is needed, and no replay buffer of the
    size that the model was trained with is allocated.

    Args:
        path: The zip.
        trust: Whether to open it. It holds pickles, which run what is in them.

    Returns:
        A policy of Stable-Baselines3 or sb3-contrib.

    Raises:
        UntrustedFileError: If it is not trusted; nothing of it was read.
        InputError: If it is no such zip, or what it needs is missing here.
    """
    path = Path(path)
    if not path.is_file() or not zipfile.is_zipfile(path):
        raise InputError(
            f"{path} is no zip of Stable-Baselines3. Expected what model.save('model.zip') wrote."
        )
    if not trust:
        raise UntrustedFileError(path)
    try:
        parameters: Any
        data, parameters, _ = load_from_zip_file(path, device="cpu")
        policy: Any = _built(data)
        policy.load_state_dict(parameters["policy"])
    except Exception as error:  # pickles run what they like, and name classes of anybody's
        raise InputError(
            f"{path} cannot be read as a model of Stable-Baselines3: {in_one_line(error)}."
            " Expected what model.save wrote, with a version near to the one that is installed,"
            " and what its policy is made of importable here."
        ) from error
    policy.set_training_mode(False)
    return policy


def _built(data: Any) -> Any:
    """The policy, as an algorithm's ``_setup_model`` makes it."""
    kwargs = dict(data.get("policy_kwargs") or {})
    if data.get("use_sde"):  # on-policy algorithms hold it apart
        kwargs["use_sde"] = True
    make = data["policy_class"]
    takes = inspect.signature(make).parameters
    rates = "lr_schedule" in takes or any(p.kind is p.VAR_POSITIONAL for p in takes.values())
    schedule = [lambda _: 0.0] if rates else []  # ARS has no optimizer
    return make(data["observation_space"], data["action_space"], *schedule, **kwargs)
