"""The figures of the study, of whatever cells the archives hold.

    python benchmarks/retention/figure.py

writes, for every dataset, ``kept-….png``: the share of the dense score against sparsity, ours and
its controls; and ``time-….png``: returns against seconds of training.
"""

from __future__ import annotations

from cells import FOLDER, REPORTED, file_name, milliseconds, of_dataset, recorded
from figure_kept import kept_figure
from figure_time import time_figure
from matplotlib.figure import Figure

from offline_prune.base.atomic import written_aside


def main() -> None:
    """Draw and write all of them."""
    arms, longer = recorded(*REPORTED), recorded("longer")
    for dataset in sorted({arm.dataset for arm in arms}):
        ours = of_dataset(arms, dataset)
        _write(kept_figure(dataset, ours, of_dataset(longer, dataset)), file_name("kept", dataset))
        _write(time_figure(dataset, ours, milliseconds(dataset)), file_name("time", dataset))


def _write(figure: Figure, name: str) -> None:
    with written_aside(FOLDER / name) as aside:
        figure.savefig(aside, dpi=130, format="png", metadata={"Software": None})


if __name__ == "__main__":
    main()
