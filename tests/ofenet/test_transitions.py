import numpy as np
import pytest
from d3rlpy.dataset import (
    Episode,
    FIFOBuffer,
    InfiniteBuffer,
    MultiStepTransitionPicker,
    ReplayBuffer,
    create_infinite_replay_buffer,
)

from offline_prune import load_dataset
from offline_prune.data.buffer import FlatReplayBuffer
from offline_prune.errors import InputError
from offline_prune.ofenet.transitions import transitions_of

RNG = np.random.default_rng


def counting(semantics):
    """Episodes of 4 (terminated) and 3 steps (cut off): s' = s + 1, a = 10 s."""
    frames = np.arange(1, 10, dtype=np.float32).reshape(-1, 1)
    steps = np.array([1, 2, 3, 4, 6, 7, 8], dtype=np.float32)
    return FlatReplayBuffer(
        frames,
        10 * steps.reshape(-1, 1),
        steps,
        np.array([0, 0, 0, 1, 0, 0, 0], dtype=np.float32),
        np.array([4, 7]),
        discrete=False,
        action_size=1,
        semantics=semantics,
    )


@pytest.mark.parametrize("semantics", ["exact", "d3rlpy"])
def test_last_transitions_of_episodes_lead_to_what_the_environment_returned(semantics):
    drawn = transitions_of(counting(semantics)).draw(RNG(0), 500)
    assert set(drawn.observations.flatten()) == {1, 2, 3, 4, 6, 7, 8}
    np.testing.assert_array_equal(drawn.next_observations, drawn.observations + 1)
    np.testing.assert_array_equal(drawn.actions, drawn.observations * 10)


@pytest.mark.parametrize("placeholder", ["zeros", "the observation before"])
def test_a_placeholder_after_a_termination_is_not_a_next_observation(placeholder):
    buffer = counting("exact")
    buffer.frames[4] = 0.0 if placeholder == "zeros" else buffer.frames[3]
    drawn = transitions_of(buffer).draw(RNG(0), 500)
    assert set(drawn.observations.flatten()) == {1, 2, 3, 6, 7, 8}


def test_a_dataset_made_of_d3rlpys_episodes():
    episodes = [
        Episode(
            np.arange(start, start + 5, dtype=np.float32).reshape(-1, 1),
            np.arange(start, start + 5, dtype=np.float32).reshape(-1, 1) / 100,
            np.zeros((5, 1), dtype=np.float32),
            terminated,
        )
        for start, terminated in ((1, True), (11, False))
    ]
    source = create_infinite_replay_buffer(episodes)
    for data in (load_dataset(source), source):
        drawn = transitions_of(data).draw(RNG(0), 8 if data is source else 200)
        np.testing.assert_array_equal(drawn.next_observations, drawn.observations + 1)
        np.testing.assert_allclose(drawn.actions, drawn.observations / 100)


def empty_buffer(buffer, **options):
    episode = Episode(
        np.zeros((2, 1), np.float32), np.zeros((2, 1), np.float32), np.zeros((2, 1)), False
    )
    return ReplayBuffer(
        buffer,
        observation_signature=episode.observation_signature,
        action_signature=episode.action_signature,
        reward_signature=episode.reward_signature,
        action_space=episodes_action_space(),
        action_size=1,
        **options,
    )


def episodes_action_space():
    from d3rlpy.constants import ActionSpace

    return ActionSpace.CONTINUOUS


def test_a_growing_buffer():
    buffer = empty_buffer(FIFOBuffer(40))
    transitions = transitions_of(buffer)
    value = 0
    for step in range(1, 100):
        value += 1
        buffer.append(np.array([value], np.float32), np.array([-value], np.float32), 0.0)
        if step % 7 == 0:
            buffer.clip_episode(terminated=step % 2 == 0)
            value += 100  # the next episode begins elsewhere
        drawn = transitions.draw(RNG(step), 10)
        if buffer.transition_count <= 10:
            assert drawn is None
        else:
            assert 2 <= len(drawn.observations) <= 10
            np.testing.assert_array_equal(drawn.next_observations, drawn.observations + 1)
            np.testing.assert_array_equal(drawn.actions, -drawn.observations)


def test_too_few_that_do_not_terminate():
    buffer = empty_buffer(InfiniteBuffer())
    for _ in range(12):
        buffer.append(np.ones(1, np.float32), np.ones(1, np.float32), 0.0)
        buffer.append(np.ones(1, np.float32), np.ones(1, np.float32), 0.0)
        buffer.clip_episode(terminated=True)
    lasts = [i for i in range(24) if buffer.buffer[i][1] == 1]
    buffer._buffer._transitions = [buffer.buffer[i] for i in lasts]  # terminal ones only
    assert transitions_of(buffer).draw(RNG(0), 5) is None


def test_longer_steps_are_refused():
    buffer = empty_buffer(
        InfiniteBuffer(), transition_picker=MultiStepTransitionPicker(n_steps=3, gamma=0.9)
    )
    for _ in range(12):
        buffer.append(np.ones(1, np.float32), np.ones(1, np.float32), 0.0)
    with pytest.raises(InputError, match="BasicTransitionPicker"):
        transitions_of(buffer).draw(RNG(0), 5)


def test_what_is_no_dataset():
    with pytest.raises(InputError, match="not ndarray"):
        transitions_of(np.zeros(3))


def test_a_dataset_without_a_known_next_observation():
    zeros = np.zeros((2, 1), np.float32)
    buffer = FlatReplayBuffer(
        zeros, zeros[:1], zeros[:1, 0], np.ones(1, np.float32), np.array([1]),
        discrete=False, action_size=1,
    )  # fmt: skip
    with pytest.raises(InputError, match="no transition"):
        transitions_of(buffer)
