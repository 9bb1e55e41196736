"""Prune a Stable-Baselines3 model while it trains."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import Any

from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.utils.hooks import RemovableHandle

from offline_prune.agents.agent import Agent
from offline_prune.base.arguments import whole_number
from offline_prune.engines import make_following_engine
from offline_prune.errors import InputError
from offline_prune.hosts.sb3.host import agent_of
from offline_prune.hosts.sb3.parts import clock_of
from offline_prune.hosts.sb3.steps import gradient_steps
from offline_prune.masks.allocation import Allocation
from offline_prune.masks.checks import check_request
from offline_prune.masks.mask import Mask
from offline_prune.masks.parameterization import STANDARD, make_parameterization
from offline_prune.methods import (
    MethodLike,
    PruningMethod,
    PruningSettings,
    make_method,
    refuse_replacement,
)
from offline_prune.methods.clock import Clock
from offline_prune.run.choices import any_agents
from offline_prune.saliency.scoring import DEFAULT_N_BATCHES

__all__ = ["PruningCallback"]


class PruningCallback(BaseCallback):  # type: ignore[misc]
    """Prune the networks of a model during ``model.learn(…, callback=PruningCallback(…))``.

    Methods that prune while training (``"gmp"``, ``"structured"``, ``"gates"``, ``"set"``,
    ``"rigl"``) follow the gradient steps of this call of ``learn``; those that make their mask
    before training (``"snip"``, ``"grasp"``, ``"random"``, …) do so when the first rollout is
    there, or the replay buffer has ``learning_starts`` steps, on mini-batches of it. Losses,
    loops, optimizers and files are Stable-Baselines3's own: a pruned model is a model with zeros
    in its weights, which ``save`` and ``load`` as ever. At sparsity 0 nothing is different, bit
    for bit.

    When ``learn`` returns, pruned weights are exactly zero and nothing holds them any more. A
    callback that is used again holds its final mask.

    Attributes:
        agent: The model as networks, once training has started.
        mask: The mask in force, or the final one; None before the first.
        step: Gradient steps that are done.
    """

    def __init__(
        self,
        method: MethodLike = "gmp",
        sparsity: float | Mapping[str, float] = 0.9,
        *,
        allocation: Allocation | None = None,
        seed: int = 0,
        n_batches: int = DEFAULT_N_BATCHES,
        engine: str = "masked",
        parameterization: str = "standard",
        n_gradient_steps: int | None = None,
        verbose: int = 0,
    ) -> None:
        """Prepare; nothing changes before training starts.

        Args:
            method: As :func:`~offline_prune.prune_then_train` takes it; ``"gmp(begin=.2)"``.
            sparsity: Fraction of the weights to remove, in [0, 1); or role → fraction:
                ``"actor"``, ``"critic"``, ``"value"``. Networks that are not named stay dense.
            allocation: As there; None for the method's own.
            seed: Of scores and noise.
            n_batches: Scoring mini-batches.
            engine: ``"masked"``, or ``"compact"``, which takes units that died out of stacks of
                layers while training goes on.
            parameterization: ``"standard"`` or ``"sparse"``, as there.
            n_gradient_steps: Gradient steps of a call of ``learn``; None counts them.
            verbose: As Stable-Baselines3 has it.

        Raises:
            InputError: If an argument is wrong, or the method cannot be used here.
        """
        super().__init__(verbose)
        if n_gradient_steps is not None:
            n_gradient_steps = whole_number("n_gradient_steps", n_gradient_steps, 1)
        if engine not in ("masked", "compact"):
            raise InputError(f"engine is 'masked' or 'compact' here, not {engine!r}.")
        self._method, self._sparsity, self._allocation = method, sparsity, allocation
        self._seed, self._n_batches = seed, whole_number("n_batches", n_batches, 1)
        self._engine = engine
        self._parameterization = make_parameterization(parameterization)
        self._n_gradient_steps = n_gradient_steps
        self._settled: Mask | None = None
        self._clock: Clock | None = None
        self._ticking: RemovableHandle | None = None
        self._last = 0
        self.agent: Agent | None = None
        self.mask: Mask | None = None
        self.step = 0
        if (known := any_agents(method)) is not None:  # a wrong name is refused now
            _refuse_other_agents(known)

    def _on_training_start(self) -> None:
        self.release()
        agent = self.agent = agent_of(self.model)
        self.step, self._last = 0, self._planned()
        settings = PruningSettings(
            check_request(agent, self._sparsity, self._allocation),
            seed=self._seed,
            n_steps=self._last,
            n_batches=self._n_batches,
            allocation=self._allocation,
        )
        chosen = make_method(self._settled or self._method, settings)
        _refuse_other_agents(chosen)
        engine = make_following_engine(self._engine, agent, self._parameterization)
        self._clock = Clock(agent, chosen, engine)
        if chosen.while_training or self._settled is not None:
            self._begin()

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        if self._clock is None or self._clock.engine.mask is not None:
            return
        starts = getattr(self.model, "learning_starts", 0)
        if isinstance(self.model, OnPolicyAlgorithm) or self.model.num_timesteps > starts:
            self._begin()

    def _on_training_end(self) -> None:
        if self._clock is None:
            return
        clock, self._clock = self._clock, None
        self._stop_ticking()
        if clock.engine.mask is None:  # it ended before there was anything to score
            return
        if self.step < self._last and clock.method.while_training:
            clock.tick(self._last)  # target_kl, or a callback, ended it early
        self.mask = self._settled = clock.end()

    def release(self) -> None:
        """Let go of the model, whatever the state of its training: after an interrupt."""
        self._stop_ticking()
        if self._clock is not None:
            self._clock.stop()
            self._clock = None

    def _begin(self) -> None:
        clock = self._clock
        assert clock is not None
        # What was trained before keeps its weights.
        initial = self._parameterization if self._settled is None else STANDARD
        self.mask = clock.begin(None, initial)
        # Torch's hook for all optimizers: masks change hooks of single ones, which torch
        # walks through right then.
        hook = _after(clock_of(self.model), weakref.ref(self))
        self._ticking = register_optimizer_step_post_hook(hook)

    def _tick(self) -> None:
        assert self._clock is not None
        self.step += 1
        if self.step <= self._last:
            self._clock.tick(self.step)
            self.mask = self._clock.engine.mask

    def _planned(self) -> int:
        if self._n_gradient_steps is not None:
            return self._n_gradient_steps
        return gradient_steps(self.model, int(self.locals["total_timesteps"]))

    def _stop_ticking(self) -> None:
        if self._ticking is not None:
            self._ticking.remove()
            self._ticking = None


def _after(
    watched: Optimizer, callback: weakref.ref[PruningCallback]
) -> Callable[[Optimizer, Any, Any], None]:
    """A hook that counts the steps of one optimizer."""

    def hook(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        if optimizer is watched and (owner := callback()) is not None:
            owner._tick()

    return hook


def _refuse_other_agents(method: PruningMethod) -> None:
    refuse_replacement(method, "the model that trains is Stable-Baselines3's")
    if method.builds_d3rlpy:
        raise InputError(
            f"{type(method).__name__} builds d3rlpy's agents or changes its datasets. Use another"
            " method, or give the model a smaller net_arch."
        )
