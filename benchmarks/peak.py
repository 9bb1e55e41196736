"""How many multiply-adds of float32 a core can do at most."""

from __future__ import annotations

import ctypes
import tempfile
from pathlib import Path

from compiling import compile_c

SOURCE = """
#define _POSIX_C_SOURCE 199309L
#include <time.h>
#define CHAINS 12 /* a multiply-add takes about four cycles, and two or more begin in one */
#define LANES 16
typedef float vector __attribute__((vector_size(4 * LANES)));

/* Multiply-adds a second, of so many of each chain, in registers alone. */
double peak(long n, float *result)
{
    vector sums[CHAINS], factor, summand;
    struct timespec start, stop;
    long k;
    int i;
    for (i = 0; i < LANES; i++) {
        factor[i] = 0.999f;
        summand[i] = 0.001f;
    }
    for (i = 0; i < CHAINS; i++)
        sums[i] = factor * (float)i;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &start);
    for (k = 0; k < n; k++) {
#pragma GCC unroll 12
        for (i = 0; i < CHAINS; i++)
            sums[i] = sums[i] * factor + summand;
    }
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &stop);
    for (i = 0; i < CHAINS; i++)
        *result += sums[i][0];
    return (double)n * CHAINS * LANES
        / ((stop.tv_sec - start.tv_sec) + 1e-9 * (stop.tv_nsec - start.tv_nsec));
}
"""
FLAGS = ("-O3", "-march=native", "-ffp-contract=fast", "-shared", "-fPIC")


def peak_multiply_adds() -> float:
    """Multiply-adds a second of one core, by a loop of nothing else; the best of five."""
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "peak.c").write_text(SOURCE)
        compile_c(Path(name), *FLAGS, "-o", "peak.so", "peak.c")
        peak = ctypes.CDLL(str(Path(name) / "peak.so")).peak
        peak.restype = ctypes.c_double
        result = ctypes.c_float()
        return max(float(peak(ctypes.c_long(20_000_000), ctypes.byref(result))) for _ in range(5))
