import numpy as np
import pytest
from d3rlpy.dataset import MDPDataset
from gymnasium import spaces
from minari.data_collector.episode_buffer import EpisodeBuffer

from offline_prune.data import ObservationLayout, load_dataset
from offline_prune.errors import DatasetError, EpisodeError, UnknownNameError
from tests.data.test_alignment import write


def box(*shape, dtype=np.float64):
    return spaces.Box(-np.inf, np.inf, shape, dtype)


def test_goal_observations_are_concatenated_with_keys_sorted(tmp_path):
    space = spaces.Dict(observation=box(2), desired_goal=box(1), achieved_goal=box(1))
    rng = np.random.default_rng(0)
    observations = {name: rng.normal(size=(5, *s.shape)) for name, s in space.items()}
    write(
        tmp_path / "set",
        [
            EpisodeBuffer(
                observations=observations,
                actions=rng.uniform(-1, 1, (4, 2)).astype(np.float32),
                rewards=[0.0] * 4,
                terminations=[False] * 4,
                truncations=[False] * 3 + [True],
            )
        ],
        observation_space=space,
    )
    data = load_dataset(tmp_path / "set")
    expected = np.concatenate(
        [observations[n] for n in ("achieved_goal", "desired_goal", "observation")], axis=1
    ).astype(np.float32)
    np.testing.assert_array_equal(data.observations, expected[:-1])
    np.testing.assert_array_equal(data.next_observations, expected[1:])
    # A rollout's observations come out the same way.
    one = {name: values[0] for name, values in observations.items()}
    np.testing.assert_array_equal(
        data.metadata.observation_layout.flatten_one(one), data.observations[0]
    )


def test_tuples_keep_their_order():
    layout = ObservationLayout.of(spaces.Tuple([box(1), box(2, 2)]))
    found = layout.flatten_one((np.array([1.0]), np.arange(4.0).reshape(2, 2)))
    assert found.tolist() == [1, 0, 1, 2, 3]
    assert found.dtype == np.float32


def test_a_scalar_is_a_vector_of_one():
    assert ObservationLayout.of(box()).flatten_one(np.float64(2.5)).tolist() == [2.5]


def pixels(*shape):
    return spaces.Box(0, 255, shape, np.uint8)


@pytest.mark.parametrize(
    ("space", "shape", "moved"),
    [
        (pixels(6, 5, 3), (3, 6, 5), True),
        (pixels(3, 6, 5), (3, 6, 5), False),
        (spaces.Box(0, 1, (10, 10, 4), np.int8), (4, 10, 10), True),
        (spaces.Box(0, 1, (84, 84, 3), np.float32), (3, 84, 84), True),
        (spaces.Box(0, 255, (3, 84, 84), np.float32), (3, 84, 84), False),
    ],
)
def test_pixels_come_channel_first(space, shape, moved):
    layout = ObservationLayout.of(space)
    assert layout.shape == shape
    image = space.sample()
    found = layout.flatten_one(image)
    expected = image.transpose(2, 0, 1) if moved else image
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == (np.uint8 if space.dtype == np.uint8 else np.float32)


@pytest.mark.parametrize(
    ("space", "shape", "expected"),
    [
        (pixels(84, 84), (1, 84, 84), lambda x: x[None]),
        (pixels(1, 3, 32, 32), (3, 32, 32), lambda x: x[0]),
        (pixels(4, 84, 84, 3), (12, 84, 84), lambda x: np.concatenate(x.transpose(0, 3, 1, 2))),
        (pixels(4, 84, 84, 1), (4, 84, 84), lambda x: x[..., 0]),
        (pixels(2, 1, 36, 40), (2, 36, 40), lambda x: x[:, 0]),
        (pixels(9, 9), (81,), np.ravel),  # a board
        (pixels(5), (5,), np.ravel),
        (box(20, 20), (400,), np.ravel),
        (box(2, 20, 20, 3), (2400,), np.ravel),
    ],
)
def test_grey_frames_and_stacks_are_images(space, shape, expected):
    layout = ObservationLayout.of(space)
    assert layout.shape == shape
    rng = np.random.default_rng(0)
    batch = rng.integers(0, 255, (3, *space.shape)).astype(space.dtype)
    found = layout.flatten(batch, 3)
    np.testing.assert_array_equal(found, [expected(x) for x in batch])
    assert found.dtype == (np.uint8 if len(shape) == 3 else np.float32)


@pytest.mark.parametrize(
    ("images", "shape", "said"),
    [
        ("auto", (8, 12, 10), "images, channels last, (12, 10, 8) as uint8 (8, 12, 10)"),
        ("channels_first", (12, 10, 8), "images, channels first, (12, 10, 8) as uint8 (12, 10, 8)"),
        ("channels_last", (8, 12, 10), "images, channels last, (12, 10, 8) as uint8 (8, 12, 10)"),
        ("vector", (960,), "a vector of 960"),
    ],
)
def test_the_user_may_say_otherwise(images, shape, said):
    layout = ObservationLayout.of(pixels(12, 10, 8), images)
    assert layout.shape == shape
    assert str(layout) == said


def test_categories_are_one_hot_and_bits_a_vector(tmp_path):
    dice = spaces.MultiDiscrete([2, 3])
    bits = spaces.MultiBinary(2)
    space = spaces.Dict({"room": spaces.Discrete(3, start=5), "bits": bits, "dice": dice})
    layout = ObservationLayout.of(space)
    assert layout.shape == (2 + 5 + 3,)
    found = layout.flatten_one({"room": 6, "bits": np.array([1, 0]), "dice": np.array([1, 2])})
    assert found.tolist() == [1, 0, 0, 1, 0, 0, 1, 0, 1, 0]  # bits, dice, room
    rng = np.random.default_rng(0)
    rooms = rng.integers(5, 8, 5)
    observations = {"room": rooms, "bits": rng.integers(0, 2, (5, 2)).astype("i1"),
                    "dice": rng.integers(0, 2, (5, 2))}  # fmt: skip

    def recorded(name, **changed):
        episode = EpisodeBuffer(
            observations=observations | changed, actions=rng.uniform(-1, 1, (4, 2)).astype("f4"),
            rewards=[0.0] * 4, terminations=[False] * 4, truncations=[False] * 3 + [True],
        )  # fmt: skip
        write(tmp_path / name, [episode], observation_space=space)
        return load_dataset(tmp_path / name)

    data = recorded("right")
    np.testing.assert_array_equal(data.observations[:, 7:].argmax(1) + 5, rooms[:4])
    rooms[2] = 9
    with pytest.raises(EpisodeError, match=r"step 2: observations/room .* 9, expected .* 5 to 7"):
        recorded("wrong")


def test_what_cannot_be_images_is_refused():
    with pytest.raises(DatasetError, match="three axes"):
        ObservationLayout.of(box(5), "channels_last")
    with pytest.raises(DatasetError, match=r"\(5,\), \(5,\)"):
        ObservationLayout.of(spaces.Tuple([box(5), box(5)]), "channels_first")
    with pytest.raises(UnknownNameError, match="vector"):
        ObservationLayout.of(pixels(3, 5, 6), "hwc")


def test_a_source_is_read_as_it_is_said():
    frames = np.random.default_rng(0).integers(0, 255, (6, 16, 36, 40)).astype("u1")
    source = MDPDataset(
        frames, np.full((6, 1), 0.5, "f4"), np.ones(6, "f4"), np.eye(6, dtype="f4")[5]
    )
    assert load_dataset(source).metadata.observation_shape == (16, 36, 40)
    data = load_dataset(source, images="channels_last")
    assert data.metadata.observation_shape == (40, 16, 36)
    np.testing.assert_array_equal(data.observations[0], frames[0].transpose(2, 0, 1))
    assert load_dataset(source, images="vector").metadata.observation_shape == (16 * 36 * 40,)
    with pytest.raises(DatasetError, match="loaded already"):
        load_dataset(data, images="vector")


def test_pixels_stay_uint8_in_the_dataset_without_loss(tmp_path):
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (5, 8, 8, 3)).astype(np.uint8)
    write(
        tmp_path / "set",
        [
            EpisodeBuffer(
                observations=frames,
                actions=np.array([0, 1, 1, 0]) + 5,
                rewards=[1.0] * 4,
                terminations=[False] * 3 + [True],
                truncations=[False] * 4,
            )
        ],
        observation_space=pixels(8, 8, 3),
        action_space=spaces.Discrete(2, start=5),
    )
    data = load_dataset(tmp_path / "set")
    np.testing.assert_array_equal(data.frames, frames.transpose(0, 3, 1, 2))
    assert data.frames.dtype == np.uint8
    assert data.buffer.sample_transition_batch(3).observations.dtype == np.float32
    assert data.actions[:, 0].tolist() == [0, 1, 1, 0]
    assert data.metadata.action_start == 5
    assert data.metadata.action_size == 2
