"""What folders of a C policy share: the file, its header, and how they are run to be checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from offline_prune.acting.policy import ActingPolicy
from offline_prune.export.c.c99 import write_source
from offline_prune.export.c.forms import FORMS
from offline_prune.export.c.interface import interface
from offline_prune.export.c.library import open_c
from offline_prune.export.written import ExportFormat, Runner, Writing

__all__ = ["act_call", "project"]


def project(
    title: str, header: str, files: Callable[[ActingPolicy, Writing], Mapping[str, str]]
) -> ExportFormat:
    """A folder with ``src/<name>.c``, its header, and what a build system reads.

    Args:
        title: What it is called.
        header: The folder of the header.
        files: Path in the folder → text of the rest.
    """

    def write(policy: ActingPolicy, folder: Path, writing: Writing) -> None:
        name = writing.name
        texts = {
            f"{header}/{name}.h": _header(policy, writing),
            **files(policy, writing),
        }
        for path, text in texts.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="ascii")
        (folder / "src").mkdir(exist_ok=True)
        write_source(policy, folder / "src" / f"{name}.c", writing)

    def run(folder: Path, policy: ActingPolicy) -> tuple[Runner, ...]:
        (source,) = (folder / "src").glob("*.c")
        return open_c(source, policy, source.stem)

    return ExportFormat(title, write, run, dtypes=tuple(FORMS), is_folder=True)


def act_call(policy: ActingPolicy, name: str, observation: str) -> str:
    """Lines of C that act on an observation, for examples."""
    if policy.discrete:
        return f"const int action = {name}_act({observation});"
    return f"float action[{name.upper()}_ACTION_SIZE];\n{name}_act({observation}, action);"


def _header(policy: ActingPolicy, writing: Writing) -> str:
    """What the C file declares, for C and C++."""
    return (
        f"/* Written by offline_prune with {writing.name}.c, which needs no header. */\n"
        '#ifdef __cplusplus\nextern "C" {\n#endif\n\n'
        f"{interface(policy, writing.facts, writing.name)}\n"
        "#ifdef __cplusplus\n}\n#endif\n"
    )
