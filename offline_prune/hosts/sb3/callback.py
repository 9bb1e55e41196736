"""Prune a Stable-Baselines3 model while it trains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from offline_prune.agents.agent import Agent
from offline_prune.base.arguments import whole_number
from offline_prune.hosts.sb3.host import agent_of
from offline_prune.hosts.sb3.parts import clock_of
from offline_prune.hosts.sb3.steps import gradient_steps
from offline_prune.hosts.session import Asked, Session
from offline_prune.masks.allocation import Allocation
from offline_prune.masks.mask import Mask
from offline_prune.masks.parameterization import make_parameterization
from offline_prune.methods import MethodLike
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
        mask: The mask of the last call of ``learn``; None before.
        step: Gradient steps that it took.
        n_steps: Gradient steps that were foreseen.

    Examples:
        >>> from stable_baselines3 import PPO
        >>> from offline_prune.hosts.sb3 import PruningCallback
        >>> model = PPO("MlpPolicy", "CartPole-v1", n_steps=64, batch_size=32, device="cpu")
        >>> callback = PruningCallback("gmp", sparsity=0.9)
        >>> model = model.learn(128, callback=callback)
        >>> print(f"{callback.mask.sparsity:.2f}")
        0.90
    """

    def __init__(
        self,
        method: MethodLike = "gmp",
        sparsity: float | Mapping[str, float] = 0.9,
        *,
        allocation: Allocation | None = None,
        structure: str | None = None,
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
            structure: As there: ``"units"``, ``"block(4, 8)"``, ``"2:4"``; None for none.
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
        self._asked = Asked(
            method,
            sparsity,
            allocation=allocation,
            structure=structure,
            seed=seed,
            n_batches=n_batches,
            engine=engine,
            parameterization=make_parameterization(parameterization),
        )
        self._n_gradient_steps = n_gradient_steps
        self._session: Session | None = None
        self.agent: Agent | None = None
        self.mask: Mask | None = None
        self.step = self.n_steps = 0

    def release(self) -> None:
        """Let go of the model, whatever the state of its training: after an interrupt."""
        if self._session is not None:
            self._session.release()
            self._session = None

    def _on_training_start(self) -> None:
        self.release()
        self.agent = agent_of(self.model)
        # What was pruned in an earlier call stays so.
        asked = self._asked if self.mask is None else replace(self._asked, method=self.mask)
        self.step, self.n_steps = 0, self._foreseen()
        self._session = Session(self.agent, asked, self.n_steps)
        if not self._session.waits_for_data or self.mask is not None:
            self._begin(self._session)

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        session = self._session
        if session is not None and session.mask is None:
            starts = getattr(self.model, "learning_starts", 0)
            if isinstance(self.model, OnPolicyAlgorithm) or self.model.num_timesteps > starts:
                self._begin(session)

    def _on_training_end(self) -> None:
        session, self._session = self._session, None
        # Without a mask it ended before there was anything to score.
        if session is not None and session.mask is not None:
            self.step = session.step
            self.mask = session.end()

    def _begin(self, session: Session) -> None:
        session.begin(None, clock_of(self.model), trained=self.mask is not None)

    def _foreseen(self) -> int:
        if self._n_gradient_steps is not None:
            return self._n_gradient_steps
        return gradient_steps(self.model, int(self.locals["total_timesteps"]))
