import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from offline_prune.base.progress import ProgressBar
from offline_prune.errors import InputError
from offline_prune.run.fit_checks import check_epochs, epoch_length


@given(st.integers(1, 10**6))
def test_epochs_divide_the_steps(n_steps):
    length = epoch_length(n_steps)
    assert n_steps % length == 0
    assert length == n_steps or 250 <= length <= 1000


@pytest.mark.parametrize("length", [0, -1, 4])
def test_epochs_that_would_drop_steps_are_refused(length):
    with pytest.raises(InputError, match="whole number of epochs"):
        check_epochs({"n_steps_per_epoch": length}, 10)


def test_the_bar_shows_rate_and_time_left_on_a_terminal(monkeypatch):
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=120)
    monkeypatch.setattr("rich.progress.get_console", lambda: console)
    monkeypatch.setattr("offline_prune.base.progress._REDRAW_SECONDS", 0.0)
    with ProgressBar("Training bc", 100, "steps") as bar:
        for _ in range(50):
            bar.advance()
        bar._progress.refresh()
    text = output.getvalue()
    assert "Training bc" in text
    assert "50/100" in text
    assert "steps/s" in text


def test_silence(capfd):
    with ProgressBar("Training", 3, "steps", show=False) as bar:
        bar.advance(3)
    assert capfd.readouterr() == ("", "")
