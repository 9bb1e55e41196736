"""``python -m tests.distribution`` (``make dist-test``): what would be published, as users get it.

Wheel and sdist are built and checked, the wheel is installed into a bare environment with the
pinned versions, torch first, and tried outside the repository; then its extra ``all`` is. Other
interpreters are arguments: ``python -m tests.distribution python3.11 python3.13``. Takes
minutes: an environment of its own has torch in it.
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
EXTRAS = """
import gymnasium
from stable_baselines3 import PPO

import offline_prune.environments
from offline_prune import prune_then_train
from offline_prune.diagnostics import overlap
from offline_prune.diagnostics.machine import examine_machine
from offline_prune.hosts.sb3 import PruningCallback

missing = [finding for finding in examine_machine() if finding.subject.startswith("extra ")]
assert not missing, missing
result = prune_then_train("pendulum/mixture-v0", "iql", sparsity=0.95, n_steps=50, evaluate=0)
assert all(form.startswith("sparse") for form in result.trained_as.values()), result.trained_as
result.export("policy.onnx")
overlap({"itself": result.mask}).plot().figure.savefig("overlap.png")
callback = PruningCallback("gmp", sparsity=0.9)
PPO("MlpPolicy", "CartPole-v1", n_steps=64, batch_size=32).learn(128, callback=callback)
assert abs(callback.mask.sparsity - 0.9) < 0.01
gymnasium.make("offline_prune/MinAtar-Breakout-v0").reset()
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


def main(interpreters: list[str]) -> None:
    """Build, check, install and try; the first step that fails ends it with its code.

    Args:
        interpreters: Pythons to install under; of none, the one that runs this.
    """
    python = sys.executable
    with tempfile.TemporaryDirectory() as folder:
        aside = Path(folder)
        _run(python, "-m", "build", "--outdir", aside / "dist", ROOT)
        (wheel,) = (aside / "dist").glob("*.whl")
        _run(python, "-m", "twine", "check", "--strict", *(aside / "dist").iterdir())
        check_wheel(wheel)
        for number, interpreter in enumerate(interpreters or [python]):
            _try(interpreter, wheel, aside / str(number))


def _try(interpreter: str, wheel: Path, folder: Path) -> None:
    """Install the wheel, try it, then its extra ``all``."""
    _run(interpreter, "-m", "venv", folder / "bare")
    bare = folder / "bare" / ("Scripts" if os.name == "nt" else "bin")
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    pip = (bare / "python", "-m", "pip", "install", "--quiet", "--constraint", CONSTRAINTS)
    _run(*pip, "torch")
    _run(*pip, wheel)
    for command in (["--version"], ["--help"], ["datasets"], ["algos"]):
        _run(bare / "offline-prune", *command, folder=elsewhere, silent=True)
    _run(bare / "python", "-c", SMOKE.format(root=str(ROOT)), folder=elsewhere)
    if not (elsewhere / "policy.c").stat().st_size:
        sys.exit("policy.c is empty")
    _run(*pip, f"{wheel}[all]")
    _run(bare / "python", "-c", EXTRAS, folder=elsewhere)
    print(f"{interpreter}: the wheel works outside the repository, and so do its extras.")


def _run(*command: str | Path, folder: Path = ROOT, silent: bool = False) -> None:
    print("$", *(Path(part).name if isinstance(part, Path) else part[:60] for part in command))
    outside = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    outside["MINARI_DATASETS_PATH"] = str(folder / "minari")
    quiet = subprocess.DEVNULL if silent else None
    done = subprocess.run(command, cwd=folder, env=outside, stdout=quiet, check=False)
    if done.returncode:
        sys.exit(done.returncode)


if __name__ == "__main__":
    main(sys.argv[1:])
