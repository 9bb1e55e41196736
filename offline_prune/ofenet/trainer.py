"""Train the OFENet of an algorithm on its auxiliary loss, before and during RL."""

from __future__ import annotations

from typing import Any

import numpy as np
from d3rlpy.algos.utility import build_scalers_with_transition_picker
from d3rlpy.torch_utility import convert_to_torch
from torch import Tensor
from torch.optim import Adam

from offline_prune.base.arguments import finite_number, whole_number
from offline_prune.data import Dataset
from offline_prune.data.buffer import FlatReplayBuffer
from offline_prune.errors import AlgorithmError, InputError, NonFiniteError
from offline_prune.ofenet.auxiliary import auxiliary_loss, trainable
from offline_prune.ofenet.sharing import share_ofenet
from offline_prune.ofenet.transitions import transitions_of

__all__ = ["OFENetTrainer"]


class OFENetTrainer:
    """Takes auxiliary steps on the OFENet that the encoders of an algorithm share.

    An instance is a callback for d3rlpy's ``fit`` and ``fit_online``: one auxiliary step
    after each step of theirs::

        trainer = OFENetTrainer(algo, data)
        trainer.pretrain(10_000)
        algo.fit(data.buffer, n_steps=100_000, callback=trainer)

    Mini-batches come from a generator of its own: whether and how features are trained
    does not change what RL draws.

    Attributes:
        ofenet: The OFENet; in evaluation mode, its parameters fixed, but within a step.
        optimizer: Adam on its parameters, and on nothing else.
        losses: Auxiliary loss of each step taken so far, before the step.
    """

    def __init__(
        self,
        algo: Any,
        data: Any,
        *,
        learning_rate: float = 3e-4,
        batch_size: int = 256,
        seed: int = 0,
    ) -> None:
        """Share the OFENet of a built algorithm and prepare to train it.

        Args:
            algo: A d3rlpy algorithm built with
                :class:`~offline_prune.ofenet.OFENetEncoderFactory`.
            data: What :func:`offline_prune.load_dataset` returned, or the d3rlpy replay
                buffer that is also passed to ``fit`` or ``fit_online``. On a fixed
                dataset, scalers that are not fitted yet are, as ``fit`` would.
            learning_rate: Of Adam.
            batch_size: Transitions an auxiliary step, at least 2.
            seed: Of the mini-batches.

        Raises:
            AlgorithmError: If the algorithm is not built or has no OFENet to share.
            InputError: If ``data`` is no dataset, or a number is out of range.
        """
        # Batch normalisation needs two transitions.
        batch_size = whole_number("batch_size", batch_size, 2)
        if finite_number("learning_rate", learning_rate) <= 0:
            raise InputError(f"learning_rate is a positive number, not {learning_rate!r}.")
        self._transitions = transitions_of(data)
        self.ofenet = share_ofenet(algo)
        if isinstance(data, Dataset | FlatReplayBuffer):
            buffer = data.buffer if isinstance(data, Dataset) else data
            build_scalers_with_transition_picker(algo, buffer)
        self._algo, self._impl = algo, algo.impl
        self._batch_size = batch_size
        self._rng = np.random.default_rng(seed)
        self.optimizer = Adam(self.ofenet.parameters(), lr=learning_rate, fused=True)
        self.ofenet.optimizer = self.optimizer
        self.losses: list[float] = []

    def __call__(self, algo: Any, epoch: int, step: int) -> None:
        """Take one auxiliary step: d3rlpy's ``callback=``.

        Args:
            algo: The algorithm that is being trained.
            epoch: Not used.
            step: Not used.

        Raises:
            AlgorithmError: If it is another algorithm, or its networks were built anew.
            NonFiniteError: If the auxiliary loss is NaN or infinite.
        """
        if algo is not self._algo:
            raise AlgorithmError(
                "This OFENetTrainer was made for another algorithm. Make one with the"
                " algorithm that calls it."
            )
        self.step()

    def pretrain(self, n_steps: int) -> list[float]:
        """Take auxiliary steps before RL begins.

        Args:
            n_steps: How many.

        Returns:
            The auxiliary loss of each.

        Raises:
            InputError: If ``n_steps`` is not a whole number from 0 on, or a buffer that
                is still to grow holds too little.
            AlgorithmError: If the networks were built anew.
            NonFiniteError: If the auxiliary loss is NaN or infinite.
        """
        found = []
        for _ in range(whole_number("n_steps", n_steps, 0)):
            loss = self.step()
            if loss is None:
                raise InputError(
                    "The buffer holds too few transitions to pretrain on: more than"
                    f" batch_size={self._batch_size} are needed. Collect some first, with"
                    " algo.collect(env, buffer, n_steps=…)."
                )
            found.append(loss)
        return found

    def step(self) -> float | None:
        """Take one auxiliary step.

        Returns:
            The auxiliary loss before the step; None if a buffer that is still to grow
            holds too little, and nothing was done.

        Raises:
            AlgorithmError: If the networks were built anew.
            InputError: If the algorithm's scalers are not fitted yet.
            NonFiniteError: If the auxiliary loss is NaN or infinite.
        """
        if self._algo.impl is not self._impl:
            raise AlgorithmError(
                "The networks of this algorithm were built anew and read another OFENet:"
                " make a new OFENetTrainer."
            )
        drawn = self._transitions.draw(self._rng, self._batch_size)
        if drawn is None:
            return None
        states, following = (
            self._scaled(array, self._algo.observation_scaler)
            for array in (drawn.observations, drawn.next_observations)
        )
        actions = self._scaled(drawn.actions, self._algo.action_scaler)
        self.optimizer.zero_grad()
        with trainable(self.ofenet):
            loss = auxiliary_loss(self.ofenet, states, actions, following, update_statistics=True)
            loss.backward()
        value = loss.item()
        if not np.isfinite(value):
            raise NonFiniteError(
                f"The auxiliary loss of OFENet is {value} at its step {len(self.losses) + 1}."
                " Check the scale of the observations (observation_scaler) and the"
                " learning rate."
            )
        self.optimizer.step()
        self.losses.append(value)
        return value

    def _scaled(self, array: Any, scaler: Any) -> Tensor:
        tensor: Tensor = convert_to_torch(array, self._impl.device)
        if scaler is None:
            return tensor
        if not scaler.built:
            raise InputError(
                f"The {type(scaler).__name__} is not fitted yet. Give it its statistics, or"
                " let d3rlpy fit it first: build_scalers_with_transition_picker(algo, buffer)"
                " or build_scalers_with_env(algo, env) of d3rlpy.algos.utility."
            )
        scaled: Tensor = scaler.transform(tensor)
        return scaled
