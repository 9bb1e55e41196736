"""Commands that need no networks import none of what is heavy, and fit 80 columns."""

import subprocess
import sys
from pathlib import Path

import pytest

from offline_prune.cli.commands import app

SAVED = Path(__file__).parents[1] / "fixtures" / "result-0.1" / "result"
HEAVY = ("torch", "d3rlpy", "minari", "gymnasium", "scipy", "numba", "pandas")


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], ["datasets"], ["datasets", "pendulum/mixture-v0"],
     ["algos"], ["algos", "iql"],
     ["show", str(SAVED)], ["show", str(SAVED), "--json"],
     *([command.name, "--help"] for command in app.registered_commands)],
    ids=" ".join,
)  # fmt: skip
def test_nothing_heavy_is_imported(arguments):
    code = (
        "import sys, offline_prune.cli\n"
        "try:\n    offline_prune.cli.main()\n"
        f"finally:\n    print(*[m for m in {HEAVY} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    assert done.stdout
    assert done.stderr == "\n"


@pytest.mark.parametrize("command", ["datasets", "algos"])
def test_a_list_has_a_line_an_entry(run, command):
    code, printed, _ = run(command)
    lines = printed.splitlines()
    assert code == 0
    assert len(lines) == len({line.split("  ")[0] for line in lines}) > 5
    assert max(map(len, lines)) <= 80


def test_one_entry_is_shown_whole(run):
    assert (
        "energy-based swing-up controller at four noise levels"
        in run("datasets", "pendulum/mixture-v0")[1]
    )
    assert "2006.04779" in run("algos", "cql")[1]
    code, _, error = run("datasets", "pendulum/mixtur-v0")
    assert code == 2
    assert "pendulum/mixture-v0" in error
