"""emx-onnx-cgen: C of an ONNX model."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from deployment_peers.subject import CSource, Subject

__all__ = ["EMX"]


def _write(subject: Subject, dtype: str, folder: Path) -> None:
    model = subject.onnx(dtype, folder)
    for batch in (1, 256):
        command = Path(sys.executable).with_name("emx-onnx-cgen")
        subprocess.run(
            [
                *(command, "compile", "--input-dim", f"batch={batch}"),
                *("--large-temp-threshold", "0"),  # no heap
                *("--large-weight-threshold", "0"),  # no file of weights
                *("--model-name", f"model_{batch}", model, folder / f"emx_{batch}.c"),
            ],
            check=True,
            capture_output=True,
        )
    many = (folder / "emx_256.c").read_text()  # its names are those of the other one
    (folder / "emx_256.c").write_text(re.sub(r"\b(node\d+_|weight\d+_|ref_)", r"many_\1", many))
    (size,) = subject.policy.observation_shape
    actions = subject.policy.action_size
    head = f"#define POLICY_OBSERVATION_SIZE {size}\n#define POLICY_ACTION_SIZE {actions}\n"
    one = f'#include "emx_1.c"\n{head}{_ACT.format(act="act", batch=1, count="")}'
    (folder / "one.c").write_text(one)
    head = '#include "one.c"\n#include "emx_256.c"\n'
    act = _ACT.format(act="act_batch", batch=256, count="int n, ")
    (folder / "policy.c").write_text(f"{head}{act}")


_ACT = """\
void policy_{act}({count}const float *x, float *a)
{{
    model_{batch}((const float(*)[POLICY_OBSERVATION_SIZE])x, (float(*)[POLICY_ACTION_SIZE])a);
}}
"""

EMX = CSource("emx-onnx-cgen", "emx_onnx_cgen", ("float32", "int8"), _write)
