"""``offline-prune export``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import click
import typer

from offline_prune.cli.one_thread import one_thread

if TYPE_CHECKING:
    from offline_prune.export import ExportedPolicy

__all__ = ["command"]


def command(
    source: Annotated[
        Path, typer.Argument(help="A folder that 'run --out' wrote, or a Stable-Baselines3 zip.")
    ],
    file: Annotated[
        Path,
        typer.Argument(help="Ends in .onnx, .pt (TorchScript) or .c (C99); with --as a folder."),
    ],
    dtype: Annotated[
        str, typer.Option(help="Of the weights: float32; in ONNX and C also float16, int8.")
    ] = "float32",
    as_: Annotated[
        str | None,
        typer.Option("--as", help="A folder of C for a build system: arduino or cmake."),
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Observations to check on; by default the run's own.")
    ] = None,
    observations: Annotated[
        Path | None,
        typer.Option(help="The same for a zip: .npy, or .npz of a Dict's parts; drawn by default."),
    ] = None,
    normalization: Annotated[
        Path | None, typer.Option(help="Of a zip: what VecNormalize.save wrote beside it.")
    ] = None,
    trust: Annotated[
        bool,
        typer.Option("--trust", help="Open a zip, which holds pickles and runs what is in them."),
    ] = False,
) -> None:
    """Write the acting policy as a file that runs on its own, and check it."""
    from offline_prune.errors import InputError

    one_thread()
    if source.suffix == ".zip" or source.is_file():
        if dataset is not None:
            raise InputError("--dataset is for a run's folder. Of a zip, give --observations.")
        click.echo(str(_of_zip(source, file, dtype, as_, observations, normalization, trust)))
        return
    if observations is not None or normalization is not None or trust:
        raise InputError(
            "--observations, --normalization and --trust are for zips of Stable-Baselines3;"
            " a run's folder is opened without running anything of it."
        )
    click.echo(str(_of_run(source, file, dtype, as_, dataset)))


def _of_run(
    directory: Path, file: Path, dtype: str, as_: str | None, dataset: str | None
) -> ExportedPolicy:
    from offline_prune.data import load_dataset
    from offline_prune.run.result import PruneResult

    result = PruneResult.load(directory)
    observations = None
    if dataset is not None:
        stack = result.settings.frame_stack
        observations = load_dataset(dataset).with_frame_stack(stack).observations
    return result.export(file, observations, dtype=dtype, as_=as_)


def _of_zip(
    path: Path,
    file: Path,
    dtype: str,
    as_: str | None,
    observations: Path | None,
    normalization: Path | None,
    trust: bool,
) -> ExportedPolicy:
    from offline_prune.errors import UnsupportedExportError
    from offline_prune.export import export_policy

    try:
        from offline_prune.hosts.sb3.files import load_policy
    except ModuleNotFoundError as error:
        library = str(error.name).partition(".")[0]
        raise UnsupportedExportError(
            f"A zip is read by the library that wrote it, and {library} is missing: pip"
            " install 'offline-prune[online]'."
        ) from error
    policy = load_policy(path, trust=trust)
    seen = None if observations is None else _read(observations)
    return export_policy(
        policy, file, seen, dtype=dtype, as_=as_, normalization=normalization, trust=trust
    )


def _read(path: Path) -> Any:
    """An array, or part → array."""
    import numpy as np

    from offline_prune.errors import InputError

    try:
        found = np.load(path, allow_pickle=False)
        return dict(found) if hasattr(found, "files") else found
    except (OSError, ValueError) as error:
        raise InputError(
            f"--observations: {path} cannot be read: {error}. Expected .npy, or .npz of the parts"
            " of a Dict."
        ) from error
