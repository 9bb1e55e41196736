"""What the agents of a sweep return, as a Markdown table of one row a method.

    offline-prune sweep benchmarks/controls.toml --out runs/controls
    python benchmarks/returns.py runs/controls

Returns are means over the final window, ± standard deviation over seeds (number of seeds in
brackets); weights are those on a path from an input to an output, of all networks.
"""

from __future__ import annotations

import sys

import numpy as np

from offline_prune.reporting.runs import read_runs
from offline_prune.reporting.tasks import find_tasks


def main() -> None:
    """Print the table."""
    print("| task | method | sparsity | return | effective sparsity | weights |")
    print("|---|---|---|---|---|---|")
    for task in find_tasks(read_runs(sys.argv[1])):
        for group in task.groups:
            returns = [run.final_return for run in group.runs if run.final_return is not None]
            if not returns:
                continue
            connected, weights = (
                np.mean([getattr(run, name) for run in group.runs])
                for name in ("connected", "weights")
            )
            cells = (
                task.name,
                group.label,
                group.sparsity_text,
                f"{np.mean(returns):,.0f} ± {np.std(returns):,.0f} ({len(returns)})",
                f"{1 - connected / weights:.1%}",
                f"{connected:,.0f}",
            )
            print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
