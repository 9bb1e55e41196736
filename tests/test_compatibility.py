"""The page of what goes with what says what is."""

import pytest

from tests.compatibility import ALGORITHMS, NETWORKS, PAGE, network_row, row

LINES = PAGE.read_text().splitlines()


@pytest.mark.slow
@pytest.mark.parametrize("case", ALGORITHMS)
def test_an_algorithm_goes_with_what_the_page_says(case):
    line, reasons = row(case)
    assert line in LINES
    entry = "- " + line.split(" | ")[0].removeprefix("| ")
    assert (entry in LINES) == bool(reasons)
    if reasons:
        start = LINES.index(entry)
        assert LINES[start : start + len(reasons)] == list(reasons)
        assert not LINES[start + len(reasons)].startswith(" ")


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_trains_as_the_page_says(name):
    assert network_row(name) in LINES
