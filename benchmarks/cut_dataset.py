"""Cut the bundled halfcheetah/medium-small-v0 from the dataset it is a part of.

python benchmarks/cut_dataset.py SOURCE TARGET [--id halfcheetah/medium-small-v0] [--episodes 39]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import gymnasium
import h5py
import numpy as np
from minari.data_collector.episode_buffer import EpisodeBuffer

from offline_prune.data.made.store import write_dataset
from offline_prune.data.sources.minari_source import open_minari


def cut_dataset(source: Path, target: Path, dataset_id: str, episodes: int) -> None:
    """Copy the first episodes of a Minari dataset, in float32 and compressed.

    Args:
        source: Folder of the dataset to cut.
        target: Folder to write; it must not exist.
        dataset_id: Id of the cut.
        episodes: How many, from the first.
    """
    whole = open_minari(source)
    space = whole.observation_space
    buffers = [
        EpisodeBuffer(
            observations=episode.observations.astype(np.float32),
            actions=episode.actions.astype(np.float32),
            rewards=episode.rewards.astype(np.float32),
            terminations=episode.terminations,
            truncations=episode.truncations,
        )
        for episode in whole.iterate_episodes(range(episodes))
    ]
    kept = ["algorithm_name", "author", "code_permalink", "ref_max_score"]
    kept += ["ref_min_score", "requirements"]
    metadata = {name: whole.storage.metadata[name] for name in kept}
    write_dataset(
        dataset_id,
        buffers,
        observation_space=gymnasium.spaces.Box(
            space.low.astype(np.float32),
            space.high.astype(np.float32),
            dtype=np.float32,
        ),
        action_space=whole.action_space,
        env_spec=whole.env_spec,
        metadata={
            **metadata,
            "description": f"The first {episodes} episodes of {whole.id}, in float32.",
        },
        path=target,
    )
    # Minari stores without compression; h5py reads a compressed file just as well.
    plain, packed = target / "data/main_data.hdf5", target / "data/packed.hdf5"
    with h5py.File(plain) as a, h5py.File(packed, "w") as b:
        for name, group in a.items():
            b.create_group(name).attrs.update(group.attrs)
            for field, values in group.items():
                b[name].create_dataset(field, data=values[()], compression=9, shuffle=True)
    packed.replace(plain)


def main() -> None:
    """Cut as asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--id", default="halfcheetah/medium-small-v0")
    parser.add_argument("--episodes", type=int, default=39)
    asked = parser.parse_args()
    cut_dataset(asked.source, asked.target, asked.id, asked.episodes)


if __name__ == "__main__":
    main()
