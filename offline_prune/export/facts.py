"""What whoever calls a written policy wants to know of it besides its numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from offline_prune.acting.policy import ActingPolicy
from offline_prune.acting.rules import ArgmaxRule, TanhRule
from offline_prune.base.digest import digest_of
from offline_prune.base.versions import versions
from offline_prune.export.source import Source

__all__ = ["Facts", "action_bounds", "facts_of", "policy_digest"]


_CLEAR = 1e-3  # of two scores, relative to the largest: no rounding turns them around


@dataclass(frozen=True)
class Facts:
    """What is known of a policy, and one observation with the action that it must give.

    Attributes:
        version: Of this package.
        digest: Of the agent, :func:`policy_digest`.
        low: (*observation shape) float32, the least of every number in the data.
        high: The largest.
        observation: (*observation shape) float32, one of the data.
        action: What the agent does there: (A,) float32, or () an integer.
        size: Of the largest action, 1 at least.
        tolerance: How far a number of the action may be off, relative to the size: by more than
            compilers and processors differ in rounding.
        observation_words: What each number of a frame is; empty where it is not known.
        action_words: The same of actions.
        frame_stack: Frames that an observation is stacked of, newest last, zeros before an
            episode's first.
    """

    version: str
    digest: str
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    observation: NDArray[np.float32]
    action: NDArray[Any]
    size: float = 1.0
    tolerance: float = 1e-4
    observation_words: tuple[str, ...] = ()
    action_words: tuple[str, ...] = ()
    frame_stack: int = 1


def facts_of(
    source: Source, seen: NDArray[np.float32], sample: NDArray[np.float32], actions: NDArray[Any]
) -> Facts:
    """Gather what is known.

    Args:
        source: The policy, and what it came from.
        seen: (N, *observation shape), for the ranges.
        sample: (B, *observation shape), from which the one observation is taken.
        actions: What the agent does on the sample.
    """
    row = _telling(source.policy, sample)
    return Facts(
        version=versions("offline-prune")["offline-prune"],
        digest=policy_digest(source.policy),
        low=seen.min(axis=0),
        high=seen.max(axis=0),
        observation=sample[row],
        action=np.asarray(actions[row]),
        size=max(1.0, float(np.abs(actions).max())),
        observation_words=source.observation_words,
        action_words=source.action_words,
        frame_stack=source.frame_stack,
    )


def policy_digest(policy: ActingPolicy) -> str:
    """SHA-256 of all that the action depends on: 64 hexadecimal digits.

    The same for every format and every type of weights; another one after any change of a
    weight, a scaler or the rule.
    """
    rule = {key: v for key, v in vars(policy.rule).items() if isinstance(v, int | float)}
    return digest_of(
        {
            "shape": policy.observation_shape,
            "channels_last": policy.channels_last,
            "rule": (type(policy.rule).__name__, rule),
            "tensors": dict(policy.state_dict()),
        }
    )


def action_bounds(policy: ActingPolicy) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
    """Least and largest action that a policy can give.

    Returns:
        (A,) each; None for discrete actions, and where there are no bounds.
    """
    if policy.discrete:
        return None
    largest = torch.finfo(torch.float32).max
    end = torch.full((1, policy.action_size), largest)
    if isinstance(policy.rule, TanhRule):
        end = policy.rule(end)
    ends = torch.cat([-end, end])
    if policy.action_scale is not None:
        ends = policy.action_scale(ends)
    low, high = ends.amin(dim=0), ends.amax(dim=0)
    if not bool(((low > -largest) & (high < largest)).all()):
        return None
    return low.numpy(), high.numpy()


@torch.no_grad()
def _telling(policy: ActingPolicy, sample: NDArray[np.float32]) -> int:
    """The row whose action says most of the weights: not saturated, or close but no tie."""
    outputs = policy.outputs(torch.from_numpy(sample))
    if not isinstance(policy.rule, ArgmaxRule):
        return int(outputs.abs().amax(dim=1).argmin())
    scores = policy.rule.scores(outputs)
    best = scores.topk(min(2, scores.shape[1]), dim=1).values
    margin = (best[:, 0] - best[:, -1]) / scores.abs().amax(dim=1).clamp(min=1.0)
    clear = margin > _CLEAR
    if not bool(clear.any()):
        return int(margin.argmax())
    return int(margin.where(clear, torch.inf).argmin())
