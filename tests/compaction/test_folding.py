import torch

from offline_prune.agents import build_agent
from offline_prune.compaction import fold_constant_units
from offline_prune.masks.build import mask_from_kept
from tests.worlds import dataset


def test_folding_is_exact_through_cascades():
    """A unit whose only inputs are constant units becomes constant itself."""
    subject = build_agent(
        dataset("vector-continuous"), "bc", algo_params={"hidden_units": [4, 3]}
    ).agent
    kept = {n: torch.ones(w.shape, dtype=torch.bool) for n, w in subject.weights.items()}
    first, second, head = kept
    kept[first][:2] = False  # units 0 and 1 lose all inputs
    kept[second][0, 2:] = False  # unit 0 of the next layer reads only those two
    with torch.no_grad():
        for name, weight in subject.weights.items():
            weight[~kept[name]] = 0.0
    policy = subject.algo.impl.modules.imitator
    x = torch.randn(10, 5)
    before = policy(x).mu
    fold_constant_units(subject.chains, kept)
    torch.testing.assert_close(policy(x).mu, before, atol=1e-6, rtol=1e-6)
    assert not subject.weights[second][:, :2].any()
    assert not subject.weights[head][:, 0].any()
    assert mask_from_kept(subject, kept)["actor"].effective_sparsity > 0
