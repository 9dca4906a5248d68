"""jaxae.convolution against loops in float64, scipy and Flax, to the third derivative; then laws, programs, errors."""

import functools
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax
from jax.sharding import AxisType, PartitionSpec
from jax.test_util import check_grads
from scipy import ndimage, signal

from jaxae.adversarial import gradient_penalty
from jaxae.convolution import (
    Conv,
    ConvTranspose,
    ResizeConv,
    best,
    convolve,
    convolve_transposed,
    gemm,
    mirrored,
    native,
    resize,
    resize_convolve,
)
from jaxae.convolution.geometry import strided, transposed

few = settings(max_examples=12, deadline=None, derandomize=True)
FORMS = {"gemm": gemm, "native": native}
DIMENSIONS = ("NHWC", "HWIO", "NHWC")
TWO = {"conv": convolve, "transposed": convolve_transposed}
N, C, OUT = 2, 2, 3
"""Examples, channels in and channels out, all different."""


class Case(NamedTuple):
    """Sizes of a convolution."""

    size: tuple[int, int]
    kernel: Any
    strides: Any
    padding: Any


CASES = {
    "plain": Case((5, 6), 3, 1, "SAME"),
    "same": Case((7, 4), (3, 2), (2, 3), "SAME"),
    "valid": Case((9, 8), (4, 5), (2, 1), "VALID"),
    "pixel": Case((5, 4), 1, 1, 0),
    "sparse": Case((7, 9), 1, (3, 2), "VALID"),
    "gaps": Case((8, 9), (2, 3), (3, 4), "SAME"),
    "tiles": Case((8, 6), (2, 3), (2, 3), "VALID"),
    "tiles and a rest": Case((9, 7), 2, 2, 0),
    "uneven": Case((6, 7), (3, 5), (2, 1), ((0, 2), (3, 1))),
    "cut": Case((9, 8), 3, 2, ((-1, 2), (1, -2))),
    "wide": Case((4, 5), 2, 1, ((3, 4), (0, 5))),
    "wide and strided": Case((3, 4), (2, 3), (2, 3), ((6, 1), (2, 7))),
    "one": Case((1, 1), 3, 1, 1),
}
HARD = ["gaps", "tiles", "uneven", "cut", "wide and strided"]


def pair(value: Any) -> tuple[int, int]:
    return value if isinstance(value, tuple) else (value, value)


def draw(*shape: int, seed: int = 0, dtype: Any = np.float32) -> np.ndarray:
    return np.random.default_rng((seed, *shape)).normal(size=shape).astype(dtype)


def drawn(case: Case, c: int = C, o: int = OUT, dtype: Any = np.float32) -> tuple[jax.Array, jax.Array]:
    kernel = (*pair(case.kernel), c, o)
    return jnp.asarray(draw(N, *case.size, c, dtype=dtype)), jnp.asarray(draw(*kernel, seed=1, dtype=dtype))


def native_autodiff(name: str, case: Case) -> Callable[..., jax.Array]:
    """Return XLA's convolution, which JAX itself differentiates."""
    plain = {"conv": lax.conv_general_dilated, "transposed": lax.conv_transpose}[name]
    padding = case.padding if isinstance(case.padding, str) else [pair(side) for side in pair(case.padding)]
    return lambda x, w: plain(x, w, pair(case.strides), padding, dimension_numbers=DIMENSIONS)


def ours(name: str, case: Case, form: Any = best) -> Callable[..., jax.Array]:
    return functools.partial(TWO[name], strides=case.strides, padding=case.padding, form=form)


def padded(x: np.ndarray, sides: Any) -> np.ndarray:
    """Return x with rows and columns of zeros, or without those of a negative side."""
    x = np.pad(x, ((0, 0), *((max(before, 0), max(after, 0)) for before, after in sides), (0, 0)))
    rows, columns = (
        slice(max(-before, 0), m - max(-after, 0)) for (before, after), m in zip(sides, x.shape[1:3], strict=True)
    )
    return x[:, rows, columns]


def loops(x: np.ndarray, w: np.ndarray, strides: tuple[int, int], sides: Any) -> np.ndarray:
    """Return the convolution by its definition, in float64."""
    x, w = padded(np.float64(x), sides), np.float64(w)
    (sh, sw), (kh, kw) = strides, w.shape[:2]
    rows, columns = (x.shape[1] - kh) // sh + 1, (x.shape[2] - kw) // sw + 1
    y = np.zeros((len(x), rows, columns, w.shape[3]))
    for p in range(rows):
        for q in range(columns):
            y[:, p, q] = np.einsum("nijc,ijco->no", x[:, p * sh : p * sh + kh, q * sw : q * sw + kw], w)
    return y


def loops_transposed(x: np.ndarray, w: np.ndarray, strides: tuple[int, int], sides: Any) -> np.ndarray:
    """Return the transposed convolution by its definition: zeros between the pixels, then around them."""
    n, h, width, c = x.shape
    apart = np.zeros((n, (h - 1) * strides[0] + 1, (width - 1) * strides[1] + 1, c))
    apart[:, :: strides[0], :: strides[1]] = x
    return loops(apart, w, (1, 1), sides)


def close(ours: Any, expected: Any, tolerance: float = 2e-5) -> None:
    """Fail unless two trees are equal to so many times the largest number of each leaf: rounding of sums."""
    assert jax.tree.structure(ours) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(expected), strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * float(np.abs(b).max(initial=0)))


# values


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", CASES)
def test_it_is_the_sum_that_it_says(name, form):
    case = CASES[name]
    x, w = drawn(case)
    if case.padding == "SAME":
        sides = lax.padtype_to_pads(case.size, pair(case.kernel), pair(case.strides), "SAME")
    else:
        sides = [pair(side) for side in pair(0 if case.padding == "VALID" else case.padding)]
    expected = loops(x, w, pair(case.strides), sides)
    close(jax.jit(ours("conv", case, FORMS[form]))(x, w), expected)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", CASES)
def test_the_transposed_one_puts_zeros_between_the_pixels(name, form):
    case = CASES[name]
    x, w = drawn(case)
    if isinstance(case.padding, str):
        sides = []
        for k, step in zip(pair(case.kernel), pair(case.strides), strict=True):
            # The result has size·stride pixels, or, where the kernel is larger, all that it touches.
            touched = k - step if case.padding == "VALID" and k > step else 0
            before = k - 1 if case.padding == "VALID" or step > k - 1 else -(-(k + step - 2) // 2)
            sides.append((before, k + step - 2 + touched - before))
    else:
        sides = [pair(side) for side in pair(case.padding)]
    expected = loops_transposed(x, w, pair(case.strides), sides)
    if case.padding == "SAME":
        assert expected.shape[1:3] == tuple(np.multiply(case.size, pair(case.strides)))
    close(jax.jit(ours("transposed", case, FORMS[form]))(x, w), expected)


@pytest.mark.parametrize("mode", ["SAME", "VALID"])
def test_it_is_scipys_correlation(mode):
    x, w = drawn(Case((7, 9), (3, 5), 1, mode), c=1, o=1)
    kernel = np.float64(w[..., 0, 0])
    expected = [signal.correlate2d(one[..., 0], kernel, mode.lower())[..., None] for one in np.float64(x)]
    for form in FORMS.values():
        close(convolve(x, w, padding=mode, form=form), np.stack(expected))


def test_a_transposed_convolution_of_one_pixel_is_the_kernel_turned_round():
    w = draw(3, 4, 1, 2)
    for form in FORMS.values():
        up = convolve_transposed(jnp.ones((1, 1, 1, 1)), w, padding="VALID", form=form)
        np.testing.assert_array_equal(up[0], w[::-1, ::-1, 0])


@pytest.mark.parametrize("n", [0, 1])
def test_few_examples(n):
    x, w = jnp.ones((n, 5, 5, C)), jnp.asarray(draw(3, 3, C, OUT))
    for form in FORMS.values():
        slope = jax.grad(lambda w, form=form: convolve(x, w, strides=2, form=form).sum())(w)
        assert convolve(x, w, strides=2, form=form).shape == (n, 3, 3, OUT)
        assert slope.shape == w.shape and bool(slope.any()) == bool(n)


# Flax's modules

MODULES = {"conv": (Conv, nn.Conv), "transposed": (ConvTranspose, nn.ConvTranspose)}


@pytest.mark.parametrize("name", [*HARD, "same", "one"])
@pytest.mark.parametrize("kind", MODULES)
def test_it_is_flaxs_module_and_so_is_its_slope(kind, name):
    case = CASES[name]
    x = drawn(case)[0]
    mine, flaxs = (
        module(OUT, pair(case.kernel), strides=pair(case.strides), padding=case.padding) for module in MODULES[kind]
    )
    variables, own = (jax.eval_shape(module.init, jax.random.key(1), x) for module in (flaxs, mine))
    assert variables == own
    variables = jax.tree.map(lambda leaf: draw(*leaf.shape, seed=3), variables)

    def values(module):
        def value(variables, x):
            y = module.apply(variables, x)
            return (jnp.sin(y) * draw(*y.shape, seed=2)).sum(), y

        return jax.grad(value, (0, 1), has_aux=True)

    modules = [flaxs, *(mine.clone(form=form) for form in FORMS.values())]
    expected, *got = jax.jit(lambda *args: [values(module)(*args) for module in modules])(variables, x)
    for one in got:
        close(one, expected)


@pytest.mark.parametrize(("mine", "flaxs"), MODULES.values())
def test_what_is_drawn_by_default_and_otherwise(mine, flaxs):
    x = jnp.asarray(draw(N, 5, 5, C))
    pairs = [module(OUT, (3, 3)).init(jax.random.key(1), x) for module in (mine, flaxs)]
    jax.tree.map(np.testing.assert_array_equal, *pairs)
    fields = {"use_bias": False, "kernel_init": nn.initializers.normal(3.0)}
    pairs = [module(OUT, (3, 3), **fields).init_with_output(jax.random.key(0), x) for module in (mine, flaxs)]
    jax.tree.map(np.testing.assert_array_equal, pairs[0][1], pairs[1][1])
    assert list(pairs[0][1]["params"]) == ["kernel"]
    close(pairs[0][0], pairs[1][0])
    variables = mine(OUT, 3, bias_init=nn.initializers.constant(2.0)).init(jax.random.key(0), x)
    np.testing.assert_array_equal(variables["params"]["bias"], [2, 2, 2])


# further derivatives


def further(f: Callable[..., jax.Array], seed: int = 0) -> Callable[..., Any]:
    """Return the slope of the size of the slope of a curved function of a convolution."""

    def value(x, w):
        y = f(x, w)
        return (y**3 * draw(*y.shape, seed=seed)).sum()

    def size(x, w):
        by_x, by_w = jax.grad(value, (0, 1))(x, w)
        return (by_x**2).sum() + (by_w**3).sum()

    return jax.grad(size, (0, 1))


@pytest.mark.parametrize("name", HARD)
@pytest.mark.parametrize("kind", TWO)
def test_the_second_derivatives_are_those_of_xlas_own_convolution(kind, name):
    case = CASES[name]
    functions = [native_autodiff(kind, case), *(ours(kind, case, form) for form in FORMS.values())]
    expected, *got = jax.jit(lambda x, w: [further(f)(x, w) for f in functions])(*drawn(case))
    for one in got:
        close(one, expected, 1e-4)


@pytest.mark.parametrize("kind", TWO)
def test_the_third_derivative(kind):
    case = Case((4, 5), (3, 2), 2, "SAME")
    functions = [native_autodiff(kind, case), *(ours(kind, case, form) for form in FORMS.values())]

    def third(f):
        return jax.grad(lambda x, w: sum((leaf**2).sum() for leaf in further(f)(x, w)), (0, 1))

    expected, *got = jax.jit(lambda x, w: [third(f)(x, w) for f in functions])(*drawn(case))
    for one in got:
        close(one, expected, 1e-4)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", TWO)
def test_numerical_slopes_of_slopes(kind, form):
    case = Case((4, 3), 2, (2, 1), ((1, 0), (0, 1)))
    with jax.enable_x64(True):
        check_grads(jax.jit(ours(kind, case, FORMS[form])), drawn(case, 1, 2, np.float64), order=2, modes=["rev"])


def critic(layer: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    def logits(params, x):
        for kernel in params[:-1]:
            x = nn.tanh(layer(x, kernel))
        return x.reshape(len(x), -1) @ params[-1]

    return logits


@pytest.mark.parametrize("form", FORMS)
def test_the_slope_of_a_gradient_penalty(form):
    """What a Wasserstein critic descends: a slope through a slope, of two layers, by their kernels."""
    x = jnp.asarray(draw(N, 8, 8, 1))
    params = [jnp.asarray(draw(3, 3, 1, 4)), jnp.asarray(draw(4, 4, 4, 3)), jnp.asarray(draw(12))]
    layers = [
        lambda x, w: convolve(x, w, strides=2, padding=1, form=FORMS[form]),
        lambda x, w: lax.conv_general_dilated(x, w, (2, 2), ((1, 1),) * 2, dimension_numbers=DIMENSIONS),
    ]

    def slope(layer):
        return jax.grad(lambda params: gradient_penalty(functools.partial(critic(layer), params), x).mean())

    got, expected = jax.jit(lambda params: [slope(layer)(params) for layer in layers])(params)
    assert all(np.abs(leaf).max() > 1e-3 for leaf in expected)
    close(got, expected, 1e-4)


@pytest.mark.parametrize("kind", TWO)
def test_forward_mode_is_refused_by_jax(kind):
    x, w = drawn(CASES["plain"])
    f = ours(kind, CASES["plain"])
    with pytest.raises(TypeError, match="forward-mode"):
        jax.jvp(lambda x: f(x, w), (x,), (x,))
    with pytest.raises(TypeError, match="forward-mode"):
        jax.jacfwd(lambda w: f(x, w))(w)


# laws

ODD = st.tuples(st.integers(1, 7), st.integers(1, 7))
SMALL = st.tuples(st.integers(1, 4), st.integers(1, 4))
SIDE = st.tuples(st.integers(-1, 4), st.integers(-1, 4))


def dot(a: Any, b: Any) -> float:
    assert a.shape == b.shape
    return float((np.float64(a) * np.float64(b)).sum())


@few
@given(ODD, SMALL, SMALL, st.one_of(st.tuples(SIDE, SIDE), st.sampled_from(["SAME", "VALID"])), st.booleans())
def test_the_three_functions_of_a_form_are_each_others_transposes(size, kernel, strides, padding, upwards):
    try:
        geometry = (transposed if upwards else strided)(size, kernel, strides, padding)
    except ValueError:
        return
    x, y = jnp.asarray(draw(N, *geometry.large, C)), jnp.asarray(draw(N, *geometry.small, OUT, seed=1))
    w = jnp.asarray(draw(*kernel, C, OUT, seed=2))

    # XLA's CPU compiler aborts on some slopes of its own convolution where the two strides differ.
    forms = FORMS.values() if strides[0] == strides[1] else [gemm]

    @jax.jit
    def all_of_them(x, w, y):
        return [
            (form.correlate(x, w, geometry), form.spread(y, w, geometry), form.weigh(x, y, geometry)) for form in forms
        ]

    for correlated, spread, weighed in all_of_them(x, w, y):
        three = [dot(correlated, y), dot(x, spread), dot(w, weighed)]
        # Sums of up to a few thousand products of numbers around 1.
        np.testing.assert_allclose(three, three[0], rtol=1e-4, atol=1e-3)


@few
@given(ODD, SMALL, SMALL, st.tuples(st.integers(0, 3), st.integers(0, 3)))
def test_a_mirrored_transposed_convolution_is_the_transpose_and_has_the_size(size, kernel, strides, padding):
    axes = list(zip(size, kernel, strides, padding, strict=True))
    if any(n + 2 * p < k or p >= k for n, k, _, p in axes):
        return
    x, w = jnp.asarray(draw(N, *size, C)), jnp.asarray(draw(*kernel, C, OUT))
    back = [mirrored(k, s, p, (n + 2 * p - k) % s) for n, k, s, p in axes]

    @jax.jit
    def both(x, w):
        down = convolve(x, w, strides=strides, padding=[(p, p) for p in padding])
        y = draw(*down.shape, seed=1)
        return down, y, convolve_transposed(y, w[::-1, ::-1].transpose(0, 1, 3, 2), strides=strides, padding=back)

    down, y, up = both(x, w)
    np.testing.assert_allclose(dot(x, up), dot(down, y), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", TWO)
def test_it_is_linear_in_the_image_and_in_the_kernel(kind, form):
    case = CASES["uneven"]
    f = jax.jit(ours(kind, case, FORMS[form]))
    (x, w), (a, b) = drawn(case), (jnp.asarray(draw(N, *case.size, C, seed=5)), jnp.asarray(draw(3, 5, C, OUT, seed=6)))
    close(f(2 * x - a, w), 2 * f(x, w) - f(a, w))
    close(f(x, 2 * w - b), 2 * f(x, w) - f(x, b))


def test_an_image_does_not_know_its_neighbours():
    x, w = draw(6, 7, 7, C), draw(3, 3, C, OUT)
    others = 1 - x
    others[2:4] = x[2:4]
    for form in FORMS.values():
        f = jax.jit(lambda x, form=form: convolve(x, w, strides=2, form=form))
        np.testing.assert_array_equal(f(x)[2:4], f(others)[2:4])


# transforms


@pytest.mark.parametrize(
    ("kind", "form"), [("conv", gemm), ("conv", native), ("transposed", best)], ids=["gemm", "native", "best"]
)
def test_vmap_is_a_loop(kind, form):
    f = ours(kind, Case((5, 6), 3, 2, 1), form)
    x, w = jnp.asarray(draw(3, N, 5, 6, C)), jnp.asarray(draw(2, 3, 3, C, OUT))

    def slopes(x, w):
        return f(x, w), jax.grad(lambda x, w: (f(x, w) ** 2).sum(), (0, 1))(x, w)

    one = jax.jit(slopes)

    def stacked(parts):
        return jax.tree.map(lambda *leaves: np.stack(leaves), *parts)

    close(jax.jit(jax.vmap(slopes, (0, None)))(x, w[0]), stacked([one(each, w[0]) for each in x]))
    close(jax.jit(jax.vmap(slopes, (None, 0)))(x[0], w), stacked([one(x[0], each) for each in w]))
    close(jax.jit(jax.vmap(slopes))(x[:2], w), stacked([one(x[i], w[i]) for i in range(2)]))
    nested = jax.jit(jax.vmap(jax.vmap(slopes, (0, None)), (None, 0)))(x, w)
    close(nested, stacked([stacked([one(each, kernel) for each in x]) for kernel in w]))


def test_a_gradient_for_every_example_is_a_loop_of_gradients():
    x, w = jnp.asarray(draw(3, 6, 6, C)), jnp.asarray(draw(3, 3, C, OUT))
    slope = jax.grad(lambda w, x: (convolve(x[None], w, strides=2) ** 2).sum())
    one = jax.jit(slope)
    close(jax.jit(jax.vmap(slope, (None, 0)))(w, x), jnp.stack([one(w, each) for each in x]))


@pytest.mark.parametrize("form", FORMS)
def test_a_loop_and_rematerialisation_change_nothing(form):
    x, w = jnp.asarray(draw(3, N, 5, 5, C)), jnp.asarray(draw(3, 3, C, C))

    def layer(h, w):
        return nn.tanh(convolve(h, w, form=FORMS[form]) + convolve_transposed(h, w, form=FORMS[form]))

    def scanned(w, layer):
        return (lax.scan(lambda h, x: (layer(h + x, w), None), x[0], x)[0] ** 2).sum()

    def unrolled(w):
        h = x[0]
        for each in x:
            h = layer(h + each, w)
        return (h**2).sum()

    functions = [unrolled, lambda w: scanned(w, layer), lambda w: scanned(w, jax.checkpoint(layer))]
    expected, *got = jax.jit(lambda w: [jax.value_and_grad(f)(w) for f in functions])(w)
    for one in got:
        close(one, expected)


def mesh() -> Any:
    return jax.make_mesh((2,), ("shard",), axis_types=(AxisType.Auto,))


@pytest.mark.parametrize("form", [native, best], ids=["native", "best"])
@pytest.mark.parametrize("kind", TWO)
def test_shards_of_a_batch(kind, form):
    x, w = jnp.asarray(draw(4, 5, 5, C)), jnp.asarray(draw(3, 3, C, OUT))

    def value(x, w):
        return (TWO[kind](x, w, strides=2, padding=1, form=form) ** 2).sum((1, 2, 3))

    def slope(x, w):
        return jax.grad(lambda w: value(x, w).sum())(w)[None]

    split, whole = PartitionSpec("shard"), PartitionSpec()

    def over_shards(f, **options):
        return jax.jit(jax.shard_map(f, mesh=mesh(), in_specs=(split, whole), out_specs=split, **options))

    def both(x, w):
        return value(x, w), slope(x, w)

    halves = [jax.jit(both)(half, w) for half in (x[:2], x[2:])]
    close(over_shards(both, check_vma=False)(x, w), tuple(map(jnp.concatenate, zip(*halves, strict=True))))
    # The slope by what all shards share would be a sum over shards; it is refused rather than wrong.
    with pytest.raises((TypeError, ValueError), match="type"):
        over_shards(slope)(x, w)


def test_a_donated_state_is_trained_in_place():
    x = jnp.asarray(draw(N, 5, 5, C))
    descend = jax.jit(lambda w: w - 0.1 * jax.grad(lambda w: (convolve(x, w) ** 2).mean())(w), donate_argnums=0)
    w = jnp.asarray(draw(3, 3, C, OUT))
    expected = descend(w.copy())
    np.testing.assert_array_equal(descend(w), expected)
    assert w.is_deleted()


@pytest.mark.parametrize("form", [*FORMS.values(), best], ids=[*FORMS, "best"])
def test_dtypes_stay(form):
    x, w = drawn(CASES["uneven"])
    for kind in TWO:
        f = jax.jit(ours(kind, CASES["uneven"], form))
        halves = x.astype(jnp.bfloat16), w.astype(jnp.bfloat16)
        full, half = f(x, w), f(*halves)
        slopes = jax.eval_shape(jax.grad(lambda x, w, f=f: f(x, w).sum(), (0, 1)), *halves)
        assert {half.dtype, slopes[0].dtype, slopes[1].dtype} == {jnp.dtype(jnp.bfloat16)}
        # 8 bits of mantissa.
        np.testing.assert_allclose(np.float32(half), full, rtol=0.05, atol=0.02 * float(jnp.abs(full).max()))
        with jax.enable_x64(True):
            args = drawn(CASES["uneven"], dtype=np.float64)
            wide = f(*args)
            assert wide.dtype == np.float64
            close(wide, jax.jit(native_autodiff(kind, CASES["uneven"]))(*args), 1e-14)


@pytest.mark.parametrize("form", [*FORMS.values(), best], ids=[*FORMS, "best"])
def test_of_two_dtypes_the_wider_counts_in_every_form(form):
    """`gemm` would take them as they are and XLA's convolution would not: a program that fails on another device."""
    x, w = drawn(CASES["plain"])
    half = x.astype(jnp.bfloat16)
    for kind in TWO:
        f = jax.jit(ours(kind, CASES["plain"], form))
        assert f(half, w).dtype == np.float32
        close(f(half, w), f(half.astype(np.float32), w), 1e-6)
        slope = jax.eval_shape(jax.grad(lambda x, f=f: f(x, w).sum()), half)
        assert slope.dtype == jnp.bfloat16
    variables = nn.Conv(OUT, (3, 3)).init(jax.random.key(0), x)
    out = [jax.eval_shape(module.apply, variables, half) for module in (Conv(OUT, 3, form=form), nn.Conv(OUT, (3, 3)))]
    assert out[0] == out[1]


@pytest.mark.parametrize("module", [Conv(OUT, 3), Conv(OUT, 3, strides=2), ConvTranspose(OUT, 3), ResizeConv(OUT, 3)])
def test_host_arrays_of_doubles_are_taken_as_jax_takes_them(module):
    x = draw(N, 5, 5, C, dtype=np.float64)
    y, variables = module.init_with_output(jax.random.key(0), x)
    assert {leaf.dtype for leaf in jax.tree.leaves((y, variables))} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(y, module.apply(variables, jnp.asarray(x, np.float32)))


def test_planes_of_doubles_are_taken_too():
    x, planes = draw(N, 5, 5, C, dtype=np.float64), draw(N, 2, dtype=np.float64)
    assert Conv(OUT, 3).init_with_output(jax.random.key(0), x, planes)[0].dtype == np.float32


def test_a_program_makes_no_host_transfer_nor_while_it_is_compiled():
    x, key = jnp.asarray(draw(N, 6, 6, C)), jax.random.key(0)
    planes = jnp.asarray(draw(N, 2))
    modules = [Conv(3, 3, strides=2), ConvTranspose(3, 4, strides=2), ResizeConv(3, 3), ResizeConv(2, 3, scale=3)]

    @jax.jit
    def run(key, x, planes):
        def value(params, module, *args):
            return (module.apply(params, *args) ** 2).mean()

        keys = jax.random.split(key, 5)
        slopes = [
            jax.grad(value)(module.init(own, x), module, x) for own, module in zip(keys[1:], modules, strict=True)
        ]
        conv = Conv(2, 3, strides=2, padding=1)
        return [*slopes, jax.grad(value)(conv.init(keys[0], x, planes), conv, x, planes)]

    jax.block_until_ready((x, key, planes))
    with jax.transfer_guard("disallow"):
        out = jax.block_until_ready(run(key, x, planes))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(out))


# programs


def program(kind: str, platform: str, form: Any, case: Case = CASES["uneven"], order: int = 1) -> str:
    """Return the text of the first (or second) derivative, lowered for a platform that need not be here."""
    slope = jax.grad(lambda x, w: (ours(kind, case, form)(x, w) ** 3).sum(), (0, 1))
    if order == 2:
        slope = further(ours(kind, case, form))
    return jax.jit(slope).trace(*drawn(case)).lower(lowering_platforms=(platform,)).as_text()


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("name", ["uneven", "tiles", "tiles and a rest", "gaps"])
@pytest.mark.parametrize("kind", TWO)
def test_products_of_matrices_have_slopes_without_scatter_or_convolution(kind, name, order):
    text = program(kind, "cpu", gemm, CASES[name], order)
    assert "stablehlo.dot_general" in text
    assert not re.findall(r"scatter|stablehlo\.convolution|lhs_dilat", text)


def test_nor_does_the_compiled_program_of_a_loop_have_any(optimised):
    x, w = drawn(CASES["uneven"])

    def descend(w, _):
        return w - 0.1 * jax.grad(lambda w: (ours("transposed", CASES["uneven"])(x, w) ** 2).mean())(w), None

    text = jax.jit(lambda w: lax.scan(descend, w, length=3)[0]).lower(w).compile().as_text()
    assert "while" in text and "dot(" in text + text.replace("custom-call", "dot(")
    assert not re.findall(r"scatter|convolution\(|lhs_dilat|conditional", text)


@pytest.mark.parametrize("kind", TWO)
def test_the_best_form_is_chosen_when_a_program_is_lowered(kind):
    """Of every platform by name, since a GPU need not be here."""
    here, there, tpu = (program(kind, platform, best, order=2) for platform in ("cpu", "cuda", "tpu"))
    assert not re.findall(r"scatter|stablehlo\.convolution", here) and "stablehlo.dot_general" in here
    for text in (there, tpu):
        assert "stablehlo.convolution" in text
        assert not re.findall(r"scatter|gather|stablehlo\.dot_general", text)


def test_an_exported_program_holds_the_form_of_its_platform():
    shapes = [jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in drawn(CASES["plain"])]
    exported = jax.export.export(jax.jit(convolve), platforms=["cuda"])(*shapes)
    assert "stablehlo.convolution" in exported.mlir_module()


def test_native_text_would_be_found():
    assert "stablehlo.convolution" in program("conv", "cpu", native)
    scattered = jax.jit(jax.grad(lambda x: x[np.array([0, 0])].sum())).lower(jnp.ones(3)).as_text()
    assert "scatter" in scattered


# resizing


@pytest.mark.parametrize("size", [(8, 10), (5, 17), (1, 1), (3, 2), (2, 13)])
def test_resizing_is_jaxs_and_so_is_its_slope(size):
    x, weight = jnp.asarray(draw(N, 4, 5, C)), jnp.asarray(draw(N, *size, C, seed=1))

    def theirs(x):
        return jax.image.resize(x, (N, *size, C), "bilinear", antialias=False)

    def with_slope(f):
        return lambda x: (f(x), jax.grad(lambda x: (f(x) * weight).sum())(x))

    both = jax.jit(lambda x: (with_slope(lambda x: resize(x, size))(x), with_slope(theirs)(x)))(x)
    close(both[0], both[1], 1e-5)


@pytest.mark.parametrize(("size", "channels"), [((8, 10), 1), ((7, 13), 3), ((2, 3), 3), ((9, 2), 1), ((8, 10), 40)])
def test_with_aligned_corners_it_is_scipys(size, channels):
    x = draw(N, 4, 5, channels)
    zoom = (1, size[0] / 4, size[1] / 5, 1)
    expected = ndimage.zoom(np.float64(x), zoom, order=1, grid_mode=False)
    close(resize(jnp.asarray(x), size, align_corners=True), expected, 1e-5)
    if min(size) > 1:
        corners = np.ix_(range(N), (0, -1), (0, -1), range(channels))
        np.testing.assert_allclose(expected[corners], x[corners], rtol=1e-6)


@pytest.mark.parametrize(("small", "large"), [(1, 4), (1, 1), (3, 1), (2, 7), (5, 3), (5, 5)])
@pytest.mark.parametrize("align_corners", [False, True])
def test_it_interpolates_at_the_places_that_it_says(small, large, align_corners):
    row = draw(small)
    if align_corners:
        places = np.arange(large) * ((small - 1) / (large - 1) if large > 1 else 0)
    else:
        places = (np.arange(large) + 0.5) * small / large - 0.5
    expected = np.interp(places, np.arange(small), row)
    across = resize(jnp.asarray(row)[None, None, :, None], (1, large), align_corners=align_corners)
    down = resize(jnp.asarray(row)[None, :, None, None], (large, 1), align_corners=align_corners)
    np.testing.assert_allclose(across[0, 0, :, 0], expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(down[0, :, 0, 0], expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("align_corners", [False, True])
def test_a_flat_image_stays_flat_and_the_same_size_changes_nothing(align_corners):
    flat = resize(jnp.full((1, 3, 4, 1), 0.7), (11, 9), align_corners=align_corners)
    np.testing.assert_allclose(flat, np.full((1, 11, 9, 1), 0.7), rtol=1e-6)
    x = jnp.asarray(draw(N, 4, 5, C))
    np.testing.assert_array_equal(resize(x, (4, 5), align_corners=align_corners), x)


def test_resizing_keeps_the_dtype():
    x = jnp.asarray(draw(N, 3, 3, C))
    assert resize(x.astype(jnp.bfloat16), 5).dtype == jnp.bfloat16
    with jax.enable_x64(True):
        assert resize(draw(N, 3, 3, C, dtype=np.float64), 5).dtype == np.float64


RESIZED = {
    "twice": ((4, 5), (8, 10), 3, "SAME"),
    "three times": ((3, 2), (9, 6), (3, 5), 2),
    "not whole": ((4, 5), (7, 5), (2, 3), "VALID"),
    "uneven": ((3, 4), (6, 8), (4, 3), ((0, 2), (3, 1))),
    "cut": ((4, 4), (8, 8), 3, ((-1, 2), (1, -1))),
    "one axis": ((4, 4), (3, 9), 3, 1),
    "pixel": ((1, 1), (4, 4), 3, 1),
    "one tap": ((3, 4), (6, 8), 1, 0),
    "as it is": ((4, 5), (4, 5), 3, 1),
    "shrunk": ((6, 7), (3, 4), 3, 1),
}


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("name", RESIZED)
def test_resizing_and_convolving_may_change_places(name, align_corners):
    old, size, kernel, padding = RESIZED[name]
    x, w = jnp.asarray(draw(N, *old, C)), jnp.asarray(draw(*pair(kernel), C, OUT, seed=1))

    def in_order(x, w):
        return convolve(resize(x, size, align_corners=align_corners), w, padding=padding)

    def in_one(x, w):
        return resize_convolve(x, w, size=size, padding=padding, align_corners=align_corners)

    def with_slopes(f):
        return f(x, w), jax.grad(lambda x, w: (f(x, w) ** 2).sum(), (0, 1))(x, w)

    got, expected = jax.jit(lambda: (with_slopes(in_one), with_slopes(in_order)))()
    close(got, expected)


def test_forty_channels_are_mixed_as_one_is():
    """Products of slim matrices are computed in another way than those of wide ones."""
    x, w = jnp.asarray(draw(N, 3, 4, 40)), jnp.asarray(draw(3, 3, 40, 5, seed=1))
    close(resize_convolve(x, w, size=(6, 8)), convolve(resize(x, (6, 8)), w))
    one = jnp.concatenate([resize(x[..., i : i + 1], (6, 8)) for i in (0, 17, 39)], -1)
    x = x[..., np.array([0, 17, 39] * 12)]
    one = jnp.tile(one, 12)
    close(resize(x, (6, 8)), one, 1e-6)


def test_second_and_forward_derivatives_of_a_grown_image():
    x, w = jnp.asarray(draw(N, 3, 4, C)), jnp.asarray(draw(3, 3, C, OUT))
    expected = further(lambda x, w: convolve(resize(x, (6, 8)), w))
    got = further(lambda x, w: resize_convolve(x, w, size=(6, 8)))
    close(*jax.jit(lambda: (got(x, w), expected(x, w)))(), 1e-4)
    slope = jax.jvp(lambda x: resize_convolve(x, w, size=(6, 8)), (x,), (x,))[1]
    close(slope, resize_convolve(x, w, size=(6, 8)))


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("scale", [1, 2, (3, 2)])
def test_the_resize_module_is_the_two_functions_with_flaxs_parameters(scale, align_corners):
    x = jnp.asarray(draw(N, 4, 5, C))
    module = ResizeConv(OUT, 3, scale=scale, align_corners=align_corners)
    variables = module.init(jax.random.key(0), x)
    jax.tree.map(np.testing.assert_array_equal, variables, nn.Conv(OUT, (3, 3)).init(jax.random.key(0), x))
    variables["params"]["bias"] = jnp.arange(3.0)
    size = tuple(np.multiply(x.shape[1:3], scale).tolist())
    expected = nn.Conv(OUT, (3, 3)).apply(variables, resize(x, size, align_corners=align_corners))
    out = jax.jit(module.apply)(variables, x)
    assert out.shape == (N, *size, OUT)
    close(out, expected)


@pytest.mark.parametrize(("kernel", "padding", "more"), [(3, 1, 0), (5, 2, 0), (4, 1, -1), (3, "VALID", -2), (1, 2, 4)])
def test_the_resize_modules_sizes(kernel, padding, more):
    module = ResizeConv(OUT, kernel, padding=padding)
    out = jax.eval_shape(lambda: module.init_with_output(jax.random.key(0), jnp.ones((N, 3, 6, C)))[0])
    assert out.shape == (N, 6 + more, 12 + more, OUT)


# planes


@pytest.mark.parametrize("name", ["plain", "same", "valid", "uneven", "wide"])
def test_planes_are_further_channels(name):
    case = CASES[name]
    x, planes = jnp.asarray(draw(N, *case.size, C)), jnp.asarray(draw(N, 4, seed=1))
    conv = Conv(OUT, case.kernel, strides=case.strides, padding=case.padding)

    def joined(variables, x, planes):
        constant = jnp.broadcast_to(planes[:, None, None], (N, *case.size, 4))
        return conv.apply(variables, jnp.concatenate([x, constant], -1))

    variables = jax.eval_shape(conv.init, jax.random.key(0), x, planes)
    assert variables == jax.eval_shape(conv.init, jax.random.key(0), jnp.zeros((N, *case.size, C + 4)))
    variables = jax.tree.map(lambda leaf: draw(*leaf.shape, seed=3), variables)

    def with_slopes(f):
        def value(*args):
            y = f(*args)
            return (y**2 * draw(*y.shape, seed=2)).sum(), y

        return jax.grad(value, (0, 1, 2), has_aux=True)

    both = jax.jit(lambda *args: [with_slopes(f)(*args) for f in (conv.apply, joined)])(variables, x, planes)
    close(*both)


def test_planes_alone_and_no_planes():
    conv, x, planes = Conv(OUT, 3, strides=2), jnp.asarray(draw(N, 5, 5, C)), jnp.asarray(draw(N, 4))
    out, variables = conv.init_with_output(jax.random.key(0), x, planes[:, :0])
    plain, unfolded = conv.init_with_output(jax.random.key(0), x)
    jax.tree.map(np.testing.assert_array_equal, (out, variables), (plain, unfolded))
    out, variables = conv.init_with_output(jax.random.key(0), x[..., :0], planes)
    constant = jnp.broadcast_to(planes[:, None, None], (N, 5, 5, 4))
    unfolded, expected = conv.init_with_output(jax.random.key(0), constant)[::-1]
    jax.tree.map(np.testing.assert_array_equal, variables, unfolded)
    close(out, expected)


def test_planes_are_never_made():
    conv, x, planes = Conv(OUT, 6, strides=2, padding=0), jnp.ones((N, 28, 28, 1)), jnp.ones((N, 10))
    variables = conv.init(jax.random.key(0), x, planes)
    text = jax.jit(conv.apply).lower(variables, x, planes).as_text()
    assert not re.findall(rf"tensor<{N}x28x28x1[01]x|tensor<{12 * 12 * N}x{36 * 11}x", text)


@pytest.mark.parametrize("shape", [(N,), (1, 4), (N + 1, 4), (N, 4, 1), ()])
def test_planes_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"planes has shape .*, but must be \(n, m\), a number for each example"):
        Conv(OUT, 3).init(jax.random.key(0), jnp.ones((N, 5, 5, C)), jnp.ones(shape))


# errors

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "convolve": convolve,
    "transposed": convolve_transposed,
    "resize and convolve": lambda x, w, **options: resize_convolve(x, w, size=8, **options),
    "resize and convolve down": lambda x, w, **options: resize_convolve(x, w, size=2, **options),
}
LAYERS = {"Conv": Conv, "ConvTranspose": ConvTranspose, "ResizeConv": ResizeConv}


@pytest.mark.parametrize("shape", [(5, 5), (5, 5, 2), (1, 1, 5, 5, 2), ()])
def test_what_are_no_images_is_refused(shape):
    said = r"x has shape .*, but must hold images \(n, height, width, channels\): give x\[\.\.\., None\]"
    for f in FUNCTIONS.values():
        with pytest.raises(ValueError, match=said):
            f(jnp.ones(shape), jnp.ones((3, 3, 2, 2)))
    for layer in LAYERS.values():
        with pytest.raises(ValueError, match=said):
            layer(OUT, 3).init(jax.random.key(0), jnp.ones(shape))
    with pytest.raises(ValueError, match=said):
        resize(jnp.ones(shape), 3)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, bool])
def test_what_are_no_floats_is_refused(dtype):
    """An interpolation in whole numbers would be black, and a kernel of them all zeros."""
    x = jnp.ones((N, 5, 5, 2), dtype)
    said = rf"x holds {np.dtype(dtype).name}, but must hold floats: write x\.astype\(np\.float32\)"
    for f in FUNCTIONS.values():
        with pytest.raises(TypeError, match=said):
            f(x, jnp.ones((3, 3, 2, 2)))
    for layer in LAYERS.values():
        with pytest.raises(TypeError, match=said):
            layer(OUT, 3).init(jax.random.key(0), x)
    with pytest.raises(TypeError, match=said):
        resize(x, 3)


@pytest.mark.parametrize("f", FUNCTIONS.values(), ids=FUNCTIONS)
def test_kernels_that_do_not_fit_are_refused(f):
    x = jnp.ones((N, 5, 5, 2))
    with pytest.raises(ValueError, match=r"kernel has shape \(3, 3, 2\), but must be \(height, width, channels in"):
        f(x, jnp.ones((3, 3, 2)))
    with pytest.raises(ValueError, match=r"x has 2 channels and kernel takes 5: channels come last, x\.transpose"):
        f(x, jnp.ones((3, 3, 5, 2)))


@pytest.mark.parametrize(
    "padding",
    [
        *(1.5, (1.5, 1), ((1.5, 1), (1, 1)), ((1, 1, 1), (1, 1)), [(1, 2)], (), (1, 1, 1), "same", "CIRCULAR", None),
        *(("SAME", "VALID"), True, (True, 1), ((True, 1), (1, 1)), (None, 1), ((1,), 1), np.ones((2, 2), int)),
    ],
    ids=repr,
)
@pytest.mark.parametrize("f", FUNCTIONS.values(), ids=FUNCTIONS)
def test_impossible_paddings_are_refused(f, padding):
    with pytest.raises(
        ValueError, match=r"(?s)padding is .*, but must be 'SAME', 'VALID', a whole number, or \(before,"
    ):
        f(jnp.ones((N, 5, 5, 2)), jnp.ones((3, 3, 2, 2)), padding=padding)


@pytest.mark.parametrize("padding", [[1, 2], (1, 2), (np.int64(1), 2), [(1, 1), (2, 2)], ((1, 1), 2)])
def test_one_padding_may_be_written_in_many_ways(padding):
    x, w = drawn(CASES["plain"])
    for f in FUNCTIONS.values():
        for written, meant in [(padding, ((1, 1), (2, 2))), (np.int64(1), 1)]:
            programs = [jax.make_jaxpr(functools.partial(f, padding=sides))(x, w) for sides in (written, meant)]
            assert str(programs[0]) == str(programs[1])


@pytest.mark.parametrize(
    ("strides", "error"),
    [
        *((0, ValueError), (-1, ValueError), ((2,), ValueError), ((1, 2, 3), ValueError), ("2", ValueError)),
        *((1.5, TypeError), (True, TypeError), (None, TypeError), ((1, 2.0), TypeError)),
    ],
)
def test_impossible_strides_and_sizes_are_refused(strides, error):
    x, w = drawn(CASES["plain"])
    for f in TWO.values():
        with pytest.raises(error, match=r"strides is .*, but must be (a whole number ≥ 1|one number or two)"):
            f(x, w, strides=strides)
    with pytest.raises(error, match=r"size is .*, but must be (a whole number ≥ 1|one number or two)"):
        resize(x, strides)
    for layer in LAYERS.values():
        with pytest.raises(error, match=r"kernel_size is .*, but must be (a whole number ≥ 1|one number or two)"):
            layer(OUT, strides).init(jax.random.key(0), x)
    with pytest.raises(error, match=r"scale is .*, but must be (a whole number ≥ 1|one number or two)"):
        ResizeConv(OUT, 3, scale=strides).init(jax.random.key(0), x)


@pytest.mark.parametrize(("features", "error"), [(0, ValueError), (1.5, TypeError), (True, TypeError)])
@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
def test_impossible_features_are_refused(layer, features, error):
    with pytest.raises(error, match=f"features is {features}, but must be a whole number ≥ 1"):
        layer(features, 3).init(jax.random.key(0), jnp.ones((N, 5, 5, C)))


def test_a_kernel_larger_than_the_image_is_refused():
    with pytest.raises(ValueError, match=r"image of width 5 with 2 pixels of padding is smaller than the kernel, 8: "):
        convolve(jnp.ones((N, 9, 5, 1)), jnp.ones((8, 8, 1, 1)), padding=1)
    with pytest.raises(ValueError, match=r"of height 2 with kernel 4, stride 1 and padding \(0, 0\) leaves -1 pixels"):
        convolve_transposed(jnp.ones((N, 2, 9, 1)), jnp.ones((4, 4, 1, 1)), padding=0)
    assert strided((9, 6), 8, 1, 1).small == (4, 1)
    assert transposed((2, 9), 4, 1, ((1, 1), 0)).large == (1, 6)


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ((2.5, 2, 1), TypeError, r"kernel is 2\.5"),
        ((3, 0, 1), ValueError, "stride is 0"),
        ((3, 2, -1), ValueError, "padding is -1"),
        ((3, 2, 1, 2), ValueError, "output_padding is 2, but must be a whole number from 0 to 1, less than the stride"),
    ],
)
def test_what_cannot_be_mirrored(given, error, words):
    with pytest.raises(error, match=words):
        mirrored(*given)
