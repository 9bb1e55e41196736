"""Adam's step by one call of torch's fused kernel, without what torch does around it."""

from __future__ import annotations

import functools
from types import MethodType
from typing import Any

import torch
from torch import Tensor
from torch.optim import Adam, AdamW, Optimizer
from torch.optim import optimizer as shared

__all__ = ["FusedAdam"]

_KERNELS = ("_fused_adam_", "_fused_adamw_", "_foreach_zero_")
_HOOKS = ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks")
_GLOBAL_HOOKS = ("_global_optimizer_pre_hooks", "_global_optimizer_post_hooks")
_SCALING = ("grad_scale", "found_inf")

_Stepped = tuple[dict[str, Any], list[Tensor], list[dict[str, Tensor]]]
"""A parameter group, those of its parameters that have a gradient, and their states."""


class FusedAdam:
    """Stands in for ``step`` and ``zero_grad`` of a fused Adam or AdamW on the CPU.

    Torch's own step spends several times longer on profiling, grouping and checks than on the few
    thousand numbers of a sparse network. This one gathers what the kernel reads and calls
    it: the same kernel on the same numbers, so the same bits. Learning rates, weight decay and
    betas are those of the parameter groups at that step; parameters without a gradient are
    skipped; the optimizer's hooks run. Torch's own step runs wherever it does something else: the
    first one, which makes the state; closures, AMSGrad, loss scaling, hooks on all optimizers.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        """Take the place of an optimizer's methods.

        Args:
            optimizer: One that :meth:`of` accepts.
        """
        self._optimizer: Any = optimizer
        self._torchs: dict[str, Any] = {"step": optimizer.step, "zero_grad": optimizer.zero_grad}
        own = vars(optimizer)
        self._before = {name: own[name] for name in self._torchs if name in own}
        self._one = torch.tensor(1.0)
        self._is_on = True

        @functools.wraps(optimizer.step)  # a schedule leaves a mark there, and looks for it
        def step(_: Optimizer, *args: Any, **kwargs: Any) -> Any:
            return self._step(*args, **kwargs)

        @functools.wraps(optimizer.zero_grad)
        def zero_grad(_: Optimizer, set_to_none: bool = True) -> None:
            self._zero_grad(set_to_none)

        self._ours = {
            "step": MethodType(step, optimizer),
            "zero_grad": MethodType(zero_grad, optimizer),
        }
        own.update(self._ours)

    @classmethod
    def of(cls, optimizer: Optimizer) -> FusedAdam | None:
        """Stand in for an optimizer if that is possible.

        Args:
            optimizer: Any.

        Returns:
            What stands in. None where the optimizer is not torch's own Adam or AdamW, a group
            is not fused, its parameters are not of one dtype on the CPU, or this torch
            lacks a kernel or keeps hooks elsewhere.
        """
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        fits = (
            type(optimizer) in (Adam, AdamW)
            and all(group.get("fused") for group in optimizer.param_groups)
            and {p.device.type for p in parameters} == {"cpu"}
            and len({p.dtype for p in parameters}) == 1
            and hasattr(type(optimizer).step, "__wrapped__")
            and all(hasattr(torch, name) for name in _KERNELS)
            and all(hasattr(optimizer, name) for name in _HOOKS)
            and all(hasattr(shared, name) for name in _GLOBAL_HOOKS)
        )
        return cls(optimizer) if fits else None

    def undo(self) -> None:
        """Give the optimizer its own methods back."""
        self._is_on = False  # for a schedule that has wrapped ours meanwhile
        own = vars(self._optimizer)
        for name, ours in self._ours.items():
            if own.get(name) is ours:
                del own[name]
                if name in self._before:
                    own[name] = self._before[name]

    def _step(self, *args: Any, **kwargs: Any) -> Any:
        """What torch's ``step`` does around the update: hooks, and a mark for schedules."""
        if not self._is_on or any(getattr(shared, name) for name in _GLOBAL_HOOKS):
            return self._torchs["step"](*args, **kwargs)
        optimizer = self._optimizer
        args = (optimizer, *args)
        for hook in optimizer._optimizer_step_pre_hooks.values():
            if (changed := hook(optimizer, args, kwargs)) is not None:
                args, kwargs = changed
        groups = self._gather() if args == (optimizer,) and not kwargs else None
        loss = None
        if groups is None:
            loss = type(optimizer).step.__wrapped__(*args, **kwargs)
        else:
            self._update(groups)
        for hook in optimizer._optimizer_step_post_hooks.values():
            hook(optimizer, args, kwargs)
        optimizer._opt_called = True
        return loss

    def _gather(self) -> list[_Stepped] | None:
        """What is stepped in each group; None if this step is torch's."""
        optimizer = self._optimizer
        if any(getattr(optimizer, name, None) is not None for name in _SCALING):
            return None
        found = []
        for group in optimizer.param_groups:
            numbers = (group["lr"], *group["betas"])
            plain = group["fused"] and not (group["amsgrad"] or group["differentiable"])
            if not plain or any(isinstance(number, Tensor) for number in numbers):
                return None
            parameters = [p for p in group["params"] if p.grad is not None]
            states = [optimizer.state.get(p) for p in parameters]
            if not all(states):
                return None
            if parameters:
                found.append((group, parameters, states))
        return found

    def _update(self, groups: list[_Stepped]) -> None:
        for group, parameters, states in groups:
            decoupled = group.get("decoupled_weight_decay", type(self._optimizer) is AdamW)
            kernel: Any = torch._fused_adamw_ if decoupled else torch._fused_adam_
            beta1, beta2 = group["betas"]
            steps = [state["step"] for state in states]
            with torch.no_grad():
                for step in steps:
                    step.add_(self._one)
                kernel(
                    parameters,
                    [parameter.grad for parameter in parameters],
                    [state["exp_avg"] for state in states],
                    [state["exp_avg_sq"] for state in states],
                    [],
                    steps,
                    amsgrad=False,
                    lr=group["lr"],
                    beta1=beta1,
                    beta2=beta2,
                    weight_decay=group["weight_decay"],
                    eps=group["eps"],
                    maximize=group["maximize"],
                )

    def _zero_grad(self, set_to_none: bool) -> None:
        given = (p.grad for group in self._optimizer.param_groups for p in group["params"])
        gradients = [gradient for gradient in given if gradient is not None]
        others = set_to_none or any(g.requires_grad or g.is_sparse for g in gradients)
        if others or not self._is_on:
            self._torchs["zero_grad"](set_to_none)
        elif gradients:
            torch._foreach_zero_(gradients)
