"""All cells as one compact table: a line a cell, what failed too, without what can be computed."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

from cells import SWEEPS, arm_of, curve_of, records_of

COLUMNS = ("sweep", "cell", "dataset", "algo", "method", "asked", "sparsity", "seed", "steps",
           "status", "training_seconds", "return_averaged", "return_last", "score_averaged",
           "score_last", "weights", "weights_kept", "weights_connected", "effective_sparsity",
           "curve")  # fmt: skip
"""Returns are means over evaluation episodes; a curve is ``step:return`` of the last weights."""


def csv_text() -> str:
    """The table, the same bytes whenever the archives are the same."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for sweep in SWEEPS:
        writer.writerows([sweep, *_cell(record)] for record in records_of(sweep))
    return stream.getvalue()


def _cell(record: Mapping[str, Any]) -> list[str]:
    arm, result = arm_of(record), record["result"]
    found = [record["id"], *arm[:3], arm.asked, f"{arm.sparsity:g}", str(record["cell"]["seed"]),
             str(arm.steps), record["status"]]  # fmt: skip
    if result is None:
        return found + [""] * (len(COLUMNS) - 1 - len(found))
    curve = " ".join(f"{s}:{value:.0f}" for s, value in curve_of(record, "mean_return").items())
    return [
        *found,
        f"{record['timing']['training_seconds']:.1f}",
        *(f"{result[n]:.1f}" for n in ("mean_return", "last_mean_return")),
        *(f"{result[n]:.4f}" for n in ("normalized_score", "last_normalized_score")),
        *(str(result[n]) for n in ("weights", "weights_kept", "weights_connected")),
        f"{result['effective_sparsity']:.4f}",
        curve,
    ]
