"""Words for the numbers of observations and actions, where their environment has them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import gymnasium
from gymnasium.envs.registration import EnvSpec, load_env_creator

from offline_prune.data.environment import trusted_spec
from offline_prune.data.metadata import DatasetMetadata
from offline_prune.data.observations import Leaf
from offline_prune.errors import EnvironmentUnavailableError

__all__ = ["action_words", "observation_words"]


def observation_words(metadata: DatasetMetadata) -> tuple[str, ...]:
    """What each number of an observation is, of one frame where they are stacked.

    Parts of a Dict or Tuple say it themselves. Else it is read in the table
    ``| Num | Observation | …`` that gymnasium's environments are documented with, with its unit.

    Args:
        metadata: Of the dataset.

    Returns:
        As many words as there are numbers; none where it is not known, and for an image.
    """
    layout = metadata.observation_layout
    if len(layout.shape) != 1:
        return ()
    if len(layout.leaves) > 1 or layout.leaves[0].name or layout.leaves[0].categories:
        return tuple(word for leaf in layout.leaves for word in _of_leaf(leaf))
    return _documented(metadata.env_spec, "Observation", layout.shape[0])


def action_words(metadata: DatasetMetadata) -> tuple[str, ...]:
    """The same of actions: of the numbers of a vector, or of those that are chosen among.

    Args:
        metadata: Of the dataset.

    Returns:
        As many words as there are; none where it is not known.
    """
    return _documented(metadata.env_spec, "Action", metadata.action_size)


def _of_leaf(leaf: Leaf) -> Iterator[str]:
    name = leaf.name or "observation"
    if not leaf.categories:
        yield from ([name] if leaf.size == 1 else (f"{name}[{i}]" for i in range(leaf.size)))
        return
    for i, (start, count) in enumerate(leaf.categories):
        entry = name if len(leaf.categories) == 1 else f"{name}[{i}]"
        yield from (f"{entry} is {value}" for value in range(start, start + count))


def _documented(spec: EnvSpec | None, of: str, size: int) -> tuple[str, ...]:
    """The table of so many rows in what the environment's class says of itself."""
    if spec is None or spec.additional_wrappers:  # a wrapper may change what is observed
        return ()
    try:
        entry = trusted_spec(spec).entry_point
        creator = load_env_creator(entry) if isinstance(entry, str) else entry
    except (EnvironmentUnavailableError, gymnasium.error.Error, ImportError, AttributeError):
        return ()
    for header, *rows in _tables(inspect.getdoc(creator) or ""):
        if [cell.lower() for cell in header[:2]] != ["num", of.lower()]:
            continue
        numbered = [row for row in rows if row[0].isdigit() and len(row) == len(header)]
        if [int(row[0]) for row in numbered] == list(range(size)):
            units = next((i for i, cell in enumerate(header) if "unit" in cell.lower()), None)
            return tuple(row[1] + ("" if units is None else f", {row[units]}") for row in numbered)
    return ()


def _tables(text: str) -> Iterator[list[list[str]]]:
    """Tables of a text in Markdown, cell by cell."""
    table: list[list[str]] = []
    for line in [*text.splitlines(), ""]:
        if line.lstrip().startswith("|"):
            table.append([cell.strip() for cell in line.strip().strip("|").split("|")])
        elif table:
            yield table
            table = []
