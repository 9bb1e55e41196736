"""How well do an agent's own critics agree with steps they were not trained on?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from d3rlpy.dataset import Episode
from d3rlpy.metrics.evaluators import WINDOW_SIZE, TDErrorEvaluator

from offline_prune.data import Dataset
from offline_prune.data.picking import SINGLE
from offline_prune.errors import AlgorithmError
from offline_prune.evaluation.off_policy.policy import check_policy, undisturbed

__all__ = ["mean_td_error"]


def mean_td_error(algo: Any, held_out: Dataset) -> float:
    """The mean squared TD error of an agent's critics, by d3rlpy's ``TDErrorEvaluator``.

    Formula: the mean over transitions of ``(Q(s, a) − r − γ Q(s', π(s')))²``, r as the agent's
    reward scaler makes it. Every recorded step counts, also the last ones of episodes
    that were cut off, which stock d3rlpy leaves out.

    Args:
        algo: A built d3rlpy algorithm with critics; left as it is.
        held_out: Episodes that it was not trained on.

    Returns:
        The error, in squared units of *scaled* rewards: compare agents of the same scaler
        and gamma.

    Raises:
        AlgorithmError: If it has no critics (BC), or is not a policy of single observations
            of these data.

    Examples:
        >>> from offline_prune import load_dataset, prune
        >>> from offline_prune.evaluation.off_policy import mean_td_error, split_episodes
        >>> data = load_dataset("pendulum/mixture-v0")
        >>> rest, held_out = split_episodes(data, 0.2, seed=0)
        >>> small = {"hidden_units": [16, 16]}
        >>> agent, _ = prune(rest, "iql", sparsity=0.5, algo_params=small)
        >>> mean_td_error(agent.algo, held_out) > 0
        True
    """
    check_policy(algo, held_out)
    picker = replace(held_out, picking=SINGLE).buffer  # windows hold stacks already
    try:
        with undisturbed(algo, 0):
            return float(TDErrorEvaluator(list(_windows(held_out)))(algo, picker))
    except NotImplementedError as error:
        raise AlgorithmError(
            f"{type(algo).__name__} has no critics, and so no TD error. Fit some to its policy:"
            " fitted_q_evaluation."
        ) from error


def _windows(data: Dataset) -> Iterator[Episode]:
    """Episodes in pieces of one window each, for every step to be one of d3rlpy's transitions.

    A d3rlpy episode that did not terminate has one transition less than rows: a row more
    tells where its last step led to. Of whole episodes whose rows are one more than some windows
    d3rlpy would make an empty mini-batch, and fail.
    """
    buffer = data.buffer
    for start, end in zip(data.starts.tolist(), data.ends.tolist(), strict=True):
        for first in range(start, end, WINDOW_SIZE - 1):
            last = min(first + WINDOW_SIZE - 1, end)
            terminated = last == end and bool(data.terminals[end - 1])
            steps = np.arange(first, last)
            rows, shown = buffer.rows[steps], steps
            if not terminated:
                rows, shown = np.append(rows, rows[-1] + 1), np.append(steps, steps[-1])
            yield Episode(
                observations=buffer.observations_at(rows),
                actions=data.actions[shown],
                rewards=data.rewards[shown].reshape(-1, 1),
                terminated=terminated,
            )
