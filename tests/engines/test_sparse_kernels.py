"""Compiled kernels on disk."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import offline_prune
from offline_prune.engines import row_kernels, sparse_kernels, vector_code

PROGRAM = """
import torch
from offline_prune.engines.sparse_mlp import SparseMLP
from offline_prune.engines.wiring import Linear
one = torch.ones(1, 1, dtype=torch.bool)
steps = [Linear(one, -1, "tanh", has_bias=False), Linear(one, 0, has_bias=False)]
print(float(SparseMLP(steps, torch.ones(2))(torch.ones(1, 1))))
"""


def test_what_is_kept_is_of_the_sources_of_all_kernels():
    for kernel in (sparse_kernels.forward, sparse_kernels.backward, row_kernels.activate):
        assert kernel._cache._cache_file._source_stamp[1] == vector_code.SOURCES


@pytest.mark.slow
def test_a_kernel_whose_parts_changed_is_compiled_again(tmp_path):
    """numba alone would run the old code: the file of the function that is called is the same."""
    package = tmp_path / "offline_prune"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(offline_prune.__file__).parent, package, ignore=ignored)

    def run():
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True,
            check=True, env={"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin"},
        )  # fmt: skip
        return float(done.stdout)

    assert run() == pytest.approx(0.76159, abs=1e-4)
    rows = package / "engines" / "row_kernels.py"
    text = rows.read_text()
    assert text.count("row[i] = _tanh(row[i])") == 1
    rows.write_text(text.replace("row[i] = _tanh(row[i])", "row[i] = 2 * _tanh(row[i])"))
    assert run() == pytest.approx(2 * 0.76159, abs=1e-4)
