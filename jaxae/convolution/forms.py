"""Forms of one function: how a convolution and its two derivatives are computed.

All forms compute the same sums. `gemm` gathers what every pixel sees and multiplies matrices, which no loop slows down;
`native` is XLA's own convolution, which accelerators have fast kernels for but which XLA's CPU backend, inside a loop,
computes several times slower than it could. `best` chooses, and is the only place that does.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxae.convolution.geometry import Geometry
from jaxae.types import Array

__all__ = ["Form", "best", "gemm", "native"]

RUN = 16
"""Channels from which on slices are joined rather than gathered: measured on x86-64 with AVX-512, 8 to 32 are alike."""
WIDE = 128
"""Columns from which on a matrix is turned before it is multiplied over its rows: measured there too."""
TURNED = 10 * 2**20
"""Bytes up to which it is: of a larger one, turning takes as long as it saves, and another copy's memory."""
DIMENSIONS = ("NHWC", "HWIO", "NHWC")


class Form(NamedTuple):
    """The three functions that a convolution y = x ∗ w and its derivatives are; each is linear in either argument.

    Attributes:
        correlate: (x (n, H, W, c), w (kh, kw, c, o), geometry) -> y (n, h, w, o).
        spread: (y, w, geometry) -> x: the transpose of `correlate` for fixed w.
        weigh: (x, y, geometry) -> w: the transpose of `correlate` for fixed x.
    """

    correlate: Callable[[Array, Array, Geometry], Array]
    spread: Callable[[Array, Array, Geometry], Array]
    weigh: Callable[[Array, Array, Geometry], Array]


def _patches(x: Array, geometry: Geometry) -> Array:
    """Return what every pixel of y sees, (n·h·w, kh·kw·c)."""
    (kh, kw), (h, w) = geometry.kernel, geometry.small
    n, _, _, c = x.shape
    if (kh, kw) == geometry.strides and geometry.low == (0, 0) and geometry.high == (0, 0):
        return x.reshape(n, h, kh, w, kw, c).transpose(0, 1, 3, 2, 4, 5).reshape(n * h * w, kh * kw * c)
    (sh, sw), (top, left) = geometry.strides, geometry.low
    if c >= RUN:
        # As many columns together as one step passes, so that each piece of a row of the kernel is one run of memory.
        runs = -(-kw // sw)
        length = (h - 1) * sh + kh, (w + runs - 1) * sw
        below, right = length[0] - top - geometry.large[0], length[1] - left - geometry.large[1]
        padded = lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), (top, below, 0), (left, right, 0), (0, 0, 0)))
        # The barrier keeps XLA from padding anew for every slice.
        whole = lax.optimization_barrier(padded).reshape(n, length[0], w + runs - 1, sw * c)
        pieces = [
            lax.slice(whole, (0, i, j, 0), (n, i + (h - 1) * sh + 1, j + w, min(sw, kw - j * sw) * c), (1, sh, 1, 1))
            for i in range(kh)
            for j in range(runs)
        ]
        return jnp.concatenate(pieces, -1).reshape(n * h * w, kh * kw * c)
    sides = [(low, max(high, 0), 0) for low, high in zip(geometry.low, geometry.high, strict=True)]
    padded = lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), *sides, (0, 0, 0)))
    # So short runs of memory are gathered sooner than sliced and joined.
    rows, columns = (np.arange(m) * step for m, step in zip((h, w), geometry.strides, strict=True))
    corners = np.stack(np.meshgrid(rows, columns, indexing="ij"), -1)
    seen = lax.gather(
        padded,
        corners.reshape(-1, 2).astype(np.int32),
        lax.GatherDimensionNumbers(offset_dims=(0, 2, 3, 4), collapsed_slice_dims=(), start_index_map=(1, 2)),
        (n, kh, kw, c),
        mode="promise_in_bounds",
    )
    return seen.reshape(n * h * w, kh * kw * c)


def _overlaid(patches: Array, n: int, c: int, geometry: Geometry) -> Array:
    """Return x (n, H, W, c), the sum of all patches (n·h·w, kh·kw·c) in their places: the transpose of `_patches`."""
    (kh, kw), (sh, sw), (h, w) = geometry.kernel, geometry.strides, geometry.small
    patches = patches.reshape(n, h, w, kh, kw, c)
    if (kh, kw) == (sh, sw) and geometry.low == (0, 0) and geometry.high == (0, 0):
        return patches.transpose(0, 1, 3, 2, 4, 5).reshape(n, *geometry.large, c)
    # Row p·sh + r of the padded image gets tap r + sh·d from row p − d of the patches: one phase for every r.
    rows, columns = (
        max(-(-(size + low) // step), m + -(-k // step) - 1)
        for size, low, step, m, k in zip(
            geometry.large, geometry.low, geometry.strides, geometry.small, geometry.kernel, strict=True
        )
    )

    def phase(r: int, s: int) -> Array:
        parts = [
            lax.pad(
                patches[:, :, :, i, j],
                jnp.zeros((), patches.dtype),
                (
                    (0, 0, 0),
                    (i // sh, rows - h - i // sh, 0),
                    (j // sw, columns - w - j // sw, 0),
                    (0, 0, 0),
                ),
            )
            for i in range(r, kh, sh)
            for j in range(s, kw, sw)
        ]
        empty = jnp.zeros((n, rows, columns, c), patches.dtype)
        return functools.reduce(jnp.add, parts) if parts else empty

    phases = jnp.stack([jnp.stack([phase(r, s) for s in range(sw)], 3) for r in range(sh)], 2)
    whole = phases.reshape(n, rows * sh, columns * sw, c)
    cut = [
        (-low, low + size - length, 0)
        for low, size, length in zip(geometry.low, geometry.large, whole.shape[1:3], strict=True)
    ]
    return lax.pad(whole, jnp.zeros((), whole.dtype), ((0, 0, 0), *cut, (0, 0, 0)))


def _correlate(x: Array, w: Array, geometry: Geometry) -> Array:
    y = _patches(x, geometry) @ w.reshape(-1, w.shape[-1])
    return y.reshape(len(x), *geometry.small, w.shape[-1])


def _spread(y: Array, w: Array, geometry: Geometry) -> Array:
    patches = y.reshape(-1, y.shape[-1]) @ w.reshape(-1, w.shape[-1]).T
    return _overlaid(patches, len(y), w.shape[2], geometry)


def _weigh(x: Array, y: Array, geometry: Geometry) -> Array:
    patches, pixels = _patches(x, geometry), y.reshape(-1, y.shape[-1])
    # XLA's product over rows is faster of a matrix that was turned before, while the cache holds it.
    small = patches.size * patches.dtype.itemsize <= TURNED
    turned = lax.optimization_barrier(patches.T) if small and patches.shape[1] >= WIDE else None
    w = (pixels.T @ patches).T if turned is None else turned @ pixels
    return w.reshape(*geometry.kernel, x.shape[-1], y.shape[-1])


gemm = Form(_correlate, _spread, _weigh)
"""One matrix product for each of the three; a transposed convolution multiplies no zeros."""


def _native_correlate(x: Array, w: Array, geometry: Geometry) -> Array:
    sides = list(zip(geometry.low, geometry.high, strict=True))
    return lax.conv_general_dilated(x, w, geometry.strides, sides, dimension_numbers=DIMENSIONS)


def _native_spread(y: Array, w: Array, geometry: Geometry) -> Array:
    x = jax.ShapeDtypeStruct((len(y), *geometry.large, w.shape[2]), y.dtype)
    return jax.linear_transpose(lambda x: _native_correlate(x, w, geometry), x)(y)[0]


def _native_weigh(x: Array, y: Array, geometry: Geometry) -> Array:
    w = jax.ShapeDtypeStruct((*geometry.kernel, x.shape[-1], y.shape[-1]), x.dtype)
    return jax.linear_transpose(lambda w: _native_correlate(x, w, geometry), w)(y)[0]


native = Form(_native_correlate, _native_spread, _native_weigh)
"""XLA's convolution and its own transposes.

On a CPU, XLA (that of JAX 0.10.2) aborts the process where it compiles some slopes with strides that differ between
the axes: kernel (3, 2), strides (4, 2), padding 1 of an image of 6 × 4 is one. `gemm` has no such sizes.
"""


def _chosen(name: str) -> Callable[[Array, Array, Geometry], Array]:
    def choose(first: Array, second: Array, geometry: Geometry) -> Array:
        def by(form: Form) -> Callable[[Array, Array], Array]:
            return lambda first, second: getattr(form, name)(first, second, geometry)

        return lax.platform_dependent(first, second, cpu=by(gemm), default=by(native))

    return choose


best = Form(*map(_chosen, Form._fields))
"""`gemm` on a CPU and `native` elsewhere, chosen when a program is lowered for its platform."""
