"""Jobs in forks of one warm process: each starts in milliseconds and may kill itself.

A moment is a number of events, so that a seed names it: every function call (``"calls"``),
every function call after something begins to be written aside (``"writes"``), or whatever
touches a path of a folder and the next few steps after it (``"files"``).
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import traceback
import warnings
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.figures import FIGURES

KINDS = ("calls", "writes", "files")
AFTER = 8  # a file that was just opened for writing is empty, then half-written
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    ``code``: exit status, negative for a signal; ``value``: what it returned; ``error``:
    name and message of what it raised; ``events``: how many there were.
    """

    code: int
    value: Any = None
    error: tuple[str, str] | None = None
    events: int = 0


class Forks:
    """The warm process."""

    def __enter__(self) -> Forks:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.hardening.forks"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def run(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        kind: str = "files",
        die_at: int | None = None,
        under: Path | None = None,
        by: signal.Signals = signal.SIGKILL,
    ) -> Outcome:
        """Call a function of a module in a fork; signal it at an event, if one is given."""
        outcome = self._ask((function, arguments, kind, die_at, under, by, True))
        if outcome.code < 0:
            FIGURES[f"processes ended by {signal.Signals(-outcome.code).name}"] += 1
        return outcome

    def warm(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Call a function in the warm process itself, for all that it imports."""
        outcome = self._ask((function, arguments, "files", None, None, None, False))
        assert outcome.error is None, outcome.error

    def _ask(self, request: tuple[Any, ...]) -> Outcome:
        pickle.dump(request, self._process.stdin)
        self._process.stdin.flush()
        return pickle.load(self._process.stdout)


def _serve() -> None:
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a job prints
    while True:
        try:
            *request, forks = pickle.load(requests)
        except EOFError:
            return
        pickle.dump(_in_fork(request) if forks else _perform(*request), replies)
        replies.flush()


def _in_fork(request: list[Any]) -> Outcome:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        with os.fdopen(writer, "wb") as stream:
            pickle.dump(_perform(*request), stream)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        content = stream.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return pickle.loads(content) if code == 0 else Outcome(code)


def _perform(
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    kind: str,
    die_at: int | None,
    under: Path | None,
    by: signal.Signals | None,
) -> Outcome:
    events = 0
    near = 0  # steps still to count after a file was touched
    counts = under is not None

    def happened() -> None:
        nonlocal events
        events += 1
        if events == die_at:
            os.kill(os.getpid(), by)

    def called(frame: Any, event: str, argument: Any) -> None:
        # Python itself drops what is raised in a callback of a weak reference.
        if event in ("call", "c_call") and frame.f_code.co_filename != weakref.__file__:
            happened()

    def stepped(frame: Any, event: str, argument: Any) -> None:
        nonlocal near
        near -= 1
        if near <= 0:
            sys.setprofile(None)
        happened()

    def audited(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal near
        if not counts or not event.startswith(("open", "os.", "shutil.")):
            return
        paths = [str(a) for a in arguments if isinstance(a, str | Path)]
        if kind == "files" and any(path.startswith(str(under)) for path in paths):
            near = AFTER
            sys.setprofile(stepped)
            happened()
        if kind == "writes" and any(path.endswith(".partial") for path in paths):
            sys.setprofile(called)

    if under is not None:
        sys.addaudithook(audited)
        if kind == "calls":
            sys.setprofile(called)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value, error = function(*arguments), None
    except BaseException as raised:
        sys.setprofile(None)
        value, error = None, (type(raised).__name__, str(raised))
        if os.environ.get("FORKS_TRACEBACK"):
            traceback.print_exc()
    sys.setprofile(None)
    counts = False
    return Outcome(0, value, error, events)


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torch

        import offline_prune  # noqa: F401
    torch.set_num_threads(1)
    # Requests name classes of this module, not of __main__.
    from tests.hardening import forks

    forks._serve()
