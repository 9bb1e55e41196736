"""The demo's table, from real runs of a few steps."""

import io
import json

from rich.console import Console

from offline_prune import prune_then_train
from offline_prune.demo import ALGORITHMS, demo_table


def test_the_table_fits_eighty_columns_and_shows_every_number():
    results = [
        prune_then_train(
            "pendulum/mixture-v0",
            algo,
            sparsity,
            n_steps=2,
            evaluate=1 if algo == "bc" else 0,
            progress=False,
        ).to_dict()
        for algo in ALGORITHMS
        for sparsity in (0.0, 0.95)
    ]
    assert json.loads(json.dumps(results)) == results
    output = io.StringIO()
    Console(file=output, width=80).print(demo_table(results))
    text = output.getvalue()
    assert "…" not in text
    for pruned in results[1::2]:
        assert f"{pruned['weights_kept']:,}" in text
        assert f"{pruned['effective_sparsity']:.1%}" in text
    assert f"{results[1]['mean_return']:.0f} ±" in text
    assert f"({results[1]['normalized_score']:.2f})" in text
    assert "not evaluated" in text
