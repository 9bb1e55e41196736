"""Small datasets in every form the loader takes, broken in one or two ways.

A :class:`Made` holds the arrays that go into a file or buffer. Breaks change the arrays or
the written files; :func:`check_faithful` compares whatever loads with the arrays as they went
in, so that anything that loads and is not exactly them fails the test.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import d3rlpy
import h5py
import numpy as np
import pyarrow as pa
from d3rlpy.dataset import Episode, InfiniteBuffer, ReplayBuffer
from gymnasium.spaces import Box, Discrete
from hypothesis import strategies as st
from minari.serialization import serialize_space

KINDS = ("vector-continuous", "vector-discrete", "pixel-continuous", "pixel-discrete")
FIELDS = ("observations", "actions", "rewards", "terminations", "truncations")
SHAPES = {"vector": (3,), "pixel": (2, 5, 5)}
ACTIONS = 3  # discrete actions, or 2 continuous ones


@dataclass(repr=False)
class Made:
    """A dataset before it is written.

    Attributes:
        kind: One of :data:`KINDS`.
        episodes: Field → array; T + 1 observations, T of everything else.
        metadata: Replaces entries of the metadata; None removes one.
        after: What to do to the files when they are written.
        rng: Of everything random.
    """

    kind: str
    episodes: list[dict[str, Any]]
    rng: np.random.Generator
    metadata: dict[str, Any] = field(default_factory=dict)
    after: list[Callable[[Path], None]] = field(default_factory=list)
    broken: tuple[str, ...] = ()
    seed: int = 0

    def __repr__(self) -> str:
        return f"Made({self.kind}, {self.broken}, seed {self.seed})"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))  # hypothesis would print every array

    @property
    def discrete(self) -> bool:
        return self.kind.endswith("discrete")

    @property
    def observation_space(self) -> Box:
        shape = SHAPES[self.kind.split("-")[0]]
        if self.kind.startswith("pixel"):
            return Box(0, 255, shape, np.uint8)
        return Box(-np.inf, np.inf, shape, np.float64)

    @property
    def action_space(self) -> Box | Discrete:
        return Discrete(ACTIONS) if self.discrete else Box(-1, 1, (2,), np.float32)

    def one(self) -> dict[str, Any]:
        """Some episode."""
        return self.episodes[self.rng.integers(len(self.episodes))]


def make(kind: str, rng: np.random.Generator) -> Made:
    """A valid dataset of one to four episodes of two to six steps."""
    made = Made(kind, [], rng)
    for _ in range(rng.integers(1, 5)):
        length = int(rng.integers(2, 7))
        shape = made.observation_space.shape
        flags = np.zeros((2, length), dtype=bool)
        flags[rng.integers(2), -1] = True
        pixels = kind.startswith("pixel")
        made.episodes.append(
            {
                "observations": rng.integers(0, 256, (length + 1, *shape)).astype(np.uint8)
                if pixels
                else rng.normal(size=(length + 1, *shape)),
                "actions": rng.integers(0, ACTIONS, length)
                if made.discrete
                else rng.uniform(-1, 1, (length, 2)).astype(np.float32),
                "rewards": rng.normal(size=length),
                "terminations": flags[0],
                "truncations": flags[1],
            }
        )
    return made


# --- Breaks of arrays -------------------------------------------------------------------


def _any_field(made: Made) -> str:
    return FIELDS[made.rng.integers(len(FIELDS))]


def _shorter(made: Made) -> None:
    episode, name = made.one(), _any_field(made)
    episode[name] = episode[name][:-1]


def _longer(made: Made) -> None:
    episode, name = made.one(), _any_field(made)
    episode[name] = np.concatenate([episode[name], episode[name][-1:]])


def _put(made: Made, value: Any, names: tuple[str, ...] = FIELDS[:3]) -> None:
    episode = made.one()
    name = names[made.rng.integers(len(names))]
    array = np.array(episode[name])
    if array.dtype.kind not in "fc":
        array = array.astype(np.float64)
    if array.size:
        array.flat[made.rng.integers(array.size)] = value
        episode[name] = array


def _huge(made: Made) -> None:
    _put(made, (1e38, -3e38, 1e39, 1e300)[made.rng.integers(4)])


def _dtype(made: Made) -> None:
    episode, name = made.one(), _any_field(made)
    dtypes = ("i1", "u2", "i8", "u8", "f2", "f8", "c8", "?", "S4", "u1", "i4")
    with np.errstate(all="ignore"):
        array = np.asarray(episode[name])
        if array.dtype.kind == "f":
            array = array * 3
        if array.dtype.kind == "c":
            array = array.real
        episode[name] = array.astype(dtypes[made.rng.integers(len(dtypes))])


def _strings(made: Made) -> None:
    episode, name = made.one(), _any_field(made)
    episode[name] = np.asarray(episode[name]).astype(str).astype(object)


def _byte_order(made: Made) -> None:
    for episode in made.episodes:
        for name in FIELDS[:3]:
            array = np.asarray(episode[name])
            if array.dtype.kind in "iufc":
                episode[name] = array.astype(array.dtype.newbyteorder(">"))


def _fortran(made: Made) -> None:
    for episode in made.episodes:
        episode["observations"] = np.asfortranarray(episode["observations"])


def _empty(made: Made) -> None:
    episode = made.one()
    for name in FIELDS:
        episode[name] = episode[name][: 1 if name == "observations" else 0]


def _all_empty(made: Made) -> None:
    episode = made.one()
    for name in FIELDS:
        episode[name] = episode[name][:0]


def _one_step(made: Made) -> None:
    for episode in made.episodes:
        for name in FIELDS:
            array = episode[name]
            episode[name] = array[-2:] if name == "observations" else array[-1:]


def _one_transition(made: Made) -> None:
    del made.episodes[1:]
    _one_step(made)


def _no_episode(made: Made) -> None:
    made.episodes.clear()


def _flags(made: Made, last: tuple[bool, bool]) -> None:
    episode = made.one()
    for name, value in zip(FIELDS[3:], last, strict=True):
        episode[name] = np.array(episode[name])
        episode[name][-1:] = value


def _early_flag(made: Made) -> None:
    episode = made.one()
    name = FIELDS[3 + made.rng.integers(2)]
    flags = np.array(episode[name])
    if len(flags):
        flags[made.rng.integers(len(flags))] = True
    episode[name] = flags


def _odd_flags(made: Made) -> None:
    episode = made.one()
    name = FIELDS[3 + made.rng.integers(2)]
    flags = np.asarray(episode[name]).astype(np.float64)
    flags[made.rng.integers(max(1, len(flags))) :] = (np.nan, 2.0, -1.0, 0.5)[made.rng.integers(4)]
    episode[name] = flags


def _two_columns(made: Made) -> None:
    episode, name = made.one(), _any_field(made)
    episode[name] = np.stack([episode[name]] * 2, axis=1)


def _column(made: Made) -> None:
    for episode in made.episodes:
        for name in ("rewards", "actions") if made.discrete else ("rewards",):
            episode[name] = np.asarray(episode[name]).reshape(len(episode[name]), -1)


def _outside(made: Made) -> None:
    if made.discrete:
        values = (-1, ACTIONS, 2**31, -(2**63), 2**63 - 1)
        episode = made.one()
        with np.errstate(all="ignore"):
            episode["actions"] = np.array(episode["actions"]).astype(np.int64)
        if episode["actions"].size:
            place = made.rng.integers(episode["actions"].size)
            episode["actions"].flat[place] = values[made.rng.integers(len(values))]
    else:
        _put(made, 7.5, ("actions",))


def _mixed_shapes(made: Made) -> None:
    episode = made.one()
    array = np.asarray(episode["observations"])
    if array.ndim > 1:
        episode["observations"] = array[:, :-1] if made.rng.integers(2) else array[..., None]


def _constant(made: Made) -> None:
    for episode in made.episodes:
        episode["observations"] = np.ones_like(episode["observations"])


def _scalar(made: Made) -> None:
    made.one()[_any_field(made)] = np.float64(1.5)


def _wide_pixels(made: Made) -> None:
    episode = made.one()
    episode["observations"] = np.asarray(episode["observations"]).astype(np.uint16) + 200


ARRAY_BREAKS: dict[str, Callable[[Made], None]] = {
    "nothing": lambda made: None,
    "shorter": _shorter,
    "longer": _longer,
    "NaN": lambda made: _put(made, np.nan),
    "infinite": lambda made: _put(made, (np.inf, -np.inf)[made.rng.integers(2)]),
    "huge": _huge,
    "dtype": _dtype,
    "strings": _strings,
    "byte order": _byte_order,
    "Fortran": _fortran,
    "empty episode": _empty,
    "nothing in an episode": _all_empty,
    "one step": _one_step,
    "one transition": _one_transition,
    "no episode": _no_episode,
    "both flags": lambda made: _flags(made, (True, True)),
    "unfinished": lambda made: _flags(made, (False, False)),
    "early flag": _early_flag,
    "odd flags": _odd_flags,
    "two columns": _two_columns,
    "column": _column,
    "outside": _outside,
    "mixed shapes": _mixed_shapes,
    "constant": _constant,
    "scalar": _scalar,
    "wide pixels": _wide_pixels,
}


# --- Breaks of files --------------------------------------------------------------------


def _truncate(made: Made) -> None:
    share = made.rng.uniform()

    def cut(path: Path) -> None:
        files = [p for p in _files(path) if p.name != "metadata.json"]
        if not files:
            return
        file = files[int(share * 1_000) % len(files)]
        content = file.read_bytes()
        file.write_bytes(content[: int(share * len(content))])

    made.after.append(cut)


def _damage_metadata(made: Made) -> None:
    share = made.rng.uniform()

    def cut(path: Path) -> None:
        for file in _files(path):
            if file.name == "metadata.json":
                content = file.read_bytes()
                file.write_bytes(content[: int(share * len(content))])

    made.after.append(cut)


def _remove_file(made: Made) -> None:
    share = made.rng.uniform()

    def remove(path: Path) -> None:
        files = _files(path)
        if files:
            files[int(share * len(files))].unlink()

    made.after.append(remove)


def _garbage(made: Made) -> None:
    content = made.rng.bytes(200)

    def write(path: Path) -> None:
        for file in _files(path)[:1]:
            file.write_bytes(content)

    made.after.append(write)


def _read_only(made: Made) -> None:
    made.after.append(lambda path: [file.chmod(0o444) for file in _files(path)] and None)


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())


ODD = (None, "", "x", -1, 10**20, 1.5, True, [], {}, float("nan"), float("inf"), "\x00", "../../x")


def _odd_metadata(made: Made) -> None:
    names = (
        "dataset_id", "total_episodes", "total_steps", "data_format", "observation_space",
        "action_space", "minari_version", "ref_min_score", "ref_max_score", "env_spec",
        "eval_env_spec", "jpeg_encoding",
    )  # fmt: skip
    name = names[made.rng.integers(len(names))]
    made.metadata[name] = ODD[made.rng.integers(len(ODD))]


def _wrong_count(made: Made) -> None:
    name = ("total_episodes", "total_steps")[made.rng.integers(2)]
    made.metadata[name] = int((0, 1, 3, 7, 1_000, 10**11)[made.rng.integers(6)])


def _wrong_space(made: Made) -> None:
    spaces = (
        Box(-1, 1, (2,), np.float32), Box(-1, 1, (), np.float32), Discrete(ACTIONS),
        Discrete(2, start=5), Box(0, 255, (2, 5, 5), np.uint8), Box(-np.inf, np.inf, (3,)),
        Box(-1, 1, (0,), np.float32),
    )  # fmt: skip
    space = spaces[made.rng.integers(len(spaces))]
    made.metadata[("observation_space", "action_space")[made.rng.integers(2)]] = serialize_space(
        space
    )


def _odd_space(made: Made) -> None:
    name = ("observation_space", "action_space")[made.rng.integers(2)]
    space = json.loads(serialize_space(getattr(made, name)))
    key = sorted(space)[made.rng.integers(len(space))]
    space[key] = ODD[made.rng.integers(len(ODD))]
    made.metadata[name] = json.dumps(space)


METADATA_BREAKS: dict[str, Callable[[Made], None]] = {
    "metadata cut": _damage_metadata,
    "metadata odd": _odd_metadata,
    "counts": _wrong_count,
    "spaces": _wrong_space,
    "space odd": _odd_space,
}
FILE_BREAKS: dict[str, Callable[[Made], None]] = {
    "truncated": _truncate,
    "file removed": _remove_file,
    "garbage": _garbage,
    "read-only": _read_only,
}


def _drop_key(made: Made) -> None:
    made.one().pop(_any_field(made))


DROP = {"key dropped": _drop_key}


@st.composite
def broken(draw: Any, breaks: dict[str, Callable[[Made], None]]) -> Made:
    """A dataset broken in one or two of the given ways, and its arrays afterwards."""
    kind = draw(st.sampled_from(KINDS))
    names = draw(st.lists(st.sampled_from(list(breaks)), min_size=1, max_size=2))
    seed = draw(st.integers(0, 2**20))
    made = make(kind, np.random.default_rng(seed))
    made.broken, made.seed = tuple(names), seed
    for name in names:
        try:
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore", np.exceptions.ComplexWarning)
                breaks[name](made)
        except (IndexError, KeyError, ValueError, TypeError):
            continue  # a second break that does not fit the first
    return made


# --- Forms ------------------------------------------------------------------------------


def metadata(made: Made, data_format: str) -> dict[str, Any]:
    """What Minari writes beside the data, with the replacements asked for."""
    found = {
        "total_episodes": len(made.episodes),
        "total_steps": sum(np.size(e.get("rewards", ())) for e in made.episodes),
        "data_format": data_format,
        "jpeg_encoding": False,
        "observation_space": serialize_space(made.observation_space),
        "action_space": serialize_space(made.action_space),
        "dataset_id": "test/broken-v0",
        "minari_version": "0.5.4",
        **made.metadata,
    }
    return {name: value for name, value in found.items() if value is not None}


def write_hdf5(made: Made, folder: Path) -> Path:
    """A Minari folder in the HDF5 form, written array by array."""
    data = folder / "data"
    data.mkdir(parents=True)
    (data / "metadata.json").write_text(json.dumps(metadata(made, "hdf5")))
    with h5py.File(data / "main_data.hdf5", "w") as file:
        for i, episode in enumerate(made.episodes):
            group = file.create_group(f"episode_{i}")
            group.attrs["id"] = i
            group.attrs["total_steps"] = np.size(episode.get("rewards", ()))
            for name, values in episode.items():
                group[name] = values
    for change in made.after:
        change(folder)
    return folder


def write_arrow(made: Made, folder: Path) -> Path:
    """A Minari folder in the Arrow form: one file an episode, padded as Minari pads it.

    Raises:
        ValueError: If Arrow cannot hold the arrays.
    """
    if not all(np.ndim(values) for episode in made.episodes for values in episode.values()):
        raise ValueError("Arrow has no scalar columns.")
    data = folder / "data"
    data.mkdir(parents=True)
    (data / "metadata.json").write_text(json.dumps(metadata(made, "arrow")))
    for i, episode in enumerate(made.episodes):
        columns = {name: _column_of(values) for name, values in episode.items()}
        rows = max(map(len, columns.values()), default=0)
        padded = [
            pa.concat_arrays([c, pa.nulls(rows - len(c), c.type)])
            if name != "observations" and len(c) == rows - 1
            else c
            for name, c in columns.items()
        ]
        # Minari pads with zeros, not nulls.
        padded = [
            pa.array([x if x is not None else _zero(c) for x in c.to_pylist()], c.type)
            for c in padded
        ]
        (data / str(i)).mkdir()
        if len({len(c) for c in padded}) > 1:
            rows = min(map(len, padded))
            padded = [c.slice(0, rows) for c in padded]
        batch = pa.RecordBatch.from_arrays(padded, names=list(columns))
        with pa.ipc.new_file(str(data / str(i) / "part-0.arrow"), batch.schema) as file:
            file.write_batch(batch)
    for change in made.after:
        change(folder)
    return folder


def _column_of(values: Any) -> Any:
    values = np.asarray(values)
    if values.ndim == 0:
        values = values.reshape(1)
    if values.dtype.kind in "iuf":
        values = values.astype(values.dtype.newbyteorder("="))
    if values.ndim == 1:
        return pa.array(values)
    flat = np.ascontiguousarray(values).reshape(len(values), -1)
    return pa.FixedSizeListArray.from_arrays(pa.array(flat.reshape(-1)), flat.shape[1])


def _zero(column: Any) -> Any:
    if pa.types.is_fixed_size_list(column.type):
        return [0] * column.type.list_size
    return False if pa.types.is_boolean(column.type) else 0


def replay_buffer(made: Made) -> ReplayBuffer:
    """A d3rlpy buffer; its episodes hold T observations for T steps."""
    episodes = []
    for episode in made.episodes:
        actions = np.asarray(episode["actions"])
        episodes.append(
            Episode(
                observations=episode["observations"][:-1],
                actions=actions.reshape(len(actions), -1),
                rewards=np.asarray(episode["rewards"]),
                terminated=bool(np.asarray(episode["terminations"]).reshape(-1)[-1:].any()),
            )
        )
    return ReplayBuffer(
        InfiniteBuffer(),
        episodes=episodes,
        action_space=d3rlpy.ActionSpace.DISCRETE if made.discrete else None,
        action_size=ACTIONS if made.discrete else 2,
    )


def flat(made: Made, layout: str) -> dict[str, Any]:
    """Arrays in D4RL's or d3rlpy's v1 layout: all episodes one after another."""
    ends = "timeouts" if layout == "d4rl" else "episode_terminals"
    found: dict[str, Any] = {}
    for name in FIELDS:
        rows = [np.asarray(e[name]) for e in made.episodes if name in e]
        if name == "observations":
            rows = [r[:-1] for r in rows]
        if rows:
            found[{"terminations": "terminals", "truncations": ends}.get(name, name)] = (
                np.concatenate(rows)
            )
    if layout == "d3rlpy" and ends in found and "terminals" in found:
        found[ends] = np.maximum(found[ends], found["terminals"])
    return found


def write_flat(made: Made, path: Path, layout: str) -> Path:
    """The same as an HDF5 file."""
    arrays = flat(made, layout)
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            file[name] = values
    for change in made.after:
        change(path)
    return path


# --- What must hold of whatever loads -----------------------------------------------------


def check_faithful(
    made: Made, data: Any, *, known_last: bool, declared: bool = True, start: int = 0
) -> None:
    """Assert that a loaded dataset is exactly the arrays that went in.

    Args:
        made: What went in.
        data: What came out.
        known_last: Whether the form records the observation after the last step; without
            it truncated episodes lose their last transition.
        declared: Whether the form declares the space of observations.
        start: The action space's first discrete action.
    """
    ends = []
    at = frame = 0
    for episode in made.episodes:
        rewards = np.asarray(episode["rewards"]).reshape(-1)
        length = len(rewards)
        terminated = bool(np.asarray(episode["terminations"]).reshape(-1)[-1:].any())
        steps = len(episode["actions"]) - (0 if known_last or terminated else 1)
        if steps <= 0:
            assert not known_last  # an empty episode of a file is refused
            continue
        observations = np.asarray(episode["observations"])
        assert len(observations) == length + 1
        if declared:
            assert observations.shape[1:] == made.observation_space.shape
        for name in FIELDS[1:]:
            assert len(episode[name]) == length
        for name in FIELDS[3:]:
            flags = np.asarray(episode[name]).reshape(-1)
            assert set(flags.tolist()) <= {0, 1}
            assert not flags[:-1].any()
        wanted = observations[: steps + 1] if known_last or not terminated else observations[:-1]
        found = data.frames[frame : frame + len(wanted)]
        if declared:
            pixels = made.kind.startswith("pixel")
            assert found.dtype == (np.uint8 if pixels else np.float32)
        np.testing.assert_array_equal(found, wanted.reshape(found.shape).astype(np.float32))
        assert np.isfinite(found).all()
        actions = np.asarray(episode["actions"])
        if made.discrete:
            actions = actions.reshape(-1, 1) - start
            assert ((actions[:steps] >= 0) & (actions[:steps] < ACTIONS)).all()
        else:
            actions = actions.astype(np.float32)
        np.testing.assert_array_equal(data.actions[at : at + steps], actions[:steps])
        assert np.isfinite(data.actions).all()
        np.testing.assert_array_equal(
            data.rewards[at : at + steps], rewards[:steps].astype(np.float32)
        )
        assert np.isfinite(data.rewards).all()
        at += steps
        frame += steps + 1
        assert data.terminals[at - 1] == terminated
        assert data.timeouts[at - 1] == (not terminated)
        assert not data.terminals[at - steps : at - 1].any()
        ends.append(at)
    assert at > 0
    assert data.ends.tolist() == ends
    assert len(data) == len(data.rewards) == len(data.terminals) == at
    assert len(data.frames) == frame
    assert data.metadata.action_size == (ACTIONS if made.discrete else 2)
