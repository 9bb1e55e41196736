"""The mask: which weights of an agent stay."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from offline_prune.base.arguments import known
from offline_prune.base.atomic import written_aside
from offline_prune.errors import MaskError, UnknownNameError

__all__ = ["Mask"]

# Of the file; a file without a number is of the first. Not written while it is the first:
# safetensors puts two entries of its metadata in an order that differs from save to save.
_FORMAT = "1"


@dataclass(frozen=True, eq=False)
class Mask:
    """Kept weights of an agent's networks; immutable.

    A mask has two forms. The **nominal** one is what was asked for: exactly
    ``round(N · (1 − s))`` weights a network. Its **connected** part leaves out weights
    on no path from an input to an output; it is what trains. ``mask["actor"]`` is the
    mask of one network, ``mask["critic"]`` that of all critics.

    Attributes:
        nominal: Weight name → boolean tensor of the weight's shape, true = kept.
        connected: The same names; a subset of ``nominal``.
        roles: Role → names of its weights.
        unfollowed: Names of weights of which cannot be told whether they lead from an input
            to an output: all that are kept count as connected, but those of units that are
            known to be read by nobody.
        severed: Names of weights that no engine may take out, although a layer without a
            weight cuts them off (layer normalisation puts out numbers of no input at all).

    Examples:
        >>> import torch
        >>> from offline_prune import Mask
        >>> kept = {"w": torch.tensor([[True, False], [False, False]])}
        >>> mask = Mask(nominal=kept, connected=kept, roles={"actor": ("w",)})
        >>> mask["actor"].n_kept, mask.sparsity
        (1, 0.75)
    """

    nominal: Mapping[str, Tensor]
    connected: Mapping[str, Tensor]
    roles: Mapping[str, tuple[str, ...]]
    unfollowed: frozenset[str] = frozenset()
    severed: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        """Take copies, so that no later change of the arguments can reach the mask."""
        names = [name for members in self.roles.values() for name in members]
        if not names:
            raise MaskError("A mask needs at least one network with one weight.")
        if set(names) != set(self.nominal) or set(names) != set(self.connected):
            raise MaskError(
                "The weights of a mask's roles, of its nominal and of its connected"
                " part must be the same."
            )
        if len(set(names)) != len(names):
            raise MaskError("A weight of a mask belongs to two of its networks.")
        for name in names:
            if self.connected[name].shape != self.nominal[name].shape:
                raise MaskError(
                    f"The nominal mask of {name!r} has shape {tuple(self.nominal[name].shape)},"
                    f" its connected part {tuple(self.connected[name].shape)}; expected the same."
                )
            for part in (self.nominal, self.connected):
                if part[name].dtype != torch.bool or not part[name].numel():
                    raise MaskError(
                        f"The mask of {name!r} holds {part[name].dtype} of shape"
                        f" {tuple(part[name].shape)}; expected booleans, true = kept."
                    )
            if bool((self.connected[name] & ~self.nominal[name]).any()):
                raise MaskError(
                    f"The connected part of {name!r} keeps weights that its nominal mask prunes."
                )
        for field in ("nominal", "connected"):
            tensors = getattr(self, field)
            copies = {name: tensors[name].detach().bool().cpu().clone() for name in names}
            object.__setattr__(self, field, MappingProxyType(copies))
        roles = {role: tuple(members) for role, members in self.roles.items()}
        object.__setattr__(self, "roles", MappingProxyType(roles))
        for field in ("unfollowed", "severed"):
            object.__setattr__(self, field, frozenset(getattr(self, field)))
            if not getattr(self, field) <= set(names):
                raise MaskError(f"The {field} weights of a mask must be weights of it.")

    def __reduce__(self) -> tuple[Any, ...]:
        """Copied and pickled as plain dictionaries."""
        return Mask, (dict(self.nominal), dict(self.connected), dict(self.roles),
                      self.unfollowed, self.severed)  # fmt: skip

    def __getitem__(self, role: str) -> Mask:
        """The mask of one network, or of all critics for ``"critic"``."""
        picked = {
            name: members
            for name, members in self.roles.items()
            if role in (name, name.partition("[")[0])
        }
        if not picked:
            raise UnknownNameError("network", role, self.roles)
        names = [name for members in picked.values() for name in members]
        return Mask(
            {name: self.nominal[name] for name in names},
            {name: self.connected[name] for name in names},
            picked,
            self.unfollowed.intersection(names),
            self.severed.intersection(names),
        )

    def __iter__(self) -> Iterator[str]:
        """The roles."""
        return iter(self.roles)

    def __len__(self) -> int:
        """Number of networks."""
        return len(self.roles)

    def __contains__(self, role: object) -> bool:
        """Whether there is a network of this role."""
        return role in self.roles

    def __eq__(self, other: object) -> bool:
        """Whether two masks keep and connect the same weights of the same networks."""
        if not isinstance(other, Mask) or dict(self.roles) != dict(other.roles):
            return False
        return all(
            torch.equal(self.nominal[name], other.nominal[name])
            and torch.equal(self.connected[name], other.connected[name])
            for name in self.nominal
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        """One line: networks, weights kept, sparsities."""
        return (
            f"Mask({', '.join(self.roles)}: {self.n_kept} of {self.n_weights} weights,"
            f" sparsity {self.sparsity:.4f}, effective"
            f" {known(self.effective_sparsity, '.4f')})"
        )

    @property
    def n_weights(self) -> int:
        """Number of prunable weights."""
        return sum(mask.numel() for mask in self.nominal.values())

    @property
    def n_kept(self) -> int:
        """Number of weights the nominal mask keeps."""
        return sum(int(mask.sum()) for mask in self.nominal.values())

    @property
    def n_connected(self) -> int | None:
        """Number of kept weights on a path from an input to an output; None if not known."""
        counts = [self.connected_in(name) for name in self.connected]
        return None if None in counts else sum(filter(None, counts))

    def connected_in(self, name: str) -> int | None:
        """The same of one layer.

        Args:
            name: Of its weight.

        Returns:
            The number; None if it is not known.
        """
        if name in self.unfollowed:
            return None
        return 0 if name in self.severed else int(self.connected[name].sum())

    @property
    def density(self) -> float:
        """Fraction of the prunable weights that the nominal mask keeps."""
        return self.n_kept / self.n_weights

    @property
    def sparsity(self) -> float:
        """Fraction of the prunable weights that the nominal mask removes."""
        return 1.0 - self.density

    @property
    def effective_sparsity(self) -> float | None:
        """Fraction removed when weights on no input-to-output path count as removed.

        None where the wiring of a network is not known.

        References:
            Vysogorets, Kempe 2023, arXiv 2107.02306.
        """
        connected = self.n_connected
        return None if connected is None else 1.0 - connected / self.n_weights

    @property
    def layer_densities(self) -> dict[str, float]:
        """Weight name → fraction of the layer's weights that the nominal mask keeps."""
        return {name: float(mask.float().mean()) for name, mask in self.nominal.items()}

    @property
    def layer_units(self) -> dict[str, tuple[int, int]]:
        """Weight name → units (rows) with a connected weight, and all units of the layer."""
        return {
            name: (int(mask.flatten(1).any(dim=1).sum()), len(mask))
            for name, mask in self.connected.items()
        }

    @property
    def empty_layers(self) -> tuple[str, ...]:
        """Names of the layers of which the nominal mask keeps nothing."""
        return tuple(name for name, mask in self.nominal.items() if not mask.any())

    def jaccard(self, other: Mask) -> float:
        """Overlap of two nominal masks, ``|A ∩ B| / |A ∪ B|``.

        Two independent random masks of density d overlap by ``d / (2 − d)`` on average.

        Args:
            other: A mask of the same networks.

        Returns:
            Overlap in [0, 1].

        Raises:
            MaskError: If the other mask belongs to other networks.
        """
        self._check_same_weights(other)
        both = sum(int((m & other.nominal[n]).sum()) for n, m in self.nominal.items())
        either = sum(int((m | other.nominal[n]).sum()) for n, m in self.nominal.items())
        return both / either

    def _check_same_weights(self, other: Mask) -> None:
        shapes = {name: mask.shape for name, mask in self.nominal.items()}
        if shapes != {name: mask.shape for name, mask in other.nominal.items()}:
            raise MaskError(
                "The two masks belong to different networks: they hold"
                f" {sorted(shapes)} and {sorted(other.nominal)}, or other shapes."
            )

    def save(self, path: str | Path) -> None:
        """Write the mask as a safetensors file, whole or not at all.

        Args:
            path: The file; an existing one is replaced.

        Raises:
            WriteError: If the disk is full or refuses; an existing file stays.
        """
        tensors = {f"nominal/{name}": mask for name, mask in self.nominal.items()}
        tensors |= {f"connected/{name}": mask for name, mask in self.connected.items()}
        for field in ("unfollowed", "severed"):
            tensors |= {f"{field}/{name}": torch.ones(1) for name in sorted(getattr(self, field))}
        with written_aside(path) as aside:
            save_file(tensors, aside, {"roles": json.dumps(dict(self.roles))})

    @classmethod
    def load(cls, path: str | Path) -> Mask:
        """Read a mask that :meth:`save` wrote; no code of the file is executed.

        Args:
            path: The file.

        Returns:
            The mask.

        Raises:
            MaskError: If the file is missing or is not a mask.
        """
        try:
            with safe_open(path, framework="pt") as file:
                about = file.metadata() or {}
                roles = json.loads(about["roles"])
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        except (
            OSError, SafetensorError, KeyError, ValueError, TypeError, RecursionError, RuntimeError
        ) as error:  # fmt: skip
            raise MaskError(
                f"{path} is not a mask that this package saved ({error}). Expected a"
                " safetensors file written by Mask.save."
            ) from error
        if about.get("format", _FORMAT) != _FORMAT:
            raise MaskError(
                f"{path} was saved in format {about['format']}; this version reads format"
                f" {_FORMAT}. Upgrade offline-prune."
            )
        if not isinstance(roles, dict) or not all(
            isinstance(members, list) and all(isinstance(name, str) for name in members)
            for members in roles.values()
        ):
            raise MaskError(
                f"{path} names its networks by {type(roles).__name__}; expected role → names"
                " of weights, as Mask.save writes them."
            )
        parts: dict[str, dict[str, Tensor]] = {
            "nominal": {}, "connected": {}, "unfollowed": {}, "severed": {}
        }  # fmt: skip
        for key, tensor in tensors.items():
            kind, _, name = key.partition("/")
            if kind not in parts:
                raise MaskError(f"{path} holds a tensor {key!r} that no mask has.")
            parts[kind][name] = tensor
        return cls(
            parts["nominal"],
            parts["connected"],
            {role: tuple(members) for role, members in roles.items()},
            frozenset(parts["unfollowed"]),
            frozenset(parts["severed"]),
        )
