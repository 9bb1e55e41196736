"""From the short forms that describe encoders to fields of a d3rlpy config.

:mod:`offline_prune.agents.configure` lists the short forms.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping
from typing import Any

from d3rlpy.models import EncoderFactory, VectorEncoderFactory

from offline_prune.data import Dataset
from offline_prune.encoders import (
    VECTOR_ENCODERS,
    check_reads_vectors,
    encoder_factory,
    layer_widths,
    parts_encoder_factory,
    vector_encoder_factory,
)
from offline_prune.errors import InputError, UnknownNameError
from offline_prune.ofenet import OFENetEncoderFactory

__all__ = ["encoder_fields", "encoder_forms"]

_EVERY_NETWORK = ("encoder", "encoder_width", "hidden_units", "ofenet", "parts", "simba")
_OF_ONE_NETWORK = ("parts", *VECTOR_ENCODERS)
_ONE_NETWORK = {
    f"{role}_{form}": form
    for role in ("actor", "critic", "imitator", "value")
    for form in ("encoder", "hidden_units")
}


def encoder_forms(fields: Collection[str]) -> set[str]:
    """The short forms that an algorithm takes.

    Args:
        fields: Fields of its d3rlpy config.

    Returns:
        Their names, those for one network alone included.
    """
    one = (name for name in _ONE_NETWORK if f"{name.partition('_')[0]}_encoder_factory" in fields)
    return {*_EVERY_NETWORK, *one}


def encoder_fields(
    name: str, given: Mapping[str, Any], fields: Collection[str], data: Dataset
) -> dict[str, Any] | None:
    """The encoder factories that one hyperparameter stands for, beside the others given.

    Args:
        name: The hyperparameter.
        given: All that are given, this one included.
        fields: Fields of the d3rlpy config.
        data: The dataset.

    Returns:
        Config field → factory; None if the hyperparameter is no short form of an encoder
        that this algorithm takes.

    Raises:
        UnknownNameError: If there is no encoder of this name.
        InputError: If the hyperparameters given do not go together, or the encoder does
            not read such observations.
    """
    if name not in encoder_forms(fields):
        if name in _ONE_NETWORK and "encoder_factory" in fields:
            raise InputError(
                f"{name} is for one network of several; this algorithm has one encoder for"
                f" whatever it trains: {_ONE_NETWORK[name]}={given[name]!r}."
            )
        return None
    shape = data.metadata.observation_shape
    every = sorted(field for field in fields if field.endswith("encoder_factory"))
    encoder = given.get("encoder")
    is_image_encoder = "encoder" in given and encoder not in ("ofenet", *_OF_ONE_NETWORK)
    if name == "encoder_width":
        if not is_image_encoder:
            raise InputError(
                "encoder_width widens a named image encoder; name it as well:"
                " encoder='impala', 'impoola', 'nature' or 'small'."
            )
        return {}
    if name == "ofenet" and encoder != "ofenet":
        raise InputError("ofenet gives the sizes of an OFENet; ask for it: encoder='ofenet'.")
    if name == "parts":
        if all(_encoder_of(field, given) != "parts" for field in every):
            raise InputError(
                "parts says how each array of an observation is encoded; ask for that:"
                " encoder='parts'."
            )
        return {}
    if name == "simba":
        if all(_encoder_of(field, given) != "simba" for field in every):
            raise InputError("simba gives the sizes of SimBa; ask for it: encoder='simba'.")
        return {}
    if name.endswith("_encoder") and encoder == "ofenet":
        raise InputError(f"encoder='ofenet' puts features under every network: leave {name} out.")
    if name in _EVERY_NETWORK and encoder == "ofenet":
        factory = _ofenet(given, data)
        plain = VectorEncoderFactory(factory.hidden_units)
        return {field: plain if "imitator" in field else factory for field in every}
    if name == "encoder" and is_image_encoder:
        return dict.fromkeys(every, encoder_factory(encoder, given.get("encoder_width", 1), shape))
    if name.endswith("hidden_units") and is_image_encoder:
        encoder_factory(encoder, 1, shape)  # if there is one
        raise InputError(
            f"{name} are layers that read vectors, and encoder={encoder!r}"
            f" reads these images: leave {name} out."
        )
    role = name.removesuffix("hidden_units").removesuffix("encoder")
    concerned = every if name in _EVERY_NETWORK else [f"{role}encoder_factory"]
    if name.endswith("hidden_units") and all(
        _encoder_of(field, given) == "simba" for field in concerned
    ):
        raise InputError(
            f"{name} are layers one after another, and SimBa has blocks: leave {name} out,"
            " and give its sizes as simba={'feature_size': 256, 'hidden_size': 1024,"
            " 'n_blocks': 1}."
        )
    return {field: _encoder(field, given, data) for field in concerned}


def _encoder(field: str, given: Mapping[str, Any], data: Dataset) -> EncoderFactory:
    """One network's encoder of vectors or parts: as said of it alone, else of every network."""
    encoder, shape = _encoder_of(field, given), data.metadata.observation_shape
    if encoder in VECTOR_ENCODERS:
        check_reads_vectors(f"{_own('encoder', field, given)}={encoder!r}", shape)
    if encoder == "simba":
        return vector_encoder_factory(encoder, simba=given.get("simba"))
    widths = _own("hidden_units", field, given)
    if encoder == "parts":
        joint = layer_widths(widths, given[widths]) if widths in given else None
        return parts_encoder_factory(data.metadata.observation_layout, given.get("parts"), joint)
    return vector_encoder_factory(
        "layer_norm" if encoder == "layer_norm" else "plain",
        layer_widths(widths, given[widths]) if widths in given else None,
    )


def _own(form: str, field: str, given: Mapping[str, Any]) -> str:
    """The short form that holds for a network: its own if given, else every network's."""
    own = f"{field.removesuffix('encoder_factory')}{form}"
    return own if own in given else form


def _encoder_of(field: str, given: Mapping[str, Any]) -> Any:
    """The name of a network's encoder; None if none is given.

    Raises:
        UnknownNameError: If it is given for this network alone, and does not exist.
    """
    asked = _own("encoder", field, given)
    encoder = given.get(asked)
    if asked != "encoder" and encoder not in _OF_ONE_NETWORK:
        raise UnknownNameError(asked, str(encoder), _OF_ONE_NETWORK)
    return encoder


def _ofenet(given: Mapping[str, Any], data: Dataset) -> OFENetEncoderFactory:
    """The factory that ``encoder``, ``ofenet`` and ``hidden_units`` stand for together."""
    hidden_units = layer_widths("hidden_units", given.get("hidden_units", (256, 256)))
    if "ofenet" in given:
        return OFENetEncoderFactory(**given["ofenet"], hidden_units=hidden_units)
    spec = data.metadata.env_spec
    if spec is not None:
        with contextlib.suppress(UnknownNameError):
            return OFENetEncoderFactory.for_environment(spec.id, hidden_units)
    return OFENetEncoderFactory(hidden_units=hidden_units)
