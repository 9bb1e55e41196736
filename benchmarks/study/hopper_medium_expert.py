"""Make hopper/medium-expert-v0 of the study: a medium dataset, then an expert one.

python benchmarks/study/hopper_medium_expert.py MEDIUM EXPERT

Two Minari ids or folders. Minari's own combination loses the reference scores; here those
of the expert dataset are kept. The result is written to Minari's local root.
"""

from __future__ import annotations

import sys
from pathlib import Path

import minari
from minari import MinariDataset
from minari.data_collector.episode_buffer import EpisodeBuffer

from offline_prune.data.made.store import check_new_id, write_dataset

DATASET = "study/hopper-medium-expert-v0"


def main() -> None:
    """Read both, write one."""
    parts = [_open(name) for name in sys.argv[1:]]
    check_new_id(DATASET)
    last = parts[-1]
    write_dataset(
        DATASET,
        [
            EpisodeBuffer(
                observations=episode.observations,
                actions=episode.actions,
                rewards=episode.rewards,
                terminations=episode.terminations,
                truncations=episode.truncations,
            )
            for part in parts
            for episode in part.iterate_episodes()
        ],
        observation_space=last.observation_space,
        action_space=last.action_space,
        env_spec=last.env_spec,
        metadata={
            "description": " and ".join(part.id for part in parts),
            "ref_min_score": last.storage.metadata["ref_min_score"],
            "ref_max_score": last.storage.metadata["ref_max_score"],
        },
    )


def _open(name: str) -> MinariDataset:
    return MinariDataset(Path(name) / "data") if Path(name).exists() else minari.load_dataset(name)


if __name__ == "__main__":
    main()
