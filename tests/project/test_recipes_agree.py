"""The functions of the pages on recipes and masks are right on data where simpler ways are not.

The pages' own examples run in test_pages_run.py. Here are borders, odd sizes, NaN and large means,
compared with NumPy in float64, with images alone, and with the libraries that the tables name.
"""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from pages import defined, table
from scipy import ndimage

import jaxpool
from jaxpool import adaptive_avg_pool2d, avg_pool2d

recipes, masks = defined("docs/recipes.md"), defined("docs/masks.md")
XARRAY = [[call.strip("`") for call in row] for row in table("docs/recipes.md", "xarray")]


def random(shape, mean=0.0, missing=0.0):
    """Normal numbers, of which some are missing, as is the whole of some windows."""
    rng = np.random.default_rng(0)
    x = (mean + rng.standard_normal(shape)).astype(np.float32)
    if missing:
        x[rng.random(shape) < missing] = np.nan
        x[..., :4, :4] = np.nan
    return x


def windows_of(x, kernel, stride=1, padding=0, border=np.nan):
    """The elements of each window in float64, on one last axis."""
    around = [(0, 0)] * (np.ndim(x) - 2) + [(padding, padding)] * 2
    padded = np.pad(np.asarray(x, float), around, constant_values=border)
    views = np.lib.stride_tricks.sliding_window_view(padded, (kernel, kernel), (-2, -1))
    views = views[..., ::stride, ::stride, :, :]
    return views.reshape(*views.shape[:-2], -1)


def assert_same(actual, expected, rtol=1e-5, atol=1e-6):
    np.testing.assert_allclose(actual, expected, rtol, atol)


def opencv_filter(image, size, **options):
    cv2 = pytest.importorskip("cv2")
    return cv2.blur(image, (size, size), **{k: getattr(cv2, name) for k, name in options.items()})


FILTERS = [(0, ndimage.uniform_filter, "mode"), (1, opencv_filter, "borderType")]


@pytest.mark.parametrize(("column", "theirs", "argument"), FILTERS, ids=["SciPy", "OpenCV"])
@pytest.mark.parametrize("row", table("docs/recipes.md", "SciPy"), ids=lambda row: row[2])
def test_a_border_of_a_box_filter(row, column, theirs, argument):
    pad, drawn = row[2].strip('`"'), row[3].strip("`")
    padded = "".join("0abcd"[i] for i in np.pad(np.arange(1, 5), 2, pad))
    assert drawn == f"{padded[0]} {padded[1]} [a b c d] {padded[6]} {padded[7]}"
    name, *default = re.sub('[`"]', "", row[column]).split(", ")
    image = random((9, 11))
    for size in (4, 25):  # the last is larger than the image
        ours = recipes.box_filter(image[None], size, pad, pad)[0]
        for options in [] if name == "-" else [{argument: name}, *({} for _ in default)]:
            assert_same(ours, theirs(image, size, **options))
        if pad == "constant":
            assert_same(ours, avg_pool2d(image[None], size, 1, "SAME_LOWER")[0])


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
    x = random((2, 3, 5, 7))
    expected = (np.maximum(x.astype(float), 1e-6) ** 3).mean((-2, -1), keepdims=True) ** (1 / 3)
    assert_same(recipes.gem(x), expected)


def test_blur_pool():
    x = random((2, 8, 11), 4000)
    padded = np.pad(x, [(0, 0), (1, 1), (1, 1)], "reflect")
    binomial = np.outer([1, 2, 1], [1, 2, 1]).ravel() / 16
    assert_same(recipes.blur_pool(x), windows_of(padded, 3, 2) @ binomial)


def test_life():
    alive = random((1, 20, 30)) < 0
    cells = windows_of(alive, 3, 1, 1, border=0)
    around = cells.sum(-1) - cells[..., 4]
    np.testing.assert_array_equal(recipes.life(alive), (around == 3) | (alive & (around == 2)))


@pytest.mark.parametrize(("axes", "kernel"), [((0, 3), (3, 2)), ((3, 0), (2, 3))])
def test_avg_pool_axes(axes, kernel):
    x = random((6, 10, 4, 8))
    expected = x.reshape(2, 3, 10, 4, 4, 2).mean((1, 5))
    assert_same(recipes.avg_pool_axes(x, axes, kernel), expected)


def test_local_moments():
    """Of images of means 0 and 4000, and of one with a step between them."""
    means = np.zeros((3, 1, 1, 30))
    means[1], means[2, ..., 15:] = 4000, 4000
    x = random((3, 2, 24, 30), means)
    mean, variance = jax.jit(recipes.local_moments, static_argnums=1)(x, 5)
    assert_same(mean, windows_of(x, 5).mean(-1), 1e-6)
    assert_same(variance, windows_of(x, 5).var(-1), 1e-3, 0)


def test_local_deviation():
    """And its gradient, where half of an image is flat."""
    x = random((12, 20))
    x[:, :12] = 1
    expected = windows_of(x, 5).std(-1)
    assert_same(recipes.local_deviation(x[None], 5)[0], expected)
    slopes = jax.grad(lambda x: recipes.local_deviation(x[None], 5).sum())(x)
    uneven = np.argwhere(expected > 0)
    assert 0 < len(uneven) < expected.size

    def deviations(x):
        return jax.vmap(lambda at: lax.dynamic_slice(x, at, (5, 5)).std())(uneven).sum()

    assert_same(slopes, jax.grad(deviations)(x), 1e-4, 1e-5)


CONTRAST = 6000 + np.random.default_rng(1).uniform(-3, 3, (1, 64, 64)).astype(np.float32)
BYTES = np.random.default_rng(0).integers(0, 256, (2, 1, 20, 20), np.uint8)
PAIRS = {
    "a small contrast": (CONTRAST, CONTRAST + random((1, 64, 64)), 64),
    "bytes": (*BYTES, 255),
}


@pytest.mark.parametrize("pair", PAIRS)
def test_ssim(pair):
    """By the formula of the paper, with samples' moments."""
    *images, data_range = PAIRS[pair]
    x, y = (windows_of(image, 7) for image in images)
    mean_x, mean_y = x.mean(-1), y.mean(-1)
    covariance = ((x - mean_x[..., None]) * (y - mean_y[..., None])).sum(-1) / 48
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    light = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * covariance + c2) / (x.var(-1, ddof=1) + y.var(-1, ddof=1) + c2)
    assert_same(recipes.ssim(*images, data_range), (light * structure).mean(), 0, 1e-5)


SIZES = np.array([[48, 48], [7, 20], [11, 5], [3, 48], [5, 3]])
IMAGES = [random((2, *size), 100) for size in SIZES]
BATCH = np.full((len(SIZES), 2, 48, 48), np.nan, np.float32)
for i, (height, width) in enumerate(SIZES):
    BATCH[i, :, :height, :width] = IMAGES[i]


@pytest.mark.parametrize("pool", [(2, 2, 0), (3, 2, 1), (2, 2, 1), (3, 1, 0)], ids=str)
def test_each_image_of_a_batch_is_as_if_alone(pool):
    """In its global mean, and in the averages that the last mask of the table keeps."""
    means = jax.jit(masks.pooled_means, static_argnums=(2, 3, 4))(BATCH, SIZES, *pool)
    valid = masks.mask_of(SIZES, BATCH.shape)
    averages = avg_pool2d(jnp.where(valid, BATCH, 0), *pool)  # padding counts
    alone = masks.mask_of(masks.pooled_sizes(SIZES, *pool), averages.shape)
    for i, image in enumerate(IMAGES):
        assert_same(means[i, :, 0, 0], avg_pool2d(image, *pool, False).mean((1, 2)))
        expected = avg_pool2d(image, *pool)
        assert_same(averages[i, :, alone[i, 0]].T.reshape(expected.shape), expected)
    without_a_masked_element = avg_pool2d(~valid, *pool) == 0
    assert bool((without_a_masked_element == alone).all()) == (pool[2] == 0)
    if pool == (2, 2, 0):  # tiles
        some = avg_pool2d(valid, *pool) > 0
        shapes = [jaxpool.pool_output_shape(size, 2, ceil_mode=True) for size in SIZES]
        np.testing.assert_array_equal(some, masks.mask_of(np.array(shapes), some.shape))


@pytest.mark.parametrize("output_size", [(1, 1), (7, 3), (5, 48)], ids=str)
def test_adaptive_pool_of_each(output_size):
    """Under vmap as well; and padding gets no gradient."""

    def pool(x, sizes):
        return masks.adaptive_pool_of_each(x, sizes, output_size)

    expected = np.stack([adaptive_avg_pool2d(image, output_size) for image in IMAGES])
    twice = (np.stack([given, given[::-1]]) for given in (BATCH, SIZES))
    assert_same(jax.jit(jax.vmap(pool))(*twice), [expected, expected[::-1]], 1e-6, 0)
    slopes = jax.jit(jax.grad(lambda x: pool(x, SIZES).sum()))(BATCH)
    np.testing.assert_array_equal(slopes > 0, ~np.isnan(BATCH))


@pytest.mark.parametrize("least", [1, 0.6 * 9, 9])
def test_pool_and_mask(least):
    x = random((2, 11, 13), missing=0.2)
    options = {"stride": 2, "padding": 1, "count_include_pad": False}
    means, kept = masks.pool_and_mask(x, ~np.isnan(x), 3, least, -7.0, **options)
    windows = windows_of(x, 3, 2, 1)
    count = (~np.isnan(windows)).sum(-1)
    np.testing.assert_array_equal(kept, count >= least)
    expected = np.where(count >= least, np.nansum(windows, -1) / np.maximum(count, 1), -7)
    assert_same(means, expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int32])
def test_integer_pool(dtype):
    x = np.random.default_rng(0).integers(0, 200, (1, 33, 33)).astype(dtype)
    x[:, :11, :11] = 1  # whose mean over 11x11 is less than 1 in float32
    for kernel in (2, 3, 11):
        total, count = windows_of(x, kernel, kernel).sum(-1).astype(int), kernel**2
        nearest = (2 * total + count) // (2 * count)
        for rounded, expected in ((False, total // count), (True, nearest)):
            actual = recipes.integer_pool(x, kernel, rounded)
            assert actual.dtype == dtype
            np.testing.assert_array_equal(actual, expected)


def test_weighted_pool():
    """With weights of 0 and below, a window of these, NaN in both, and 0 for an infinity."""
    x, weights = random((2, 12, 12), missing=0.2), random((12, 12))
    weights[8:, 8:] = 0
    weights[3, 7:9], x[0, 3, 8] = (np.nan, 0), np.inf
    there = ~np.isnan(x) & (weights > 0)
    x_there, weight_there = (windows_of(np.where(there, z, 0), 4, 4) for z in (x, weights))
    with np.errstate(invalid="ignore"):
        expected = (weight_there * x_there).sum(-1) / weight_there.sum(-1)
    assert_same(recipes.weighted_pool(x, weights, 4), expected)


@pytest.mark.parametrize(
    ("size", "output_size"), [((9, 13), (4, 12)), ((31, 7), (7, 5)), ((1, 1500), (1, 1000))]
)
def test_resize_area(size, output_size):
    """By pixels repeated; a NaN as well, and integers whose products need 64 bits."""
    (height, width), (rows, columns) = size, output_size
    x = random((2, *size), 4000)
    x[0, 0, 2] = np.nan
    for pixels in (x, (x[1:] * 2000).astype(np.int32)):
        repeated = pixels.astype(float).repeat(rows, -2).repeat(columns, -1)
        expected = repeated.reshape(-1, rows, height, columns, width).mean((2, 4))
        assert_same(recipes.resize_area(pixels, output_size), expected, 3e-7, 0)


def test_recipes_need_little_memory():
    """Less than two images: box_filter's barrier keeps a border, and few pixels are copied."""
    x = jax.ShapeDtypeStruct((1, 1000, 1000), np.float32)
    for recipe, argument in ((recipes.box_filter, 3), (recipes.resize_area, (400, 400))):
        compiled = jax.jit(recipe, static_argnums=1).lower(x, argument).compile()
        assert compiled.memory_analysis().temp_size_in_bytes < 2 * 4 * 1000**2
