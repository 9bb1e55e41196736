"""Spare the gradients that d3rlpy computes in the actor's step and throws away."""

from __future__ import annotations

from typing import Any

from d3rlpy.models.torch import Parameter

__all__ = ["ActorStep"]


class ActorStep:
    """Computes an actor's gradient and nobody else's.

    The actor's loss runs through critics (BCQ: also through the decoder of its VAE).
    d3rlpy lets their parameters take part in the backward pass and zeroes those
    gradients before the next step of their own. Here they are frozen meanwhile: the
    actor's gradient is the same, bit for bit.
    """

    def __init__(self, impl: Any) -> None:
        """Take the place of ``impl``'s gradient function.

        Args:
            impl: d3rlpy's implementation object of an actor-critic.
        """
        self._impl = impl
        self._compute = impl._compute_actor_grad
        modules = impl.modules
        stepped = {id(p) for g in modules.actor_optim.optim.param_groups for p in g["params"]}
        # Dual variables are stepped inside the actor's loss function.
        self._bystanders = [
            parameter
            for module in modules.get_torch_modules().values()
            if not isinstance(module, Parameter)
            for parameter in module.parameters()
            if parameter.requires_grad and id(parameter) not in stepped
        ]
        impl._compute_actor_grad = self

    @classmethod
    def of(cls, algo: Any) -> ActorStep | None:
        """The step of an algorithm; None if it has none, or CUDA graphs capture it."""
        has_actor = hasattr(algo.impl, "_compute_actor_grad")
        return cls(algo.impl) if has_actor and not algo.compiled else None

    def __call__(self, batch: Any) -> Any:
        """d3rlpy's loss object of the actor's step, its gradient computed."""
        for parameter in self._bystanders:
            parameter.requires_grad_(False)
        try:
            return self._compute(batch)
        finally:
            for parameter in self._bystanders:
                parameter.requires_grad_(True)

    def undo(self) -> None:
        """Give d3rlpy its own function back."""
        self._impl._compute_actor_grad = self._compute
