import numpy as np
import pytest
from gymnasium import spaces
from minari.data_collector.episode_buffer import EpisodeBuffer

from offline_prune.data import ObservationLayout, load_dataset
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
        (spaces.Box(0, 1, (10, 10, 4), np.int8), (10, 10, 4), False),
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
