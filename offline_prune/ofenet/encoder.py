"""d3rlpy encoders that read the features of an OFENet.

d3rlpy builds an encoder for every network and every target by itself, zips
``parameters()`` of online and target network, and gives them to optimizers. None of that
may touch the OFENet, so an encoder holds it outside its registered modules. What d3rlpy
does with registered modules and an OFENet needs too is done here: moving to a device,
saving and loading.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from d3rlpy.models.encoders import EncoderFactory, register_encoder_factory
from d3rlpy.models.torch.encoders import Encoder, EncoderWithAction
from torch import Tensor, nn

from offline_prune.base.arguments import whole_number
from offline_prune.errors import AlgorithmError, InputError, UnknownNameError
from offline_prune.ofenet.network import OFENet, without_actions

__all__ = [
    "OFENetEncoder",
    "OFENetEncoderFactory",
    "OFENetEncoderWithAction",
    "OFENetReader",
    "initial_ofenet",
]

_SIX_OF_FORTY = {"n_layers": 6, "units": 40}
_EIGHT_OF_THIRTY = {"n_layers": 8, "units": 30}
_SIZES = {
    "Ant": _SIX_OF_FORTY,
    "HalfCheetah": _EIGHT_OF_THIRTY,
    "Hopper": _SIX_OF_FORTY,
    "Humanoid": _EIGHT_OF_THIRTY,
    "Walker2d": _SIX_OF_FORTY,
}


def initial_ofenet(**sizes: Any) -> OFENet:
    """Draw an OFENet as RL reads it: in evaluation mode, no parameter needs gradients.

    It is drawn from the *seed* of torch's random state, not from the state: encoders
    that are built after the same ``d3rlpy.seed`` begin with equal features, those of
    targets too, and the state itself stays as it was.

    Args:
        **sizes: Arguments of :class:`OFENet`.

    Returns:
        The network, on the CPU.
    """
    seed = torch.initial_seed()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return OFENet(**sizes).eval().requires_grad_(False)


class OFENetReader(nn.Module):
    """What both encoders have: an OFENet held aside, and layers of their own.

    Attributes:
        ofenet: The OFENet; one and the same for all encoders of an algorithm after
            :func:`~offline_prune.ofenet.share_ofenet`.
    """

    def __init__(self, ofenet: OFENet, in_features: int, hidden_units: Sequence[int]) -> None:
        """Put a multilayer perceptron with ReLU on top of features.

        Args:
            ofenet: The OFENet.
            in_features: Length of its features that this encoder reads.
            hidden_units: Widths of the layers.
        """
        super().__init__()
        # A module in a list is not registered: it is in no parameters(), train() or
        # state_dict(), and target updates pass it by.
        self._held = [ofenet]
        widths = [in_features, *hidden_units]
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            layers += [nn.Linear(before, after), nn.ReLU()]
        self._layers = nn.Sequential(*layers)

    @property
    def ofenet(self) -> OFENet:
        """The OFENet whose features are read."""
        return self._held[0]

    def hold(self, ofenet: OFENet) -> None:
        """Read another OFENet from now on.

        Args:
            ofenet: One of the same sizes.
        """
        self._held[0] = ofenet

    def features(self, *inputs: Tensor) -> Tensor:
        """Features, with no graph but to inputs that require gradients.

        Args:
            *inputs: Observations (B, n), and actions (B, A) for features of both.

        Returns:
            z_s or z_sa, computed in the OFENet's precision, in that of the inputs.
        """
        ofenet, dtype = self.ofenet, self.ofenet.dtype
        cast = [x.to(dtype) for x in inputs]
        wanted = torch.is_grad_enabled() and any(x.requires_grad for x in cast)
        with torch.set_grad_enabled(wanted):
            found: Tensor = ofenet(*cast)
        return found.to(inputs[0].dtype)

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> OFENetReader:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self.ofenet._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def get_extra_state(self) -> dict[str, Any]:
        """Sizes and tensors of the OFENet, for ``state_dict``."""
        return {"sizes": dict(self.ofenet.sizes), "state": self.ofenet.state_dict()}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take over a saved OFENet, in place: every encoder that shares it reads it.

        Args:
            state: What :meth:`get_extra_state` returned.

        Raises:
            AlgorithmError: If the saved OFENet has other sizes.
        """
        sizes, tensors = state["sizes"], state["state"]
        if sizes != self.ofenet.sizes:
            if without_actions(sizes) != without_actions(self.ofenet.sizes):
                raise AlgorithmError(
                    f"The file holds an OFENet of {sizes}; this algorithm's has"
                    f" {self.ofenet.sizes}. Load it into an algorithm of the same"
                    " encoder factory."
                )
            if sizes["action_size"] is None:  # an encoder that was saved before it shared
                branch = "state_branch."
                tensors = {n.removeprefix(branch): t for n, t in tensors.items()}
                self.ofenet.state_branch.load_state_dict(tensors)
                return
            if self.ofenet.sizes["action_size"] is not None:
                raise AlgorithmError(
                    f"The file holds an OFENet of {sizes}; this encoder's actions are"
                    f" others: {self.ofenet.sizes}."
                )
            like = next(self.ofenet.parameters())
            self.hold(initial_ofenet(**sizes).to(device=like.device, dtype=like.dtype))
        self.ofenet.load_state_dict(tensors)


class OFENetEncoder(OFENetReader, Encoder):  # type: ignore[misc]
    """Features of the state, then layers: what a policy or a value function reads."""

    def __init__(self, ofenet: OFENet, hidden_units: Sequence[int]) -> None:
        """Put layers on top of φ.

        Args:
            ofenet: The OFENet.
            hidden_units: Widths of the layers.
        """
        super().__init__(ofenet, ofenet.state_branch.out_features, hidden_units)

    def forward(self, x: Tensor) -> Tensor:
        """Encode states: (B, n) → (B, last width)."""
        found: Tensor = self._layers(self.features(x))
        return found


class OFENetEncoderWithAction(OFENetReader, EncoderWithAction):  # type: ignore[misc]
    """Features of state and action, then layers: what a critic reads."""

    def __init__(self, ofenet: OFENet, hidden_units: Sequence[int]) -> None:
        """Put layers on top of ψ.

        Args:
            ofenet: The OFENet; it has a state-action branch.
            hidden_units: Widths of the layers.
        """
        assert ofenet.state_action_branch is not None
        super().__init__(ofenet, ofenet.state_action_branch.out_features, hidden_units)

    def forward(self, x: Tensor, action: Tensor) -> Tensor:
        """Encode states and actions: (B, n), (B, A) → (B, last width)."""
        found: Tensor = self._layers(self.features(x, action))
        return found


@dataclass()
class OFENetEncoderFactory(EncoderFactory):  # type: ignore[misc]
    """d3rlpy's encoder factory for OFENet, of type ``"ofenet"``.

    Give it to every network of an algorithm, build the algorithm, and let an
    :class:`~offline_prune.ofenet.OFENetTrainer` train the features.

    Attributes:
        n_layers: Layers of each of the two branches of the OFENet.
        units: Units of each of these layers.
        hidden_units: Widths of the layers with ReLU on top of the features, at least
            one; they are the encoder's own and d3rlpy trains them.

    Raises:
        InputError: If a number is not a whole number from 1 on, or there is no hidden
            layer.
    """

    n_layers: int = 6
    units: int = 40
    hidden_units: list[int] = field(default_factory=lambda: [256, 256])

    def __post_init__(self) -> None:
        """Check the numbers."""
        self.n_layers = whole_number("n_layers", self.n_layers, 1)
        self.units = whole_number("units", self.units, 1)
        if not self.hidden_units:
            raise InputError(
                "hidden_units is empty: d3rlpy's networks need one layer of their own at"
                " least between the features and the outputs, e.g. [256, 256]."
            )
        self.hidden_units = [whole_number("hidden_units", w, 1) for w in self.hidden_units]

    @classmethod
    def for_environment(
        cls, environment: str, hidden_units: Sequence[int] = (256, 256)
    ) -> OFENetEncoderFactory:
        """The paper's sizes: 6 layers of 40, or 8 of 30 (HalfCheetah, Humanoid).

        Args:
            environment: ``"Hopper-v5"``, ``"HalfCheetah"``, …; the version is ignored.
            hidden_units: Widths of the layers on top of the features.

        Returns:
            The factory.

        Raises:
            UnknownNameError: If the paper has no sizes for the environment.
        """
        name = environment.partition("-")[0]
        if name not in _SIZES:
            raise UnknownNameError("environment of OFENet's paper", name, _SIZES)
        return cls(hidden_units=list(hidden_units), **_SIZES[name])

    def create(self, observation_shape: Sequence[int]) -> OFENetEncoder:
        """Make an encoder of states.

        Args:
            observation_shape: (n,).

        Returns:
            The encoder; its OFENet has the state branch alone until it is shared.

        Raises:
            AlgorithmError: If observations are not vectors.
        """
        return OFENetEncoder(
            initial_ofenet(observation_size=_length(observation_shape), **self._sizes()),
            self.hidden_units,
        )

    def create_with_action(
        self, observation_shape: Sequence[int], action_size: int, discrete_action: bool = False
    ) -> OFENetEncoderWithAction:
        """Make an encoder of states and actions.

        Args:
            observation_shape: (n,).
            action_size: A, length of the action vector or number of actions.
            discrete_action: Whether actions are numbers, to be read one-hot.

        Returns:
            The encoder.

        Raises:
            AlgorithmError: If observations are not vectors.
        """
        ofenet = initial_ofenet(
            observation_size=_length(observation_shape),
            action_size=action_size,
            discrete_action=discrete_action,
            **self._sizes(),
        )
        return OFENetEncoderWithAction(ofenet, self.hidden_units)

    def _sizes(self) -> dict[str, int]:
        return {"n_layers": self.n_layers, "units": self.units}

    @staticmethod
    def get_type() -> str:
        """The name in d3rlpy's files."""
        return "ofenet"


def _length(observation_shape: Sequence[int]) -> int:
    if len(observation_shape) != 1:
        raise AlgorithmError(
            f"OFENet reads observation vectors; these have the shape {tuple(observation_shape)}."
            " Use d3rlpy's PixelEncoderFactory for images."
        )
    return int(observation_shape[0])


register_encoder_factory(OFENetEncoderFactory)
