"""``python -m tests.distribution`` (``make dist-test``): what would be published, as users get it.

Wheel and sdist are built and checked, the wheel is installed into a bare environment with the
pinned versions, torch first, and tried outside the repository; the sdist has to build the same
wheel. Takes minutes: an environment of its own has torch in it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

__all__ = ["check_wheel", "main"]

ROOT = Path(__file__).parent.parent
CONSTRAINTS = ROOT / "constraints.txt"
SHIPPED = (
    "offline_prune/py.typed",
    "offline_prune/_shipped/algos/bc.toml",
    "offline_prune/_shipped/datasets/bundled",
)
SMOKE = """
import offline_prune
from offline_prune import prune_then_train

assert {root!r} not in offline_prune.__file__, offline_prune.__file__
result = prune_then_train("pendulum/mixture-v0", "bc", sparsity=0.95, n_steps=50, evaluate=1)
assert abs(result.mask["actor"].sparsity - 0.95) < 0.001
result.export("policy.c")
print(result.evaluation)
"""


def check_wheel(wheel: Path) -> None:
    """Check that a wheel has what the package reads besides its modules, and nothing else.

    Args:
        wheel: The file.

    Raises:
        SystemExit: If something is missing, or the top level holds what is not the package's.
    """
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    missing = [file for file in SHIPPED if not any(name.startswith(file) for name in names)]
    tops = {name.split("/")[0] for name in names}
    strange = sorted(top for top in tops if not top.startswith(("offline_prune",)))
    if missing or strange:
        sys.exit(f"{wheel.name}: missing {missing}, not of the package {strange}")


def main() -> None:
    """Build, check, install and try; the first step that fails ends it with its code."""
    python = sys.executable
    with tempfile.TemporaryDirectory() as folder:
        aside = Path(folder)
        _run(python, "-m", "build", "--outdir", aside / "dist", ROOT)
        (wheel,) = (aside / "dist").glob("*.whl")
        _run(python, "-m", "twine", "check", "--strict", *(aside / "dist").iterdir())
        check_wheel(wheel)
        _run(python, "-m", "venv", aside / "bare")
        bare = aside / "bare" / ("Scripts" if os.name == "nt" else "bin")
        pip = (bare / "python", "-m", "pip", "install", "--quiet", "--constraint", CONSTRAINTS)
        _run(*pip, "torch")
        _run(*pip, wheel)
        _try(bare, aside / "elsewhere")


def _try(bare: Path, folder: Path) -> None:
    folder.mkdir()
    for command in (["--help"], ["datasets"], ["algos"]):
        _run(bare / "offline-prune", *command, folder=folder, silent=True)
    _run(bare / "python", "-c", SMOKE.format(root=str(ROOT)), folder=folder)
    if not (folder / "policy.c").stat().st_size:
        sys.exit("policy.c is empty")
    print("The wheel works outside the repository.")


def _run(*command: str | Path, folder: Path = ROOT, silent: bool = False) -> None:
    print("$", *(Path(part).name if isinstance(part, Path) else part[:60] for part in command))
    outside = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    outside["MINARI_DATASETS_PATH"] = str(folder / "minari")
    quiet = subprocess.DEVNULL if silent else None
    done = subprocess.run(command, cwd=folder, env=outside, stdout=quiet, check=False)
    if done.returncode:
        sys.exit(done.returncode)


if __name__ == "__main__":
    main()
