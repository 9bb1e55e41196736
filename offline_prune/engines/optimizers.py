"""Optimizers that step small parameters and save themselves as if they were whole."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer
from torch.utils.hooks import RemovableHandle

from offline_prune.agents.host import SteppedBy
from offline_prune.engines.fused_adam import FusedAdam

if TYPE_CHECKING:
    from offline_prune.engines.replacement import Replacement

__all__ = ["SwappedOptimizer", "is_moment"]


def is_moment(value: object, parameter: Tensor) -> bool:
    """Whether an entry of an optimizer's state belongs to a parameter entry by entry."""
    return isinstance(value, Tensor) and value.shape == parameter.shape


class SwappedOptimizer:
    """An optimizer whose originals have been replaced by small parameters.

    Its state moves along. Adam uses its fused kernel meanwhile, on float tensors of one
    device; on the CPU by :class:`~offline_prune.engines.fused_adam.FusedAdam`. ``state_dict``
    and ``load_state_dict`` speak of the originals, so that what d3rlpy saves opens anywhere.
    """

    def __init__(self, wrapper: SteppedBy, replacements: Iterable[Replacement]) -> None:
        """Swap the parameters.

        Args:
            wrapper: Of the host.
            replacements: The replacements; those that this optimizer does not step are
                ignored. The originals of one replacement are in one parameter group.
        """
        self._wrapper = wrapper
        self._optimizer: Optimizer = wrapper.optim
        self._all_before = wrapper._params
        groups = self._optimizer.param_groups
        self._groups_before = [list(group["params"]) for group in groups]
        self._fused_before = [group.get("fused") for group in groups]
        stepped = {id(p) for group in groups for p in group["params"]}
        self._replacements = [r for r in replacements if id(r.packing.originals[0]) in stepped]
        for group in groups:
            group["params"] = self._swapped(group["params"])
            if self._replacements and _can_fuse(self._optimizer, group):
                group["fused"] = True
        wrapper._params = self._swapped(wrapper._params)
        state = self._optimizer.state
        for replacement in self._replacements:
            found = [state.pop(o, {}) for o in replacement.packing.originals]
            if packed := _pack_state(replacement, found):
                state[replacement.small] = packed
        self._place_steps()
        self._hooks: list[RemovableHandle] = [
            self._optimizer.register_state_dict_post_hook(self._expand),
            self._optimizer.register_load_state_dict_pre_hook(self._shrink),
        ]
        self._steps = FusedAdam.of(self._optimizer) if self._replacements else None

    def undo(self) -> None:
        """Put the originals back, with the state that belongs to them now."""
        if self._steps is not None:
            self._steps.undo()
        for hook in self._hooks:
            hook.remove()
        state = self._optimizer.state
        for replacement in self._replacements:
            unpacked = _unpack_state(replacement, state.pop(replacement.small, {}))
            for original, its_state in unpacked.items():
                state[original] = its_state
        groups = self._optimizer.param_groups
        for group, before in zip(groups, self._as_before(groups), strict=True):
            group.update(before)
        self._place_steps()
        self._wrapper._params = self._all_before

    def _as_before(self, groups: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        """Parameter groups of the originals; rates and the like are those of now."""
        before = zip(groups, self._groups_before, self._fused_before, strict=True)
        return [_group(group, params, fused) for group, params, fused in before]

    def _place_steps(self) -> None:
        """Adam's counts where its kernel reads them: fused beside the weights, else on the CPU."""
        for group in self._optimizer.param_groups:
            if "fused" not in group:
                continue
            beside = group["fused"] or group.get("capturable")
            for parameter in group["params"]:
                state = self._optimizer.state.get(parameter, {})
                if isinstance(step := state.get("step"), Tensor):
                    state["step"] = step.to(parameter.device if beside else "cpu")

    def _swapped(self, parameters: Iterable[Tensor]) -> list[Tensor]:
        """Each replacement in the place of its first original."""
        owner = {id(o): r.small for r in self._replacements for o in r.packing.originals}
        return list(dict.fromkeys(owner.get(id(p), p) for p in parameters))

    def _numbers(self) -> tuple[list[nn.Parameter], dict[int, int]]:
        """The parameters that are stepped; id of each original → its number."""
        stepped = [p for group in self._optimizer.param_groups for p in group["params"]]
        originals = [p for params in self._groups_before for p in params]
        return stepped, {id(p): i for i, p in enumerate(originals)}

    def _expand(self, _: Optimizer, state_dict: dict[str, Any]) -> dict[str, Any]:
        """Number and shape a state dict as the original parameters are."""
        stepped, number = self._numbers()
        by_small = {id(r.small): r for r in self._replacements}
        state: dict[int, Any] = {}
        for i, its_state in state_dict["state"].items():
            replacement = by_small.get(id(stepped[i]))
            if replacement is None:
                state[number[id(stepped[i])]] = its_state
            else:
                for original, unpacked in _unpack_state(replacement, its_state).items():
                    state[number[id(original)]] = unpacked
        groups = self._as_before(state_dict["param_groups"])
        for group in groups:
            group["params"] = [number[id(p)] for p in group["params"]]
        return {"state": dict(sorted(state.items())), "param_groups": groups}

    def _shrink(self, _: Optimizer, state_dict: dict[str, Any]) -> dict[str, Any]:
        """Number and shape a state dict of the originals as the small ones are."""
        stepped, number = self._numbers()
        by_small = {id(r.small): r for r in self._replacements}
        state: dict[int, Any] = {}
        for i, parameter in enumerate(stepped):
            replacement = by_small.get(id(parameter))
            originals = replacement.packing.originals if replacement else (parameter,)
            found = [state_dict["state"].get(number[id(o)], {}) for o in originals]
            packed = _pack_state(replacement, found) if replacement else found[0]
            if packed:
                state[i] = packed
        position = {id(p): i for i, p in enumerate(stepped)}
        groups = [
            _group(group, [position[id(p)] for p in ours["params"]], ours.get("fused"))
            for group, ours in zip(
                state_dict["param_groups"], self._optimizer.param_groups, strict=True
            )
        ]
        return {"state": state, "param_groups": groups}


def _group(group: dict[str, Any], params: list[Any], fused: bool | None) -> dict[str, Any]:
    return group | {"params": params} | ({"fused": fused} if "fused" in group else {})


def _can_fuse(optimizer: Optimizer, group: dict[str, Any]) -> bool:
    chosen = any(group.get(flag) for flag in ("foreach", "capturable", "differentiable"))
    # AdamW is an Adam too.
    return (
        isinstance(optimizer, Adam)
        and group["fused"] is None
        and not chosen
        and all(torch.is_floating_point(p) for p in group["params"])
    )


def _pack_state(replacement: Replacement, states: list[dict[str, Any]]) -> dict[str, Any]:
    """State of the small parameter; what is no moment (Adam's step) is the same in all."""
    originals = replacement.packing.originals
    if not all(states):
        return {}
    return {
        key: replacement.packing.pack([state[key] for state in states])
        if is_moment(value, originals[0])
        else _copy(value)
        for key, value in states[0].items()
    }


def _unpack_state(replacement: Replacement, state: dict[str, Any]) -> dict[Tensor, dict[str, Any]]:
    """State of each original; moments of what was pruned are zero."""
    originals = replacement.packing.originals
    if not state:
        return {}
    unpacked: dict[Tensor, dict[str, Any]] = {o: {} for o in originals}
    for key, value in state.items():
        full = [torch.zeros_like(o, requires_grad=False) for o in originals]
        moment = is_moment(value, replacement.small)
        if moment:
            replacement.packing.unpack(value, full)
        for original, tensor in zip(originals, full, strict=True):
            unpacked[original][key] = tensor if moment else _copy(value)
    return unpacked


def _copy(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else value
