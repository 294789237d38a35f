"""Each function of the pages on recipes and masks is right on data where a simpler way is not.

They are compared with NumPy in float64, and with the libraries that the tables name.
"""

import ast
import re
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pages import PAGES, ROOT, assert_is_chart, python_in
from processes import run_python
from scipy import ndimage

import jaxpool

PAGE = PAGES["docs/recipes.md"]


def functions_of(page):
    """What the page defines and imports."""
    tree = ast.parse("\n".join(python_in(PAGES[page])))
    kinds = ast.Import, ast.ImportFrom, ast.FunctionDef
    tree.body = [node for node in tree.body if isinstance(node, kinds)]
    names = {}
    exec(compile(tree, page, "exec"), names)
    return SimpleNamespace(**names)


recipes, masks = functions_of("docs/recipes.md"), functions_of("docs/masks.md")


def rows(header):
    """The cells of the table that begins with `header`, without their backticks."""
    (table,) = re.findall(rf"^\| {header}.*\n\|[-|]+\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    return [re.split(r" \| ", row.strip("| ").replace("`", "")) for row in table.splitlines()]


def random(shape, missing=0.0):
    """Numbers from 0 to 1, of which some are missing, as are some whole windows."""
    rng = np.random.default_rng(0)
    x = rng.random(shape, np.float32)
    x[rng.random(shape) < missing] = np.nan
    if missing:
        x[:3, :4] = np.nan
    return x


def normal(shape, means=0.0):
    """Around the mean of each image."""
    return (np.random.default_rng(0).standard_normal(shape) + means).astype(np.float32)


def windows_of(x, kernel, stride=1, padding=0, border=np.nan):
    """The elements of each window in float64, on one last axis."""
    around = [(0, 0)] * (np.ndim(x) - 2) + [(padding, padding)] * 2
    padded = np.pad(np.asarray(x, float), around, constant_values=border)
    views = np.lib.stride_tricks.sliding_window_view(padded, (kernel, kernel), (-2, -1))
    views = views[..., ::stride, ::stride, :, :]
    return views.reshape(*views.shape[:-2], -1)


def assert_same(actual, expected, rtol=1e-5, atol=1e-6):
    np.testing.assert_allclose(actual, expected, rtol, atol)


def scipy_filter(x, size, border=None):
    return ndimage.uniform_filter(x, size, **({"mode": border.strip('"')} if border else {}))


def opencv_filter(x, size, border=None):
    cv2 = pytest.importorskip("cv2")
    return cv2.blur(x, (size, size), **({"borderType": getattr(cv2, border)} if border else {}))


@pytest.mark.parametrize(("column", "theirs"), [(0, scipy_filter), (1, opencv_filter)])
@pytest.mark.parametrize("row", rows("SciPy"), ids=lambda row: row[2])
def test_borders_of_a_box_filter(row, column, theirs):
    pad, drawn = row[2].strip('"'), row[3]
    padded = "".join("0abcd"[i] for i in np.pad(np.arange(1, 5), 2, pad))
    assert drawn == f"{padded[0]} {padded[1]} [a b c d] {padded[6]} {padded[7]}"
    name, *default = row[column].split(", ")
    image = random((9, 11))
    for size in (4, 25):  # the last is larger than the image
        ours = recipes.box_filter(image[None], size, pad, pad)[0]
        for border in [] if name == "-" else [name, *([None] if default else [])]:
            assert_same(ours, theirs(image, size, border))


def test_a_box_filter_without_pad():
    image = random((9, 11))
    for size, padding in ((3, "SAME"), (3, "SAME_LOWER"), (4, "SAME_LOWER")):
        ours = jaxpool.avg_pool2d(image[None], size, 1, padding)[0]
        assert_same(ours, scipy_filter(image, size, "constant"))


@pytest.mark.parametrize("modes", [("edge", None), (None, "wrap"), ("reflect", "constant")])
def test_box_filter(modes):
    """With another border for each axis, or none, and a NaN."""
    x = random((2, 9, 11))
    x[0, 4, 5] = np.nan
    for size in (3, 4, 7):
        padded, there = x.astype(float), np.ones(x.shape)
        for axis, mode in enumerate(modes, 1):
            around = [(0, 0)] * 3
            around[axis] = size // 2, size - 1 - size // 2
            padded = np.pad(padded, around, mode or "constant")
            there = np.pad(there, around, "edge" if mode else "constant")
        expected = windows_of(padded, size).sum(-1) / windows_of(there, size).sum(-1)
        filtered = jax.jit(recipes.box_filter, static_argnums=(1, 2, 3))(x, size, *modes)
        assert_same(filtered, expected)


def pads_and_adds(function):
    """Whether a loop of the compiled program reads its elements through a border."""
    text = jax.jit(function).lower(np.ones((1, 200, 200), np.float32)).compile().as_text()
    loops = re.findall(r"^%?fused\S* .*?^}", text, re.MULTILINE | re.DOTALL)
    return any(" concatenate(" in loop and " add(" in loop for loop in loops)


def test_the_barrier_of_box_filter():
    """Without it, each tap would compute the border."""
    around = [(0, 0), (1, 1), (1, 1)]
    assert pads_and_adds(lambda x: jaxpool.avg_pool2d(jnp.pad(x, around, "symmetric"), 3, 1))
    assert not pads_and_adds(lambda x: recipes.box_filter(x, 3))


XARRAY = rows("xarray")


@pytest.mark.parametrize("row", XARRAY, ids=lambda row: row[0])
def test_a_row_of_xarray(row):
    xarray = pytest.importorskip("xarray")
    uneven = re.search("boundary|rolling", row[0])
    x = random((7, 10) if uneven else (6, 9), missing=0.6)
    names = {**vars(jaxpool), "np": np, "jnp": jnp, "da": xarray.DataArray(x, dims=("y", "x"))}
    names |= {"x": x[None], "there": ~np.isnan(x[None])}
    results = []
    for side, call in enumerate(row):
        if not uneven:
            names |= {"mean": eval(XARRAY[0][side], names), "count": eval(XARRAY[3][side], names)}
        results.append(eval(call, names))
    assert_same(results[1][0], results[0])


def test_gem():
    """Of numbers below its epsilon as well."""
    x = normal((2, 3, 5, 7))
    expected = (np.maximum(x.astype(float), 1e-6) ** 3).mean((-2, -1), keepdims=True) ** (1 / 3)
    assert_same(recipes.gem(x), expected)


def test_blur_pool():
    x = normal((2, 8, 11), 4000)
    padded = np.pad(x, [(0, 0), (1, 1), (1, 1)], "reflect")
    binomial = np.outer([1, 2, 1], [1, 2, 1]).ravel() / 16
    assert_same(recipes.blur_pool(x), windows_of(padded, 3, 2) @ binomial)


def test_life():
    alive = random((1, 20, 30)) < 0.4
    cells = windows_of(alive, 3, 1, 1, border=0)
    around = cells.sum(-1) - cells[..., 4]
    expected = (around == 3) | (alive & (around == 2))
    np.testing.assert_array_equal(recipes.life(alive), expected)


@pytest.mark.parametrize(("kernel", "stride"), [(4, 2), (5, 3), (3, 3)])
def test_blend(kernel, stride):
    shape = (2, 4 * stride + kernel, 2 * stride + kernel)
    scores = normal((2, 5, 3), 4000)
    sums, counts = np.zeros(shape), np.zeros(shape)
    for i, j in np.ndindex(5, 3):
        rows, columns = (slice(n * stride, n * stride + kernel) for n in (i, j))
        sums[:, rows, columns] += scores[:, i, j, None, None]
        counts[:, rows, columns] += 1
    assert_same(recipes.blend(scores, shape, kernel, stride), sums / counts)


@pytest.mark.parametrize(("axes", "kernel"), [((0, 3), (3, 2)), ((3, 0), (2, 3)), ((1,), 5)])
def test_avg_pool_axes(axes, kernel):
    x = expected = normal((6, 10, 4, 8))
    for axis, size in zip(axes, np.atleast_1d(kernel), strict=True):
        tiles = np.split(expected.astype(float), x.shape[axis] // size, axis)
        expected = np.stack([tile.mean(axis) for tile in tiles], axis)
    assert_same(recipes.avg_pool_axes(x, axes, kernel), expected)


def test_running_mean():
    x = normal((2, 20), 4000)
    expected = [x[:, max(0, i - 3) : i + 1].astype(float).mean(1) for i in range(20)]
    assert_same(recipes.running_mean(x, 4), np.transpose(expected), 1e-6)


def offset_images():
    """Images of means 0 and 4000, and one with a step between them."""
    means = np.zeros((3, 1, 1, 30))
    means[1], means[2, ..., 15:] = 4000, 4000
    return normal((3, 2, 24, 30), means)


def test_local_moments():
    x = offset_images()
    mean, variance = jax.jit(recipes.local_moments, static_argnums=1)(x, 5)
    windows = windows_of(x, 5)
    assert_same(mean, windows.mean(-1), 1e-6)
    assert_same(variance, windows.var(-1), 1e-3, 0)
    for axes in (None, (-2, -1)):  # one centre for all, or one for each image
        centred = x - x.mean(axes, keepdims=True)
        mean, mean_square = (jaxpool.avg_pool2d(z, 5, 1) for z in (centred, centred**2))
        assert np.abs(mean_square - mean**2 - windows.var(-1)).max() > 0.5


def test_local_deviation():
    """And its gradient, where half of an image is flat."""
    x = normal((1, 12, 20))
    x[..., :12] = 1
    windows = windows_of(x, 5)
    expected = windows.std(-1, keepdims=True)
    deviation, pullback = jax.vjp(lambda x: recipes.local_deviation(x, 5), x)
    assert_same(deviation, expected[..., 0])
    flat = expected == 0
    assert flat.any() != flat.all()
    shares = (windows - windows.mean(-1, keepdims=True)) / 25 / np.where(flat, 1, expected)
    slopes = np.zeros(x.shape)
    for i, j in np.ndindex(deviation.shape[1:]):
        slopes[0, i : i + 5, j : j + 5] += shares[0, i, j].reshape(5, 5)
    assert_same(pullback(jnp.ones_like(deviation))[0], slopes, 1e-4, 1e-5)


def ssim_of(mean, x, y, data_range):
    """By the formula of the paper, with samples' moments for windows of 7x7."""
    mean_x, mean_y, sample = mean(x), mean(y), 49 / 48
    var_x = sample * (mean(x * x) - mean_x**2)
    var_y = sample * (mean(y * y) - mean_y**2)
    covariance = sample * (mean(x * y) - mean_x * mean_y)
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    light = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    return (light * (2 * covariance + c2) / (var_x + var_y + c2)).mean()


CONTRAST = 6000 + np.random.default_rng(0).uniform(-3, 3, (1, 64, 64)).astype(np.float32)
FLAT = np.full((1, 20, 20), 6000.1, np.float32)
BYTES = np.random.default_rng(0).integers(0, 256, (2, 1, 20, 20), np.uint8)
PAIRS = {
    "a small contrast": (CONTRAST, CONTRAST + normal((1, 64, 64)), 64),
    "flat": (FLAT, FLAT, 6),
    "both flat": (FLAT, FLAT + 1, 6),
    "bytes": (*BYTES, 255),
    "random": (random((1, 40, 50)), random((1, 50, 40)).mT, 1),
}


@pytest.mark.parametrize("pair", PAIRS)
def test_ssim(pair):
    x, y, data_range = PAIRS[pair]
    exact = x.astype(float), y.astype(float)
    expected = ssim_of(lambda z: windows_of(z, 7).mean(-1), *exact, data_range)
    assert_same(recipes.ssim(x, y, data_range), expected, 0, 1e-5)
    if pair == "a small contrast":
        naive = ssim_of(lambda z: jaxpool.avg_pool2d(z, 7, 1), x, y, data_range)
        assert abs(naive - expected) > 0.01


SIZES = np.array([[48, 48], [7, 20], [11, 5], [3, 48], [5, 3]])


def padded_batch(mean=0.0):
    """Images of different sizes, with NaN beyond them; and each of them alone."""
    x = np.full((len(SIZES), 2, 48, 48), np.nan, np.float32)
    for image, (height, width) in zip(x, SIZES, strict=True):
        image[:, :height, :width] = normal((2, height, width), mean)
    return x, [image[:, :height, :width] for image, (height, width) in zip(x, SIZES, strict=True)]


POOLS = [(2, 2, 0), (3, 2, 1), (2, 2, 1), (3, 1, 0)]


@pytest.mark.parametrize("pool", POOLS, ids=str)
def test_pooled_means(pool):
    """Each image of the batch is as if alone."""
    x, images = padded_batch()
    expected = [np.nanmean(windows_of(image, *pool), -1).mean((1, 2)) for image in images]
    means = jax.jit(masks.pooled_means, static_argnums=(2, 3, 4))(x, SIZES, *pool)
    assert_same(means[..., 0, 0], expected)
    overhanging = jaxpool.avg_pool2d(x, *pool, False, where=masks.mask_of(SIZES, x.shape))
    naive = np.nanmean(overhanging, (-2, -1))
    overhangs = pool != (2, 2, 1)  # in which every window with a valid element fits
    assert (np.abs(naive - expected).max() > 0.01) == overhangs


@pytest.mark.parametrize("pool", POOLS, ids=str)
def test_masks_for_the_next_layer(pool):
    """Which of the three masks is which, and padding that counts."""
    kernel, stride, padding = pool
    x, images = padded_batch()
    valid = masks.mask_of(SIZES, x.shape)
    zeros = jaxpool.avg_pool2d(jnp.where(valid, x, 0), *pool)
    alone = masks.mask_of(masks.pooled_sizes(SIZES, *pool), zeros.shape)
    some = jaxpool.avg_pool2d(valid, *pool) > 0
    whole = jaxpool.avg_pool2d(~valid, *pool) == 0
    assert bool((whole == alone).all()) == (padding == 0)
    for image, is_alone, zero in zip(images, alone, zeros, strict=True):
        expected = windows_of(image, *pool, border=0).mean(-1)
        assert_same(zero[:, is_alone[0]].reshape(expected.shape), expected)
    if kernel == stride and padding == 0:
        shapes = [jaxpool.pool_output_shape(size, kernel, ceil_mode=True) for size in SIZES]
        np.testing.assert_array_equal(some, masks.mask_of(np.array(shapes), zeros.shape))


@pytest.mark.parametrize("output_size", [(1, 1), (7, 3), (5, 48)], ids=str)
def test_adaptive_pool_of_each(output_size):
    """And its gradient, and under vmap; a NaN in an image reaches its own bins only."""
    x, images = padded_batch(4000.0)
    missing = np.isnan(x)
    slopes = jax.grad(lambda x: masks.adaptive_pool_of_each(x, SIZES, output_size).sum())
    slopes = jax.jit(slopes)(x)
    assert (slopes[~missing] > 0).all()
    assert (slopes[missing] == 0).all()
    x[1, 0, 2, 0] = np.nan
    expected = np.empty((*x.shape[:2], *output_size))
    for image, pooled in zip(images, expected, strict=True):
        for place in np.ndindex(*output_size):
            cuts = zip(place, image.shape[1:], output_size, strict=True)
            bins = [slice(i * n // m, -(-(i + 1) * n // m)) for i, n, m in cuts]
            pooled[:, *place] = image[:, *bins].astype(float).mean((1, 2))
    pool = jax.jit(jax.vmap(lambda *given: masks.adaptive_pool_of_each(*given, output_size)))
    twice = pool(np.stack([x, x[::-1]]), np.stack([SIZES, SIZES[::-1]]))
    assert_same(twice, [expected, expected[::-1]], 1e-6, 0)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16, np.int32])
def test_integer_pool(dtype):
    low = -100 if np.iinfo(dtype).min else 0
    x = np.random.default_rng(0).integers(low, 100, (1, 33, 33)).astype(dtype)
    x[:, :11, :11] = 1  # whose mean over 11x11 is less than 1 in float32
    for kernel in (2, 3, 11):
        total, count = windows_of(x, kernel, kernel).sum(-1).astype(int), kernel**2
        nearest = (2 * total + count) // (2 * count)
        for rounded, expected in ((False, total // count), (True, nearest)):
            actual = recipes.integer_pool(x, kernel, rounded)
            assert actual.dtype == dtype
            np.testing.assert_array_equal(actual, expected)
    assert (np.floor(jaxpool.avg_pool2d(x, kernel)) != total // count).any()


def test_weighted_pool():
    """With float weights, some of them 0, and NaN in both."""
    x, weights = random((2, 12, 12), missing=0.2), random((12, 12))
    weights[weights < 0.2] = 0
    weights[8:, 8:] = 0
    weights[3, 7] = np.nan
    there = ~np.isnan(x) & (weights > 0)
    parts = windows_of(np.where(there, weights, 0), 4, 4)
    with np.errstate(invalid="ignore"):
        expected = (parts * windows_of(np.where(there, x, 0), 4, 4)).sum(-1) / parts.sum(-1)
    assert np.isnan(expected).any()
    assert_same(recipes.weighted_pool(x, weights, 4), expected)


@pytest.mark.parametrize("least", [1, 2, 0.6 * 9, 9])
def test_pool_and_mask(least):
    x = random((2, 11, 13), missing=0.2)
    options = {"stride": 2, "padding": 1, "count_include_pad": False}
    means, kept = masks.pool_and_mask(x, ~np.isnan(x), 3, least, -7.0, **options)
    windows = windows_of(x, 3, 2, 1)
    count = (~np.isnan(windows)).sum(-1)
    enough = count >= least
    assert enough.any() != enough.all()
    np.testing.assert_array_equal(kept, enough)
    assert_same(means, np.where(enough, np.nansum(windows, -1) / np.maximum(count, 1), -7))


def overlaps(n, m):
    """How much of each of n pixels lies in each of m equal parts."""
    edges = np.arange(m + 1) * n / m
    ends = np.minimum(np.arange(1, n + 1), edges[1:, None])
    return np.maximum(ends - np.maximum(np.arange(n), edges[:-1, None]), 0)


SHRUNK = [((5, 5), (2, 2)), ((9, 13), (4, 12)), ((10, 7), (5, 7)), ((31, 20), (7, 1))]


@pytest.mark.parametrize(("size", "output_size"), [*SHRUNK, ((1, 1500), (1, 1000))], ids=str)
def test_resize_area(size, output_size):
    """Integers too whose products with many weights need 64 bits, and a NaN."""
    x = 4000 + random((2, *size))
    y, z = map(overlaps, size, output_size)
    for pixels in (x, (x * 2000).astype(np.int32)):
        expected = y @ pixels.astype(float) @ z.T * np.prod(output_size) / np.prod(size)
        assert_same(recipes.resize_area(pixels, output_size), expected, 3e-7, 0)
    x[0, 0, 2] = np.nan
    lost = np.isnan(recipes.resize_area(x, output_size))
    np.testing.assert_array_equal(lost, [np.outer(y[:, 0] > 0, z[:, 2] > 0), np.zeros(output_size)])


def test_resize_area_as_opencv():
    cv2 = pytest.importorskip("cv2")
    for size, output_size in SHRUNK:
        theirs = cv2.resize(random(size), output_size[::-1], interpolation=cv2.INTER_AREA)
        assert_same(recipes.resize_area(random(size)[None], output_size)[0], theirs)


def test_resize_area_needs_little_memory():
    """Compiled, less than three images beside its input; jnp.repeat would make 160,000."""
    x = jax.ShapeDtypeStruct((1, 1000, 1000), np.float32)
    compiled = jax.jit(lambda x: recipes.resize_area(x, (400, 400))).lower(x).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 3 * 4 * 1000**2


@pytest.mark.slow
def test_pictures(tmp_path):
    """They are drawn, and the words for the borders have their numbers."""
    script = ROOT / "docs" / "figures" / "recipes.py"
    printed = run_python(script, "--folder", tmp_path, cwd=tmp_path)
    assert (tmp_path / "recipes_local.webp").read_bytes()[8:12] == b"WEBP"
    assert_is_chart(tmp_path / "recipes_borders.svg")
    starts = re.findall(r"^(\S+) +starts at ([\d.]+)$", printed, re.MULTILINE)
    assert len(starts) == 4
    assert all(f"{start} with {name}" in " ".join(PAGE.split()) for name, start in starts)
