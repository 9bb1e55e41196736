"""Boards that run an exported C policy: a cross compiler, and QEMU in place of the hardware.

Images of microcontrollers are linked without libc: the policy, the math functions, and the
start-up code of this folder, which reads observations from the host and writes actions to it by
semihosting. What a decision takes is counted inside the emulator, so it is the same everywhere.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["BOARDS", "Board", "Image", "Run", "build", "run"]

_HERE = Path(__file__).parent
_SECONDS = 300  # an image that hangs


@dataclass(frozen=True)
class Board:
    """A processor on a board.

    Attributes:
        processor: Its name.
        prefix: Of the compiler and its tools, ``"arm-none-eabi-"``.
        flags: What the compiler is told of the processor.
        sources: Start-up code, files of this folder.
        emulator: The command before the image's path.
        libraries: What is linked besides.
        memory: Linker script; None for a Linux process.
        instructions_per_tick: Of what the image counts; None where it counts nothing.
    """

    processor: str
    prefix: str
    flags: tuple[str, ...]
    sources: tuple[str, ...]
    emulator: tuple[str, ...]
    libraries: tuple[str, ...]
    memory: str | None = None
    instructions_per_tick: float | None = None

    def missing(self) -> str | None:
        """What is not installed here, in words; None where all is there."""
        tools = (f"{self.prefix}gcc", self.emulator[0])
        gone = [tool for tool in tools if shutil.which(tool) is None]
        return f"{' and '.join(gone)} missing: make system-packages" if gone else None


@dataclass(frozen=True)
class Image:
    """A linked program.

    Attributes:
        board: What it runs on.
        path: The file.
        discrete: Whether its policy chooses among actions.
        flash: Bytes of code and constants: policy, math functions and start-up code.
        static: Bytes of RAM besides the stack.
    """

    board: Board
    path: Path
    discrete: bool
    flash: int
    static: int


@dataclass(frozen=True)
class Run:
    """What a program did.

    Attributes:
        actions: (N, A) float32, or (N,) int32.
        instructions: Of one decision, the mean of all; None where they are not counted.
        stack: Bytes of one decision, the most of all; None likewise.
    """

    actions: NDArray[Any]
    instructions: float | None
    stack: int | None


def _emulated(processor: str, machine: str, *options: str, shift: int) -> tuple[str, ...]:
    return (
        f"qemu-system-{processor}",
        *("-machine", machine, *options),
        *("-icount", f"shift={shift}"),  # an instruction takes 2^shift ns of the emulated time
        *("-semihosting-config", "enable=on,target=native"),
        *("-nographic", "-monitor", "none", "-serial", "none", "-kernel"),
    )


def _cortex_m(processor: str, machine: str, memory: str, mhz: float, *flags: str) -> Board:
    return Board(
        processor=processor,
        prefix="arm-none-eabi-",
        flags=("-mthumb", *flags),
        sources=("cortex_m.c", "start.c", "semihosting.c"),
        emulator=_emulated("arm", machine, shift=3),
        libraries=("-lm", "-lgcc"),
        memory=memory,
        instructions_per_tick=1000.0 / mhz / 8,
    )


_M4F = ("-mcpu=cortex-m4", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16")
_M0 = "-mcpu=cortex-m0plus"

BOARDS = {
    "cortex-m4f": _cortex_m("Cortex-M4F", "mps2-an386", "mps2.ld", 25.0, *_M4F),
    "cortex-m0+": _cortex_m("Cortex-M0+", "microbit", "microbit.ld", 16.0, _M0),
    # The same code where more of it fits: a Cortex-M3 runs all that an M0+ does.
    "cortex-m0+ large": _cortex_m("Cortex-M0+", "mps2-an385", "mps2.ld", 25.0, _M0),
    "rv32imac": Board(
        processor="RV32IMAC",
        prefix="riscv64-unknown-elf-",
        flags=("-march=rv32imac", "-mabi=ilp32", "--specs=picolibc.specs"),
        sources=("riscv.c", "start.c", "semihosting.c"),
        emulator=_emulated("riscv32", "virt", "-bios", "none", shift=0),
        libraries=("-lc", "-lgcc"),  # where picolibc has its math functions
        memory="virt.ld",
        instructions_per_tick=1.0,
    ),
    "aarch64": Board(
        processor="AArch64, Linux",
        prefix="aarch64-linux-gnu-",
        flags=("-static",),
        sources=("linux.c",),
        emulator=("qemu-aarch64",),
        libraries=("-lm",),
    ),
}
"""Name → board. Cortex-M0+ and RV32IMAC have no floating-point unit."""


def build(board: Board, policy: Path, folder: Path, *, discrete: bool) -> Image:
    """Compile and link a policy with ``-Os``.

    Args:
        board: What for.
        policy: The exported C file.
        folder: Where to write the image.
        discrete: Whether the policy chooses among actions.

    Returns:
        The image.

    Raises:
        subprocess.CalledProcessError: If it does not compile, or does not fit.
    """
    path = folder / "image.elf"
    bare: tuple[str, ...] = ()
    if board.memory is not None:
        bare = ("-nostdlib", "-ffreestanding", f"-L{_HERE}", f"-T{board.memory}")
    sections = ("-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections")
    _call(
        *(f"{board.prefix}gcc", "-std=c99", "-Os", *board.flags, *bare, *sections),
        *(f'-DPOLICY="{policy.resolve()}"', *(["-DDISCRETE"] if discrete else [])),
        *(str(_HERE / name) for name in ("main.c", *board.sources)),
        *(*board.libraries, "-o", str(path)),
    )
    sizes = _call(f"{board.prefix}size", str(path)).splitlines()[1].split()
    text, data, bss = (int(number) for number in sizes[:3])
    return Image(board, path, discrete, flash=text + data, static=data + bss)


def run(image: Image, observations: NDArray[np.float32]) -> Run:
    """Let an image decide on observations, one after another, in the emulator.

    Args:
        image: What :func:`build` linked.
        observations: (N, *observation shape) float32.

    Returns:
        What it did.

    Raises:
        subprocess.CalledProcessError: If it faults or its stack (12 KiB) is too deep.
        subprocess.TimeoutExpired: If it hangs.
    """
    folder, board = image.path.parent, image.board
    observations.astype(np.float32).tofile(folder / "observations.bin")
    _call(*board.emulator, str(image.path), cwd=folder)
    n = len(observations)
    actions = np.fromfile(folder / "actions.bin", np.int32 if image.discrete else np.float32)
    if not image.discrete:
        actions = actions.reshape(n, -1)
    *ticks, stack = np.fromfile(folder / "cost.bin", np.uint32).tolist()
    if board.instructions_per_tick is None:
        return Run(actions, None, None)
    return Run(actions, board.instructions_per_tick * sum(ticks) / n, stack)


def _call(*command: str, cwd: Path | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=_SECONDS)
    if done.returncode:
        raise subprocess.CalledProcessError(
            done.returncode, command, done.stdout, f"\n{done.stderr[-2000:]}"
        )
    return done.stdout
