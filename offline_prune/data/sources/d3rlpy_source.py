"""d3rlpy's replay buffers as a source of episodes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
from d3rlpy.constants import ActionSpace
from d3rlpy.dataset import (
    BasicTransitionPicker,
    EpisodeBase,
    FrameStackTransitionPicker,
    MultiStepTransitionPicker,
    ReplayBuffer,
    ReplayBufferBase,
    SparseRewardTransitionPicker,
)

from offline_prune.base.arguments import whole_number
from offline_prune.data.buffer import FlatReplayBuffer
from offline_prune.data.dataset import Dataset
from offline_prune.data.episodes import Origin, RawEpisode, collect_episodes
from offline_prune.data.observations import Images, ObservationLayout, array_space
from offline_prune.data.picking import Picking
from offline_prune.errors import DatasetError, EpisodeError

__all__ = ["from_d3rlpy"]


def from_d3rlpy(source: ReplayBufferBase, images: Images = "auto") -> Dataset:
    """Load a d3rlpy ``ReplayBuffer`` or ``MDPDataset``.

    d3rlpy's episodes hold T observations for T steps. The observation after the last
    step is unknown: a truncated episode loses its last transition, as in d3rlpy; a
    terminated one gets zeros there, as in d3rlpy, and is never bootstrapped from.

    Observations of three axes come channels first, as d3rlpy has them. Frames that a buffer
    stacks (``FrameStackTransitionPicker``) are kept once and stacked when a mini-batch is
    drawn; a buffer of transitions of several steps (``MultiStepTransitionPicker``) yields
    them, with ``intervals``. Slicers of trajectories, and what a
    ``SparseRewardTransitionPicker`` says of returns to go, do not bear on algorithms that
    train on transitions. What a writer's preprocessor did is in the episodes already.

    Args:
        source: The buffer. Its action space and size are taken from its
            ``dataset_info``; it names no environment.
        images: Where the channels of images are; first unless it says otherwise.

    Returns:
        The dataset.

    Raises:
        DatasetError: If the observations are tuples, if the buffer draws its transitions
            in a way that cannot be carried out here (mixtures, own pickers or sampling), or
            as :func:`collect_episodes`.
    """
    picking = _picking(source)
    episodes = source.episodes
    if not len(episodes):
        raise DatasetError(
            "The buffer holds no episode. Expected at least one of one transition: collect"
            " data first, and clip the last episode (buffer.clip_episode)."
        )
    info = source.dataset_info
    signature = info.observation_signature
    if len(signature.shape) != 1:
        raise DatasetError(
            "The buffer holds tuple observations, which this package does not prune"
            " for. Concatenate them into one array."
        )
    shape = tuple(signature.shape[0])
    observation_space = array_space(shape, np.dtype(signature.dtype[0]))
    action_space: gymnasium.Space[Any]
    if info.action_space == ActionSpace.DISCRETE:
        action_space = gymnasium.spaces.Discrete(info.action_size)
    else:
        action_space = gymnasium.spaces.Box(-1.0, 1.0, (info.action_size,), np.float32)
    origin = Origin(
        dataset_id=None,
        env_spec=None,
        observation_space=observation_space,
        action_space=action_space,
        episodes=len(episodes),
        steps=sum(max(0, episode.transition_count) for episode in episodes),
        # d3rlpy's images are channels first, whichever axis is the shortest.
        layout=ObservationLayout.of(
            observation_space,
            "channels_first" if images == "auto" and len(shape) == 3 else images,
        ),
        picking=picking,
    )
    return collect_episodes(_episodes(episodes), origin)


def _episodes(episodes: Sequence[EpisodeBase]) -> Iterator[RawEpisode]:
    for i, episode in enumerate(episodes):
        n = episode.transition_count
        try:
            observations = np.asarray(episode.observations)
        except ValueError as error:
            raise EpisodeError(
                f"episode {i}: observations have different shapes ({error}). Expected one"
                " array of one row a step."
            ) from error
        shapes = {
            "observations": observations.shape,
            "actions": np.shape(episode.actions),
            "rewards": np.shape(episode.rewards),
        }
        lengths = {name: shape[0] if shape else None for name, shape in shapes.items()}
        if len(set(lengths.values())) > 1:
            raise EpisodeError(
                f"episode {i}: observations, actions and rewards must have one row a step,"
                f" found {lengths}. Write the episode anew."
            )
        if n <= 0:
            continue  # a truncated episode of one step holds no transition
        if episode.terminated:
            observations = np.concatenate([observations, np.zeros_like(observations[:1])])
        flags = np.zeros(n, dtype=bool)
        flags[-1] = episode.terminated
        yield RawEpisode(
            f"episode {i}",
            observations,
            episode.actions[:n],
            episode.rewards[:n],
            flags,
            ~flags & (np.arange(n) == n - 1),
            None if episode.terminated else episode.actions[n],
        )


def _picking(source: ReplayBufferBase) -> Picking:
    """How transitions are made of steps; refuse other ways of making mini-batches."""
    drawn = type(source).sample_transition_batch
    plain = (ReplayBuffer.sample_transition_batch, FlatReplayBuffer.sample_transition_batch)
    if drawn not in plain:
        raise DatasetError(
            f"A {type(source).__name__} draws mini-batches in its own way, which is not"
            " carried out here. Expected a ReplayBuffer that draws its transitions alike:"
            " make one of the episodes, each as often as it is to weigh"
            " (ReplayBuffer(InfiniteBuffer(), episodes=[…])), or train with"
            " prune(…, …)[0].algo.fit(buffer)."
        )
    if isinstance(source, FlatReplayBuffer):  # its episodes have lost their final observations
        return replace(source.picking, final_known=False)
    picker = source.transition_picker
    if type(picker) is FrameStackTransitionPicker:
        return Picking(frames=int(picker._n_frames), final_known=False)
    if type(picker) is MultiStepTransitionPicker:
        steps = whole_number(
            "n_steps of the buffer's MultiStepTransitionPicker", picker._n_steps, 1
        )
        return Picking(steps=steps, gamma=float(picker._gamma), final_known=False)
    if type(picker) not in (BasicTransitionPicker, SparseRewardTransitionPicker):
        raise DatasetError(
            f"The buffer makes its transitions with a {type(picker).__name__}, which is not"
            " carried out here. Expected BasicTransitionPicker, FrameStackTransitionPicker,"
            " MultiStepTransitionPicker or SparseRewardTransitionPicker: store what the picker"
            " makes in the episodes, or score on a buffer without it and train with"
            " prune(…, …)[0].algo.fit(buffer)."
        )
    return Picking(final_known=False)
