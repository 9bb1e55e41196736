import pytest

from offline_prune.run.candidates import DataCandidate
from offline_prune.run.search import SparsitySearch


def test_a_plot_says_that_values_diverged():
    pytest.importorskip("matplotlib").use("Agg")
    tried = DataCandidate(0.8, False, 0.002, 0.0025, None, None, None)
    search = SparsitySearch(0.9, 0.95, "", (tried,), 0.0, None, (0, 1), 0, 9, "none is named")
    axes = search.plot()
    assert "values\ndiverged" in [text.get_text() for text in axes.texts]
    assert axes.get_ylim() == pytest.approx((-0.2, 0.0))  # around the least allowed, −10 %
