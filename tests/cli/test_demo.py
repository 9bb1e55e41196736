"""The demo's table, from real runs of a few steps."""

import io
import json

import pytest
from rich.console import Console

from offline_prune import prune_then_train
from offline_prune.cli.demo import ALGORITHMS, demo_table


@pytest.mark.slow
def test_the_table_fits_eighty_columns_and_shows_every_number():
    results = [
        prune_then_train(
            "pendulum/mixture-v0",
            algo,
            sparsity,
            method="random",
            n_steps=2,
            seed=seed,
            evaluate=1 if algo == "bc" else 0,
            progress=False,
        ).to_dict()
        for algo in ALGORITHMS
        for sparsity in (0.0, 0.95)
        for seed in (0, 1)
    ]
    assert json.loads(json.dumps(results)) == results
    output = io.StringIO()
    Console(file=output, width=80).print(demo_table(results))
    text = output.getvalue()
    assert "…" not in text
    for pruned in (results[4 * i + 2 : 4 * i + 4] for i in range(len(ALGORITHMS))):
        assert f"{pruned[0]['weights_kept']:,}" in text
        mean = sum(run["effective_sparsity"] for run in pruned) / 2
        assert f"{mean:.1%}" in text
    first, second = (run["mean_return"] for run in results[2:4])
    assert f"{(first + second) / 2:.0f} ± {abs(first - second) / 2:.0f} (" in text
    assert "2 seeds of 1 episodes" in " ".join(text.split())
    assert "not evaluated" in text
