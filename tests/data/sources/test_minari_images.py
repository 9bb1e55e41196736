"""Images that Minari itself wrote, in each of its formats, with JPEG and without."""

import json

import gymnasium
import h5py
import numpy as np
import pytest
from minari import MinariDataset
from minari.data_collector.episode_buffer import EpisodeBuffer
from minari.dataset.minari_storage import MinariStorage

from offline_prune import load_dataset
from offline_prune.errors import DatasetError

pa = pytest.importorskip("pyarrow")
feather = pytest.importorskip("pyarrow.feather")
parquet = pytest.importorskip("pyarrow.parquet")

FORMATS = ("hdf5", "arrow", "parquet")
IMAGE = gymnasium.spaces.Box(0, 255, (32, 40, 3), np.uint8)
NESTED = gymnasium.spaces.Dict(
    {"speed": gymnasium.spaces.Box(-1, 1, (2,), np.float32),
     "views": gymnasium.spaces.Tuple([IMAGE, IMAGE])}
)  # fmt: skip
POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 40\n"


def images(n, seed=0):
    """Smooth ones: noise would be another image after JPEG."""
    x, y = np.meshgrid(np.linspace(0, 1, 40), np.linspace(0, 1, 32))
    phase = np.random.default_rng(seed).uniform(0, 6, (n, 1, 1, 3))
    waves = np.sin(4 * x[None, ..., None] + 3 * y[None, ..., None] + phase)
    return (127 * (waves + 1)).astype(np.uint8)


def nested(n, seed=0):
    return {
        "speed": np.zeros((n, 2), np.float32),
        "views": (images(n, seed), images(n, seed + 100)),
    }


def written(folder, data_format, *, jpeg=True, space=IMAGE, observations=images):
    """A dataset of two episodes, three steps each."""
    (folder / "data").mkdir(parents=True)
    storage = MinariStorage.new(
        folder / "data", space, gymnasium.spaces.Discrete(2), data_format=data_format,
        jpeg_encoding=jpeg,
    )  # fmt: skip
    storage.update_metadata({"dataset_id": "test/images-v0", "minari_version": "0.5.4"})
    flags = [False, False, True]
    storage.update_episodes(
        [
            EpisodeBuffer(
                observations=observations(4, seed), actions=np.array([0, 1, 1]),
                rewards=[0.0, 1.0, 2.0], terminations=flags, truncations=[False] * 3,
            )
            for seed in range(2)
        ]
    )  # fmt: skip
    return folder


def channels_first(seeds=range(2)):
    return np.concatenate([images(4, seed) for seed in seeds]).transpose(0, 3, 1, 2)


@pytest.mark.parametrize("data_format", FORMATS)
def test_jpeg_comes_as_it_was_decoded(data_format, tmp_path):
    folder = written(tmp_path / "set", data_format)
    data = load_dataset(folder)
    decoded = [e.observations for e in MinariDataset(folder / "data").iterate_episodes()]
    np.testing.assert_array_equal(data.frames, np.concatenate(decoded).transpose(0, 3, 1, 2))
    away = np.abs(data.frames.astype(int) - channels_first())
    assert 0 < away.mean() < 8  # lossy, and near


def test_every_format_gives_the_same_frames(tmp_path):
    first, *others = (load_dataset(written(tmp_path / f, f)).frames for f in FORMATS)
    for other in others:
        np.testing.assert_array_equal(other, first)


@pytest.mark.parametrize("data_format", FORMATS)
def test_raw_images_come_exactly(data_format, tmp_path):
    data = load_dataset(written(tmp_path / "set", data_format, jpeg=False))
    np.testing.assert_array_equal(data.frames, channels_first())


@pytest.mark.parametrize("data_format", FORMATS)
def test_images_within_an_observation_are_found(data_format, tmp_path):
    folder = written(tmp_path / "set", data_format, space=NESTED, observations=nested)
    assert load_dataset(folder).frames.shape == (8, 2 + 2 * 32 * 40 * 3)


def replace_last_view(folder, data_format):
    """PostScript instead of the JPEG of the last observation of episode 1."""
    is_nested = "views" in json.loads((folder / "data" / "metadata.json").read_text())[
        "observation_space"
    ]  # fmt: skip
    if data_format == "hdf5":
        with h5py.File(folder / "data" / "main_data.hdf5", "a") as file:
            group = file["episode_1"]
            name = "observations/views/_index_1" if is_nested else "observations"
            kept = [bytes(row) for row in group[name][()]][:-1]
            del group[name]
            rows = [np.frombuffer(row, np.uint8) for row in (*kept, POSTSCRIPT)]
            made = group.create_dataset(name, (4,), dtype=h5py.vlen_dtype(np.uint8))
            for i, row in enumerate(rows):
                made[i] = row
        return
    (path,) = (folder / "data" / "1").glob(f"*.{data_format}")
    is_arrow = data_format == "arrow"
    table = feather.read_table(path) if is_arrow else parquet.ParquetFile(path).read()
    observations = table.column("observations").to_pylist()
    if is_nested:
        observations[-1]["views"]["1"] = POSTSCRIPT
    else:
        observations[-1] = POSTSCRIPT
    column = pa.array(observations, table.schema.field("observations").type)
    number = table.schema.get_field_index("observations")
    table = table.set_column(number, "observations", column)
    if is_arrow:
        feather.write_feather(table, path, "uncompressed")
    else:
        parquet.write_table(table, path)


@pytest.mark.parametrize(
    ("space", "observations", "name"),
    [(IMAGE, images, "observations"), (NESTED, nested, "observations/views/1")],
    ids=["image", "nested"],
)
@pytest.mark.parametrize("data_format", FORMATS)
def test_images_that_are_no_jpeg(data_format, space, observations, name, tmp_path):
    """Pillow would hand other kinds, PostScript among them, to other programs."""
    folder = written(tmp_path / "set", data_format, space=space, observations=observations)
    replace_last_view(folder, data_format)
    with pytest.raises(DatasetError, match=f"episode 1, step 3: {name} holds no JPEG"):
        load_dataset(folder)
