"""Inner loops of the sparse kernels, written as LLVM vector code, and how kernels are compiled.

A loop over an array leaves its running sums in memory where these stay in registers.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

__all__ = [
    "TILE",
    "add_dots",
    "compiled",
    "moments",
    "shift_and_scale",
    "spread",
    "weigh_and_sum",
    "weighted_sum",
]

TILE = 64
"""Rows of the mini-batch a block: 4 registers of AVX-512 or 8 of AVX2 in float32."""

SOURCES = hashlib.sha256(
    b"".join(
        path.read_bytes()
        for name in ("row_kernels", "sparse_kernels", "vector_code", "wiring")
        if (path := Path(__file__).with_name(f"{name}.py")).is_file()
    )
).hexdigest()
"""Of all that kernels are made of: compiled code on disk is of these very sources."""

_INT64 = ir.IntType(64)
_FUSED = ["contract"]  # allows a multiply and an add to become one instruction


class _Emit:
    """Writes LLVM code that works on a block's rows in vectors of 64 bytes."""

    def __init__(self, context: Any, builder: Any, element: Any) -> None:
        self.context, self.builder = context, builder
        self.scalar = context.get_value_type(element)
        self.lanes = 512 // element.bitwidth
        self.vector = ir.VectorType(self.scalar, self.lanes)
        self.four = ir.VectorType(self.scalar, 4)

    def data(self, array_type: Any, array: Any) -> Any:
        """The pointer to an array's first element."""
        return self.context.make_array(array_type)(self.context, self.builder, array).data

    def _slots(self, data: Any, row: Any) -> list[Any]:
        """Pointers to the vectors of one row of a (units, TILE) array."""
        start = self.builder.mul(row, ir.Constant(_INT64, TILE))
        offsets = [ir.Constant(_INT64, i) for i in range(0, TILE, self.lanes)]
        return [
            self.builder.bitcast(
                self.builder.gep(data, [self.builder.add(start, offset)]),
                self.vector.as_pointer(),
            )
            for offset in offsets
        ]

    def load_row(self, data: Any, row: Any) -> list[Any]:
        """The vectors of one row."""
        return [self.builder.load(slot, align=4) for slot in self._slots(data, row)]

    def store_row(self, vectors: Sequence[Any], data: Any, row: Any) -> None:
        """Write the vectors of one row."""
        for vector, slot in zip(vectors, self._slots(data, row), strict=True):
            self.builder.store(vector, slot, align=4)

    def splat(self, value: Any) -> Any:
        """A vector with the same number in every lane."""
        undefined = ir.Constant(self.vector, ir.Undefined)
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), [0] * self.lanes)
        one = self.builder.insert_element(undefined, value, ir.Constant(ir.IntType(32), 0))
        return self.builder.shuffle_vector(one, undefined, zeros)

    def multiply_add(self, x: Any, y: Any, z: Any) -> Any:
        """``x · y + z``."""
        return self.builder.fadd(self.builder.fmul(x, y, flags=_FUSED), z, flags=_FUSED)

    def sum(self, start: Any, vector: Any) -> Any:
        """``start`` plus all lanes."""
        kind = "f32" if self.lanes == 16 else "f64"
        function = cgutils.get_or_insert_function(
            self.builder.module,
            ir.FunctionType(self.scalar, [self.scalar, self.vector]),
            f"llvm.vector.reduce.fadd.v{self.lanes}{kind}",
        )
        return self.builder.call(function, [start, vector], fastmath=["reassoc"])

    def sums_of_four(self, vectors: Sequence[Any]) -> Any:
        """The sums over all lanes of four vectors, in the order of :meth:`sum`, at once.

        Halves are added to halves: two vectors become one with half of the lanes for each.
        Four take little more than one does.
        """
        a, b, c, d = vectors
        joined = self._halved(self._halved(a, b, 1), self._halved(c, d, 1), 2)
        width = self.lanes // 4
        while width > 1:
            width //= 2
            swapped = [lane ^ width for lane in range(self.lanes)]
            joined = self.builder.fadd(joined, self._shuffled(joined, joined, swapped))
        return self._shuffled(joined, joined, range(0, self.lanes, self.lanes // 4))

    def _halved(self, x: Any, y: Any, parts: int) -> Any:
        """Each of the parts of two vectors, its first half added to its second."""
        width = self.lanes // parts
        starts = range(0, 2 * self.lanes, width)
        first = [start + i for start in starts for i in range(width // 2)]
        second = [i + width // 2 for i in first]
        return self.builder.fadd(self._shuffled(x, y, first), self._shuffled(x, y, second))

    def _shuffled(self, x: Any, y: Any, lanes: Iterable[int]) -> Any:
        chosen = [int(lane) for lane in lanes]
        kind = ir.VectorType(ir.IntType(32), len(chosen))
        return self.builder.shuffle_vector(x, y, ir.Constant(kind, chosen))

    def apart(self, data: Any, row: Any, means: Sequence[Any]) -> list[Any]:
        """The vectors of one row, less those of another."""
        return [
            self.builder.fsub(x, m) for x, m in zip(self.load_row(data, row), means, strict=True)
        ]

    def square_root(self, vector: Any) -> Any:
        """√ of every lane."""
        kind = "f32" if self.lanes == 16 else "f64"
        function = cgutils.get_or_insert_function(
            self.builder.module,
            ir.FunctionType(self.vector, [self.vector]),
            f"llvm.sqrt.v{self.lanes}{kind}",
        )
        return self.builder.call(function, [vector])

    def loop(
        self,
        start: Any,
        stop: Any,
        carried: Sequence[Any],
        body: Callable[[Any, Sequence[Any]], Sequence[Any]],
    ) -> list[Any]:
        """``for k in range(start, stop): carried = body(k, carried)``."""
        builder, entry = self.builder, self.builder.block
        head, inside, end = (builder.append_basic_block(name) for name in ("head", "inside", "end"))
        builder.branch(head)
        builder.position_at_end(head)
        k = builder.phi(_INT64)
        k.add_incoming(start, entry)
        values = [builder.phi(value.type) for value in carried]
        for phi, value in zip(values, carried, strict=True):
            phi.add_incoming(value, entry)
        builder.cbranch(builder.icmp_signed("<", k, stop), inside, end)
        builder.position_at_end(inside)
        for phi, value in zip(values, body(k, values), strict=True):
            phi.add_incoming(value, builder.block)
        k.add_incoming(builder.add(k, ir.Constant(_INT64, 1)), builder.block)
        builder.branch(head)
        builder.position_at_end(end)
        return values

    def item(self, data: Any, k: Any) -> Any:
        """``data[k]`` of a one-dimensional array."""
        return self.builder.load(self.builder.gep(data, [k]))

    def row_number(self, data: Any, k: Any) -> Any:
        """``data[k]`` of an int32 array as an int64."""
        return self.builder.sext(self.item(data, k), _INT64)


@intrinsic
def weighted_sum(
    _: Any, out: Any, unit: Any, init: Any, values: Any, index: Any, start: Any, stop: Any
) -> Any:
    """``out[unit] = init + Σ_k values[k] · out[index[k]]``, k from start to stop."""
    signature = types.void(out, types.int64, out.dtype, values, index, types.int64, types.int64)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        emit = _Emit(context, builder, sig.args[0].dtype)
        out, unit, init, values, index, start, stop = args
        rows = emit.data(sig.args[0], out)
        weights, numbers = emit.data(sig.args[3], values), emit.data(sig.args[4], index)

        def add_product(k: Any, sums: Sequence[Any]) -> Sequence[Any]:
            weight = emit.splat(emit.item(weights, k))
            source = emit.load_row(rows, emit.row_number(numbers, k))
            return [emit.multiply_add(weight, x, s) for x, s in zip(source, sums, strict=True)]

        first = [emit.splat(init)] * (TILE // emit.lanes)
        emit.store_row(emit.loop(start, stop, first, add_product), rows, unit)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def add_dots(
    _: Any, out: Any, left: Any, unit: Any, right: Any, index: Any, start: Any, stop: Any
) -> Any:
    """``out[k] += left[unit] · right[index[k]]``, k from start to stop."""
    signature = types.void(out, left, types.int64, right, index, types.int64, types.int64)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        emit = _Emit(context, builder, sig.args[0].dtype)
        out, left, unit, right, index, start, stop = args
        sums = emit.data(sig.args[0], out)
        ours = emit.load_row(emit.data(sig.args[1], left), unit)
        rows, numbers = emit.data(sig.args[3], right), emit.data(sig.args[4], index)

        def dot(k: Any) -> Any:
            """A vector whose lanes add up to the product with the row of a weight."""
            source = emit.load_row(rows, emit.row_number(numbers, k))
            products = [builder.fmul(x, y) for x, y in zip(ours[:2], source[:2], strict=True)]
            for i in range(2, len(ours)):
                products[i % 2] = emit.multiply_add(ours[i], source[i], products[i % 2])
            return builder.fadd(*products)

        def add_dot(k: Any, _: Sequence[Any]) -> Sequence[Any]:
            slot = builder.gep(sums, [k])
            builder.store(emit.sum(builder.load(slot), dot(k)), slot)
            return []

        def add_four(group: Any, _: Sequence[Any]) -> Sequence[Any]:
            k = builder.add(start, builder.shl(group, ir.Constant(_INT64, 2)))
            dots = [dot(builder.add(k, ir.Constant(_INT64, i))) for i in range(4)]
            slot = builder.bitcast(builder.gep(sums, [k]), emit.four.as_pointer())
            old = builder.load(slot, align=4)
            builder.store(builder.fadd(old, emit.sums_of_four(dots)), slot, align=4)
            return []

        groups = builder.ashr(builder.sub(stop, start), ir.Constant(_INT64, 2))
        emit.loop(ir.Constant(_INT64, 0), groups, [], add_four)
        done = builder.add(start, builder.shl(groups, ir.Constant(_INT64, 2)))
        emit.loop(done, stop, [], add_dot)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def moments(
    _: Any, block: Any, source: Any, count: Any, mean: Any, scale: Any, share: Any, eps: Any
) -> Any:
    """``block[mean] = Σ share · block[u]``, ``block[scale] = 1 / √(Σ share · (… − mean)² + eps)``.

    The sums are over the ``count`` rows from ``source`` on.
    """
    kind = block.dtype
    signature = types.void(block, *[types.int64] * 4, kind, kind)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        emit = _Emit(context, builder, sig.args[0].dtype)
        block, source, count, mean, scale, share, eps = args
        rows = emit.data(sig.args[0], block)
        stop = builder.add(source, count)
        zeros = [emit.splat(ir.Constant(emit.scalar, 0.0))] * (TILE // emit.lanes)
        shares, least = emit.splat(share), emit.splat(eps)
        one = emit.splat(ir.Constant(emit.scalar, 1.0))

        def add(u: Any, sums: Sequence[Any]) -> Sequence[Any]:
            return [builder.fadd(x, s) for x, s in zip(emit.load_row(rows, u), sums, strict=True)]

        means = [builder.fmul(s, shares) for s in emit.loop(source, stop, zeros, add)]

        def add_square(u: Any, sums: Sequence[Any]) -> Sequence[Any]:
            apart = emit.apart(rows, u, means)
            return [emit.multiply_add(d, d, s) for d, s in zip(apart, sums, strict=True)]

        squares = emit.loop(source, stop, zeros, add_square)
        scales = [
            builder.fdiv(one, emit.square_root(emit.multiply_add(s, shares, least)))
            for s in squares
        ]
        emit.store_row(means, rows, mean)
        emit.store_row(scales, rows, scale)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def shift_and_scale(
    _: Any, block: Any, first: Any, count: Any, source: Any, mean: Any, scale: Any, theta: Any,
    parameter: Any,
) -> Any:  # fmt: skip
    """``block[first + u] = γ_u (block[source + u] − mean) scale + β_u``; γ at ``parameter``."""
    signature = types.void(block, *[types.int64] * 5, theta, types.int64)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        emit = _Emit(context, builder, sig.args[0].dtype)
        block, first, count, source, mean, scale, theta, parameter = args
        rows, numbers = emit.data(sig.args[0], block), emit.data(sig.args[6], theta)
        means, scales = emit.load_row(rows, mean), emit.load_row(rows, scale)

        def write(u: Any, _: Sequence[Any]) -> Sequence[Any]:
            place = builder.add(parameter, u)
            weight = emit.splat(emit.item(numbers, place))
            bias = emit.splat(emit.item(numbers, builder.add(place, count)))
            apart = emit.apart(rows, builder.add(source, u), means)
            found = [
                emit.multiply_add(builder.fmul(d, s), weight, bias)
                for d, s in zip(apart, scales, strict=True)
            ]
            emit.store_row(found, rows, builder.add(first, u))
            return []

        emit.loop(ir.Constant(_INT64, 0), count, [], write)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def weigh_and_sum(
    _: Any, grads: Any, block: Any, first: Any, count: Any, source: Any, mean: Any, scale: Any,
    theta: Any, parameter: Any, sums: Any, share: Any, grad_theta: Any,
) -> Any:  # fmt: skip
    """``sums[0]``: the mean of ``γ_u grads[first + u]``, ``sums[1]``: of that times â.

    Where ``grad_theta`` is not empty, ``Σ grads â`` is added at ``parameter + u``, and ``Σ grads``
    ``count`` places behind it.
    """
    signature = types.void(
        grads, block, *[types.int64] * 5, theta, types.int64, sums, block.dtype, grad_theta
    )

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        emit = _Emit(context, builder, sig.args[0].dtype)
        grads, block, first, count, source, mean, scale, theta, parameter, sums, share, into = args
        slopes, rows = emit.data(sig.args[0], grads), emit.data(sig.args[1], block)
        numbers, kept = emit.data(sig.args[7], theta), emit.data(sig.args[9], sums)
        found_array = context.make_array(sig.args[11])(context, builder, into)
        asked = builder.icmp_signed(">", found_array.nitems, ir.Constant(_INT64, 0))
        means, scales = emit.load_row(rows, mean), emit.load_row(rows, scale)
        n, shares = len(means), emit.splat(share)
        zeros = [emit.splat(ir.Constant(emit.scalar, 0.0))] * (2 * n)

        def add_sum(place: Any, vectors: Sequence[Any]) -> None:
            slot = builder.gep(found_array.data, [place])
            total = functools.reduce(builder.fadd, vectors)
            builder.store(emit.sum(builder.load(slot), total), slot)

        def weigh(u: Any, carried: Sequence[Any]) -> Sequence[Any]:
            place = builder.add(parameter, u)
            weight = emit.splat(emit.item(numbers, place))
            given = emit.load_row(slopes, builder.add(first, u))
            apart = emit.apart(rows, builder.add(source, u), means)
            normal = [builder.fmul(d, s) for d, s in zip(apart, scales, strict=True)]
            with builder.if_then(asked):
                add_sum(place, [builder.fmul(g, a) for g, a in zip(given, normal, strict=True)])
                add_sum(builder.add(place, count), given)
            weighed = [builder.fmul(g, weight) for g in given]
            totals = [builder.fadd(g, t) for g, t in zip(weighed, carried[:n], strict=True)]
            products = [
                emit.multiply_add(g, a, p)
                for g, a, p in zip(weighed, normal, carried[n:], strict=True)
            ]
            return [*totals, *products]

        found = emit.loop(ir.Constant(_INT64, 0), count, zeros, weigh)
        found = [builder.fmul(value, shares) for value in found]
        emit.store_row(found[:n], kept, ir.Constant(_INT64, 0))
        emit.store_row(found[n:], kept, ir.Constant(_INT64, 1))
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def spread(
    _: Any, deposits: Any, grads: Any, block: Any, first: Any, count: Any, source: Any, mean: Any,
    scale: Any, theta: Any, parameter: Any, sums: Any,
) -> Any:  # fmt: skip
    """``deposits[source + u] += scale (γ_u grads[first + u] − sums[0] − â sums[1])``.

    γ is at ``parameter``, or 1 where that is negative.
    """
    signature = types.void(deposits, grads, block, *[types.int64] * 5, theta, types.int64, sums)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        emit = _Emit(context, builder, sig.args[0].dtype)
        deposits, grads, block, first, count, source, mean, scale, theta, parameter, sums = args
        into, slopes = emit.data(sig.args[0], deposits), emit.data(sig.args[1], grads)
        rows, kept = emit.data(sig.args[2], block), emit.data(sig.args[10], sums)
        numbers = emit.data(sig.args[8], theta)
        has_weights = builder.icmp_signed(">=", parameter, ir.Constant(_INT64, 0))
        means, scales = emit.load_row(rows, mean), emit.load_row(rows, scale)
        totals = emit.load_row(kept, ir.Constant(_INT64, 0))
        products = emit.load_row(kept, ir.Constant(_INT64, 1))
        one = ir.Constant(emit.scalar, 1.0)

        def write(u: Any, _: Sequence[Any]) -> Sequence[Any]:
            # Any number will do where there are no weights; there is always a first one.
            index = builder.select(has_weights, builder.add(parameter, u), ir.Constant(_INT64, 0))
            weight = emit.splat(builder.select(has_weights, emit.item(numbers, index), one))
            place = builder.add(source, u)
            parts = zip(
                emit.load_row(into, place), emit.load_row(slopes, builder.add(first, u)),
                emit.apart(rows, place, means), scales, totals, products, strict=True,
            )  # fmt: skip
            found = []
            for old, g, d, s, t, p in parts:
                weighed = builder.fsub(builder.fmul(g, weight), t)
                found.append(
                    emit.multiply_add(
                        s, builder.fsub(weighed, builder.fmul(builder.fmul(d, s), p)), old
                    )
                )
            emit.store_row(found, into, place)
            return []

        emit.loop(ir.Constant(_INT64, 0), count, [], write)
        return context.get_dummy_value()

    return signature, generate


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile at the first call, and keep the code on disk for the next process.

    Args:
        function: In the part of Python that numba takes.

    Returns:
        What is called in its place.
    """
    # No "nnan": a network that diverges must show it.
    fast = {"reassoc", "nsz", "contract", "arcp"}
    # numpy's errors: a division that looks for a zero is no vector code.
    options = {"nogil": True, "fastmath": fast, "error_model": "numpy"}
    try:
        found: Any = njit(cache=True, **options)(function)
    except RuntimeError:  # no folder to keep it in is writable
        return njit(**options)(function)  # type: ignore[no-any-return]
    # numba compiles again when the file of a function changed; these are made of several.
    kept = found._cache._cache_file
    kept._source_stamp = (kept._source_stamp, SOURCES)
    return found  # type: ignore[no-any-return]
