"""``offline-prune doctor``."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer
from rich.table import Table

from offline_prune.cli.answer import answer

__all__ = ["command"]


def command(
    dataset: Annotated[
        str | None, typer.Argument(help="Also say in which form each network of an agent trains.")
    ] = None,
    algo: Annotated[str, typer.Argument(help="The agent's algorithm.")] = "iql",
    sparsity: Annotated[float, typer.Option(help="Weights to remove.")] = 0.95,
    engine: Annotated[str, typer.Option(help="The engine that holds the mask.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print plain text and numbers.")] = False,
) -> None:
    """Say what works on this machine, and why training is not faster."""
    from offline_prune.diagnostics.machine import examine_machine
    from offline_prune.run.pipeline import prune

    table = Table(title="This machine")
    for heading in ("", "found", "advice"):
        table.add_column(heading)
    findings = examine_machine()
    for finding in findings:
        table.add_row(finding.subject, finding.found, finding.advice)
    said: dict[str, object] = {"machine": [dataclasses.asdict(f) for f in findings]}
    if dataset is not None:
        agent, _ = prune(dataset, algo, sparsity, engine=engine)
        forms = agent.engine.forms
        table.add_section()
        for role, choice in forms.items():
            table.add_row(f"{agent.name}: {role}", f"trains {choice.form}", choice.reason)
        said["networks"] = {role: dataclasses.asdict(choice) for role, choice in forms.items()}
    answer(said, table, as_json)
