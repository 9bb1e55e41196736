"""Arrows between the rooms of the package run one way: down these floors, and never back up."""

import ast
from pathlib import Path

import offline_prune

PACKAGE = Path(offline_prune.__file__).parent

# As in docs/design.md. A room imports rooms before it and itself.
FLOORS = (
    "errors", "base", "request", "recipes", "environments", "data", "encoders", "ofenet", "agents",
    "masks", "saliency", "compaction", "engines", "acting", "evaluation", "export", "pops",
    "methods", "diagnostics", "run", "hosts", "study", "reporting", "cli",
)  # fmt: skip


class Running(ast.NodeTransformer):
    """Leaves out what only type checkers read."""

    def visit_If(self, node):
        only_types = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        return None if only_types else self.generic_visit(node)


def imported(path):
    """Rooms that a file imports when it runs, wherever in it."""
    for node in ast.walk(Running().visit(ast.parse(path.read_text()))):
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            package, _, rest = name.partition(".")
            if package == "offline_prune" and rest:
                yield rest.split(".")[0]


def test_every_room_has_a_floor():
    rooms = {path.stem for path in PACKAGE.iterdir() if path.suffix in ("", ".py")}
    assert rooms - {"__init__", "__pycache__", "_shipped", "py"} == set(FLOORS)


def test_no_arrow_runs_back_up():
    up = []
    for path in PACKAGE.rglob("*.py"):
        own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if own != "__init__":  # the root's names come from everywhere
            allowed = FLOORS[: FLOORS.index(own) + 1]
            up += [f"{path} -> {room}" for room in imported(path) if room not in allowed]
    assert up == []
