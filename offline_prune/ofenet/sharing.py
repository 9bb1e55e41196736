"""One OFENet for all encoders of an algorithm."""

from __future__ import annotations

from typing import Any

from d3rlpy.constants import ActionSpace

from offline_prune.errors import AlgorithmError
from offline_prune.ofenet.encoder import OFENetReader, initial_ofenet
from offline_prune.ofenet.network import OFENet, without_actions

__all__ = ["find_ofenet", "find_readers", "share_ofenet"]


def find_readers(algo: Any) -> list[OFENetReader]:
    """List the encoders of an algorithm that read an OFENet, those of targets too.

    Args:
        algo: A d3rlpy algorithm.

    Returns:
        The encoders, each once; none if the algorithm is not built.
    """
    if algo.impl is None:
        return []
    tops = algo.impl.modules.get_torch_modules().values()
    found = {id(m): m for top in tops for m in top.modules() if isinstance(m, OFENetReader)}
    return list(found.values())


def find_ofenet(algo: Any) -> OFENet | None:
    """The OFENet of an algorithm.

    Args:
        algo: A d3rlpy algorithm.

    Returns:
        The one that :func:`share_ofenet` gave all its encoders; None before, and if there
        is none.
    """
    held = {id(reader.ofenet): reader.ofenet for reader in find_readers(algo)}
    first = next(iter(held.values()), None)
    return first if len(held) == 1 and first and first.prediction is not None else None


def share_ofenet(algo: Any) -> OFENet:
    """Let all encoders of a built algorithm read one and the same OFENet.

    The first encoder's that reads actions is kept. Where none does (behaviour cloning,
    discrete critics) the state branch of the first is kept and gets the other branch,
    which training it needs. An algorithm that shares already keeps what it has. Targets
    read the current features: they have no OFENet of their own.

    Call it after the algorithm was built or loaded. Loading a file into an algorithm
    that shares keeps the one object and changes its weights.

    Args:
        algo: A d3rlpy algorithm built with :class:`OFENetEncoderFactory`.

    Returns:
        The OFENet.

    Raises:
        AlgorithmError: If the algorithm is not built, has no such encoder, or its
            encoders have OFENets of different sizes.
    """
    readers = find_readers(algo)
    if not readers:
        state = "is not built yet" if algo.impl is None else "has no encoder with an OFENet"
        raise AlgorithmError(
            f"{type(algo).__name__} {state}. Give its config OFENetEncoderFactory() as"
            " encoder factory of every network, then build it with"
            " build_with_dataset(...) or build_with_env(...)."
        )
    wanted = {
        **readers[0].ofenet.sizes,
        "action_size": int(algo.impl.action_size),
        "discrete_action": algo.get_action_type() == ActionSpace.DISCRETE,
    }
    for reader in readers:
        sizes, fitting = reader.ofenet.sizes, wanted
        if sizes["action_size"] is None:  # actions count of an OFENet alone that reads some
            fitting = {**sizes, **without_actions(wanted)}
        if sizes != fitting:
            raise AlgorithmError(
                "All encoders of an algorithm share one OFENet, so theirs must have the"
                f" same sizes: {sizes} does not go with {fitting}. Give all networks the"
                " same n_layers and units, and BCQ's imitator_encoder_factory a plain"
                " encoder: its decoder reads latent variables as actions."
            )
    complete = [r.ofenet for r in readers if r.ofenet.prediction is not None]
    if complete:
        ofenet = complete[0]
    else:
        first = readers[0].ofenet
        like = next(first.parameters())
        ofenet = initial_ofenet(**wanted).to(device=like.device, dtype=like.dtype)
        ofenet.state_branch.load_state_dict(first.state_branch.state_dict())
    for reader in readers:
        reader.hold(ofenet)
    return ofenet
