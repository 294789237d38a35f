"""The functions on the pages of recipes and masks are right where a simpler way is not.

They are compared with sums of NumPy in float64, and with the other libraries that the pages name.
"""

import ast
import re
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import slow
from pages import PAGES, ROOT, assert_is_chart, python_in
from processes import run_python

import jaxpool

PAGE = PAGES["docs/recipes.md"]
SIZES = [4, 25]  # the last is larger than the image


@cache
def functions_of(page):
    """What the page defines and imports."""
    tree = ast.parse("\n".join(python_in(PAGES[page])))
    kinds = ast.Import, ast.ImportFrom, ast.FunctionDef
    tree.body = [node for node in tree.body if isinstance(node, kinds)]
    names = {}
    exec(compile(tree, page, "exec"), names)
    return names


def recipe(name, page="docs/recipes.md"):
    """The function of the page."""
    return functions_of(page)[name]


masks = partial(recipe, page="docs/masks.md")


def rows(header):
    """The cells of the table that begins with `header`, without their backticks."""
    (table,) = re.findall(rf"^\| {header}.*\n\|[-|]+\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    return [re.split(r" \| ", row.strip("| ").replace("`", "")) for row in table.splitlines()]


def random(shape, missing=0.0):
    rng = np.random.default_rng(0)
    x = rng.random(shape, np.float32)
    x[rng.random(shape) < missing] = np.nan
    if missing and x.ndim > 1:
        x[:3, :4] = np.nan  # whole windows
    return x


def assert_same(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


BORDERS = rows("SciPy")


@pytest.mark.parametrize("row", [*BORDERS[:2], *slow(*BORDERS[2:])], ids=lambda row: row[2])
@pytest.mark.parametrize("library", ["scipy.ndimage", "cv2"])
def test_borders_of_a_box_filter(row, library):
    theirs = pytest.importorskip(library)
    box_filter = recipe("box_filter")
    mode, border, pad, drawn = (cell.strip('"') for cell in row)
    if library == "cv2" and border == "-":
        pytest.skip("it has none like this")
    padded = "".join("0abcd"[i] for i in np.pad(np.arange(1, 5), 2, pad))
    assert drawn == f"{padded[0]} {padded[1]} [a b c d] {padded[6]} {padded[7]}"
    image = random((9, 11))
    for size in SIZES:
        if library == "cv2":
            name, *remark = border.split(", ")
            chosen = {"ksize": (size, size), "borderType": getattr(theirs, name)}
            filtered = theirs.blur
        else:
            name, *remark = mode.replace('"', "").split(", ")
            chosen = {"size": size, "mode": name}
            filtered = theirs.uniform_filter
        expected = filtered(image, **chosen)
        assert_same(box_filter(image[None], size, pad, pad)[0], expected)
        if remark == ["the default"]:
            assert_same(filtered(image, (size, size)), expected)


@pytest.mark.parametrize("size", [3, 4])
def test_borders_without_pad(size):
    """As the page says of "SAME" and "SAME_LOWER"."""
    ndimage = pytest.importorskip("scipy.ndimage")
    image = random((9, 11))
    zeros = ndimage.uniform_filter(image, size, mode="constant")
    assert_same(jaxpool.avg_pool2d(image[None], size, 1, "SAME_LOWER")[0], zeros)
    if size % 2:
        assert_same(jaxpool.avg_pool2d(image[None], size, 1, "SAME")[0], zeros)


XARRAY = rows("xarray")


@pytest.mark.parametrize("row", XARRAY, ids=lambda row: row[0])
def test_a_row_of_xarray(row):
    xarray = pytest.importorskip("xarray")
    theirs, ours = row
    uneven = "boundary" in theirs or "rolling" in theirs
    x = random((7, 10) if uneven else (6, 9), missing=0.6)
    da = xarray.DataArray(x, dims=("y", "x"))
    names = {**vars(jaxpool), "np": np, "jnp": jnp, "da": da}
    names |= {"x": x[None], "there": ~np.isnan(x[None])}
    results = []
    for side, call in enumerate((theirs, ours)):
        if not uneven:
            names |= {"mean": eval(XARRAY[0][side], names), "count": eval(XARRAY[3][side], names)}
        results.append(eval(call, names))
    assert_same(results[1][0], results[0])


def test_methods_of_xarray_without_skipna():
    xarray = pytest.importorskip("xarray")
    blocks = xarray.DataArray(random((6, 9)), dims=("y", "x")).coarsen(y=2, x=3)
    for options in ({"skipna": False}, {"min_count": 4}):
        with pytest.raises(TypeError):
            blocks.sum(**options)


def test_gdal_leaves_out_what_is_no_data():
    rasterio = pytest.importorskip("rasterio")
    nodata = -9999
    x = np.nan_to_num(random((8, 12), missing=0.6), nan=nodata)
    profile = {"driver": "GTiff", "height": 8, "width": 12, "count": 1, "dtype": "float32"}
    profile |= {"nodata": nodata, "transform": rasterio.Affine(1, 0, 0, 0, -1, 8)}
    with rasterio.MemoryFile() as file:
        with file.open(**profile) as writer:
            writer.write(x, 1)
        with file.open() as reader:
            average = rasterio.enums.Resampling.average
            theirs = reader.read(1, out_shape=(4, 4), resampling=average)
    ours = jaxpool.avg_pool2d(x[None], (2, 3), where=x != nodata)[0]
    assert jnp.isnan(ours).any()
    assert_same(jnp.nan_to_num(ours, nan=nodata), theirs)


def test_ssim():
    metrics = pytest.importorskip("skimage.metrics")
    x, y = random((2, 40, 50))
    theirs = metrics.structural_similarity(x, y, data_range=1.0)
    assert float(recipe("ssim")(x[None], y[None], 1.0)) == pytest.approx(theirs, rel=1e-4)


def test_running_mean():
    pandas = pytest.importorskip("pandas")
    x = random((20,), missing=0.5)
    theirs = pandas.Series(x).rolling(4, min_periods=1).mean()
    where = ~np.isnan(x)
    ours = jaxpool.avg_pool1d(x[None], 4, 1, [(3, 0)], count_include_pad=False, where=where)
    assert_same(ours[0], theirs)
    series = random((20,))
    theirs = pandas.Series(series).rolling(4, min_periods=1).mean()
    assert_same(recipe("running_mean")(series[None], 4)[0], theirs)


def windows_of(x, size):
    """The elements of each window of stride 1 in float64, on one last axis."""
    views = np.lib.stride_tricks.sliding_window_view(np.asarray(x, float), (size, size), (-2, -1))
    return views.reshape(*views.shape[:-2], -1)


def offset_images():
    """Images of means 0 and 4000, and one with a step between them."""
    x = np.random.default_rng(0).standard_normal((3, 2, 24, 30))
    x[1] += 4000
    x[2, ..., 15:] += 4000
    return x.astype(np.float32)


@pytest.mark.parametrize("compiled", [False, True])
def test_local_moments(compiled):
    moments = partial(recipe("local_moments"), size=5)
    x = offset_images()
    mean, variance = (jax.jit(moments) if compiled else moments)(x)
    windows = windows_of(x, 5)
    np.testing.assert_allclose(mean, windows.mean(-1), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(variance, windows.var(-1), rtol=1e-3)
    for axes in (None, (-2, -1)):  # one centre for all, or one for each image
        centred = x - x.mean(axes, keepdims=True)
        mean, mean_square = (jaxpool.avg_pool2d(z, 5, 1) for z in (centred, centred**2))
        assert np.abs(mean_square - mean**2 - windows.var(-1)).max() > 0.5


def test_local_deviation():
    """And its gradient, where half of an image is flat."""
    size, deviation = 5, recipe("local_deviation")
    x = np.random.default_rng(0).standard_normal((1, 12, 20)).astype(np.float32)
    x[..., :12] = 1
    windows = windows_of(x, size)
    expected = windows.std(-1)
    np.testing.assert_allclose(deviation(x, size), expected, rtol=1e-5, atol=1e-6)
    flat = expected == 0
    assert flat.any()
    assert not flat.all()
    shares = (windows - windows.mean(-1, keepdims=True)) / size**2
    shares /= np.where(flat, 1, expected)[..., None]
    slopes = np.zeros(x.shape)
    for row, column in np.ndindex(expected.shape[1:]):
        tile = slopes[0, row : row + size, column : column + size]
        tile += shares[0, row, column].reshape(size, size)
    gradient = jax.grad(lambda x: deviation(x, size).sum())(x)
    np.testing.assert_allclose(gradient, slopes, rtol=1e-4, atol=1e-5)
    naive = jax.grad(lambda x: jnp.sqrt(recipe("local_moments")(x, size)[1]).sum())(x)
    assert jnp.isnan(naive).any()


def ssim_of(mean, x, y, data_range):
    """By the formula of the paper, with samples' moments for windows of 7x7."""
    mean_x, mean_y, sample = mean(x), mean(y), 49 / 48
    var_x = sample * (mean(x * x) - mean_x**2)
    var_y = sample * (mean(y * y) - mean_y**2)
    covariance = sample * (mean(x * y) - mean_x * mean_y)
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    light = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    return (light * (2 * covariance + c2) / (var_x + var_y + c2)).mean()


def exact_mean(x):
    return windows_of(x, 7).mean(-1)


def test_ssim_of_a_small_contrast():
    """On values of 6000 and 3 more or less."""
    rng = np.random.default_rng(0)
    x = 6000 + rng.uniform(-3, 3, (1, 64, 64))
    y = x + rng.standard_normal(x.shape)
    x, y = x.astype(np.float32), y.astype(np.float32)
    expected = ssim_of(exact_mean, x.astype(float), y.astype(float), 64)
    assert expected == pytest.approx(0.9050, abs=1e-4)
    assert float(recipe("ssim")(x, y, 64)) == pytest.approx(expected, abs=1e-5)
    naive = ssim_of(lambda z: jaxpool.avg_pool2d(z, 7, 1), x, y, 64)
    assert abs(naive - expected) > 0.01


def test_ssim_of_flat_images():
    flat = np.full((1, 20, 20), 6000.1, np.float32)
    assert float(recipe("ssim")(flat, flat, 6)) == pytest.approx(1, abs=1e-6)
    assert float(recipe("ssim")(flat, flat + 1, 6)) == pytest.approx(1, abs=1e-6)


def test_ssim_of_bytes():
    x, y = np.random.default_rng(0).integers(0, 256, (2, 1, 20, 20), np.uint8)
    expected = ssim_of(exact_mean, x.astype(float), y.astype(float), 255)
    assert float(recipe("ssim")(x, y, 255)) == pytest.approx(expected, abs=1e-5)


SIZES_IN_BATCH = np.array([[48, 48], [7, 20], [11, 5], [3, 48], [5, 3]])


def padded_batch(mean=4000.0):
    """Images of different sizes, and NaN beyond them."""
    x = np.full((len(SIZES_IN_BATCH), 2, 48, 48), np.nan, np.float32)
    rng = np.random.default_rng(0)
    for image, (height, width) in zip(x, SIZES_IN_BATCH, strict=True):
        image[:, :height, :width] = mean + rng.standard_normal((2, height, width))
    return x


def images_of(x):
    """Each image of the batch, alone, in float64."""
    sizes = zip(x, SIZES_IN_BATCH, strict=True)
    return [image[:, :height, :width].astype(float) for image, (height, width) in sizes]


def average_pool(image, kernel, stride, padding, count_include_pad):
    """Of one image in float64, window by window."""
    around = [(0, 0), (padding, padding), (padding, padding)]
    padded = np.pad(image, around, constant_values=0 if count_include_pad else np.nan)
    outputs = [(n - kernel) // stride + 1 for n in padded.shape[1:]]
    pooled = np.empty((len(image), *outputs))
    for i, j in np.ndindex(*outputs):
        top, left = i * stride, j * stride
        window = padded[:, top : top + kernel, left : left + kernel]
        pooled[:, i, j] = np.nanmean(window, (1, 2))
    return pooled


POOLS = [(2, 2, 0), (3, 2, 1), (3, 1, 1), (3, 3, 0), (2, 2, 1), (3, 1, 0)]


@pytest.mark.parametrize("pool", POOLS, ids=str)
@pytest.mark.parametrize("compiled", [False, True])
def test_an_image_in_a_batch_is_as_if_alone(pool, compiled):
    """Through a pool and a global mean."""
    x = padded_batch(mean=0.0)
    expected = [average_pool(image, *pool, False).mean((1, 2)) for image in images_of(x)]
    means = masks("pooled_means")
    means = jax.jit(means, static_argnums=(2, 3, 4)) if compiled else means
    assert_same(means(x, SIZES_IN_BATCH, *pool)[..., 0, 0], expected)
    valid = masks("mask_of")(SIZES_IN_BATCH, x.shape)
    overhanging = jaxpool.avg_pool2d(x, *pool, False, where=valid)
    naive = np.nanmean(overhanging, (-2, -1))
    overhangs = pool != (2, 2, 1)  # in which every window with a valid element fits
    assert (np.abs(naive - expected).max() > 0.01) == overhangs


@pytest.mark.parametrize("pool", POOLS, ids=str)
def test_masks_for_the_next_layer(pool):
    """Which of the three masks is which, and padding that counts."""
    kernel, stride, padding = pool
    x = padded_batch(mean=0.0)
    valid = masks("mask_of")(SIZES_IN_BATCH, x.shape)
    sizes = masks("pooled_sizes")(SIZES_IN_BATCH, *pool)
    zeros = jaxpool.avg_pool2d(jnp.where(valid, x, 0), *pool)
    alone = masks("mask_of")(sizes, zeros.shape)
    some = jaxpool.avg_pool2d(valid, *pool) > 0
    whole = jaxpool.avg_pool2d(~valid, *pool) == 0
    assert bool((whole == alone).all()) == (padding == 0)
    for image, is_alone, zero in zip(images_of(x), alone, zeros, strict=True):
        pooled = average_pool(image, *pool, True)
        assert_same(zero[:, is_alone[0]].reshape(pooled.shape), pooled)
    if kernel == stride and padding == 0:
        for (height, width), kept in zip(SIZES_IN_BATCH, some, strict=True):
            shape = jaxpool.pool_output_shape((height, width), kernel, ceil_mode=True)
            assert kept[0].sum() == np.prod(shape)
            assert kept[0, : shape[0], : shape[1]].all()


def adaptive_pool(image, output_size):
    """Of one image in float64, bin by bin."""
    pooled = np.empty((len(image), *output_size))
    for place in np.ndindex(*output_size):
        bins = [
            slice(i * n // m, -(-(i + 1) * n // m))
            for i, n, m in zip(place, image.shape[1:], output_size, strict=True)
        ]
        pooled[:, *place] = image[:, *bins].mean((1, 2))
    return pooled


@pytest.mark.parametrize("output_size", [(4, 4), (1, 1), (7, 3), (5, 48)], ids=str)
def test_adaptive_pools_of_each_image(output_size):
    x = padded_batch()
    pool = jax.jit(masks("adaptive_pool_of_each"), static_argnums=2)
    expected = np.stack([adaptive_pool(image, output_size) for image in images_of(x)])
    np.testing.assert_allclose(pool(x, SIZES_IN_BATCH, output_size), expected, rtol=1e-6)
    mapped = jax.vmap(lambda x, sizes: pool(x, sizes, output_size))
    twice = mapped(np.stack([x, x[::-1]]), np.stack([SIZES_IN_BATCH, SIZES_IN_BATCH[::-1]]))
    np.testing.assert_allclose(twice[1], expected[::-1], rtol=1e-6)
    slopes = jax.grad(lambda x: pool(x, SIZES_IN_BATCH, output_size).sum())(x)
    assert (slopes[~np.isnan(x)] > 0).all()
    assert (slopes[np.isnan(x)] == 0).all()


def test_adaptive_pools_of_the_padded_array():
    """Of 7x20 pixels in 48x48 they leave 14 of 16 bins empty; a NaN inside reaches its bins."""
    x = padded_batch()
    valid = masks("mask_of")(SIZES_IN_BATCH, x.shape)
    naive = jaxpool.adaptive_avg_pool2d(x, 4, where=valid)[1, 0]
    assert jnp.isnan(naive).sum() == 14
    x[1, 0, 2, 0] = np.nan
    own = masks("adaptive_pool_of_each")(x, SIZES_IN_BATCH, (4, 4))
    expected = [adaptive_pool(image, (4, 4)) for image in images_of(x)]
    np.testing.assert_array_equal(np.isnan(own), np.isnan(expected))
    assert jnp.isnan(own).sum() == 1


@pytest.mark.parametrize("size", [3, 4, 7])
@pytest.mark.parametrize("modes", [("edge", None), (None, "wrap"), ("reflect", "constant")])
def test_borders_of_one_axis(size, modes):
    """A box filter with another border for each axis, or none, and a NaN in it."""
    x = random((2, 9, 11))
    x[0, 4, 5] = np.nan
    padded, share = x.astype(float), np.ones(x.shape)
    for axis, mode in zip((1, 2), modes, strict=True):
        around = [(0, 0)] * 3
        around[axis] = size // 2, size - 1 - size // 2
        padded = np.pad(padded, around, mode or "constant")
        share = np.pad(share, around, "edge" if mode else "constant")
    expected = windows_of(padded, size).sum(-1) / windows_of(share, size).sum(-1)
    filtered = jax.jit(recipe("box_filter"), static_argnums=(1, 2, 3))(x, size, *modes)
    assert_same(filtered, expected)


def pads_and_adds(function):
    """Whether a loop of the compiled program reads its elements through a border."""
    text = jax.jit(function).lower(np.ones((1, 200, 200), np.float32)).compile().as_text()
    loops = re.findall(r"^%?fused\S* .*?^}", text, re.MULTILINE | re.DOTALL)
    return any(" concatenate(" in loop and " add(" in loop for loop in loops)


def test_a_border_is_computed_once():
    """As the page says of the barrier; without it, each tap computes the border."""
    around = [(0, 0), (1, 1), (1, 1)]
    assert pads_and_adds(lambda x: jaxpool.avg_pool2d(jnp.pad(x, around, "symmetric"), 3, 1))
    assert not pads_and_adds(lambda x: recipe("box_filter")(x, 3))


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16, np.int32])
@pytest.mark.parametrize("kernel", [2, 3, 11])
def test_integers_that_stay_integers(dtype, kernel):
    low = -100 if np.iinfo(dtype).min else 0
    x = np.random.default_rng(0).integers(low, 100, (1, 33, 33)).astype(dtype)
    x[:, :11, :11] = 1  # whose mean over 11x11 is less than 1 in float32
    n = 33 // kernel
    tiles = x[:, : n * kernel, : n * kernel].astype(int).reshape(1, n, kernel, n, kernel)
    total, count = tiles.sum((2, 4)), kernel**2
    pool = recipe("integer_pool")
    for rounded, expected in ((False, total // count), (True, (2 * total + count) // (2 * count))):
        actual = pool(x, kernel, rounded)
        assert actual.dtype == dtype
        np.testing.assert_array_equal(actual, expected)
    naive = np.floor(jaxpool.avg_pool2d(x, kernel))
    assert (naive != total // count).any() == (kernel == 11)


def test_weighted_means():
    """With float weights, some of them 0, and NaN in both."""
    x, weights = random((2, 12, 12), missing=0.2), random((12, 12))
    weights[weights < 0.2] = 0
    weights[8:, 8:] = 0
    weights[3, 7] = np.nan
    there = ~np.isnan(x) & (weights > 0)
    with np.errstate(invalid="ignore"):
        products = np.where(there, x.astype(float) * weights, 0).reshape(2, 3, 4, 3, 4)
        parts = np.where(there, weights.astype(float), 0).reshape(2, 3, 4, 3, 4)
        expected = products.sum((2, 4)) / parts.sum((2, 4))
    actual = recipe("weighted_pool")(x, weights, 4)
    assert jnp.isnan(actual).any()
    assert_same(actual, expected)


@pytest.mark.parametrize("least", [1, 2, 0.6 * 9, 9])
def test_a_mask_beside_the_means(least):
    x = random((2, 11, 13), missing=0.2)
    options = {"stride": 2, "padding": 1, "count_include_pad": False}
    valid = ~np.isnan(x)
    means, kept = masks("pool_and_mask")(x, valid, 3, least, -7.0, **options)
    around = [(0, 0), (1, 1), (1, 1)]
    windows = windows_of(np.pad(x, around, constant_values=np.nan), 3)[:, ::2, ::2]
    count = (~np.isnan(windows)).sum(-1)
    enough = count >= least
    assert enough.any() != enough.all()
    np.testing.assert_array_equal(kept, enough)
    expected = np.where(enough, np.nansum(windows, -1) / np.maximum(count, 1), -7)
    assert_same(means, expected)


def overlaps(n, m):
    """How much of each of n pixels lies in each of m equal parts."""
    edges = np.arange(m + 1) * n / m
    ends = np.minimum(np.arange(1, n + 1), edges[1:, None])
    return np.maximum(ends - np.maximum(np.arange(n), edges[:-1, None]), 0)


def area_means(x, output_size):
    rows, columns = (overlaps(n, m) for n, m in zip(x.shape[-2:], output_size, strict=True))
    sums = np.einsum("ih,...hw,jw->...ij", rows, x.astype(float), columns)
    return sums * np.prod(output_size) / np.prod(x.shape[-2:])


RESIZED = [((5, 5), (2, 2)), ((9, 13), (4, 12)), ((10, 7), (5, 7)), ((31, 20), (7, 1))]


@pytest.mark.parametrize(("size", "output_size"), RESIZED, ids=str)
def test_area_resizing(size, output_size):
    resize = recipe("resize_area")
    x = 4000 + random((2, *size))
    np.testing.assert_allclose(resize(x, output_size), area_means(x, output_size), rtol=1e-6)
    integers = (x * 2000).astype(np.int32)  # whose products with many weights need 64 bits
    np.testing.assert_allclose(
        resize(integers, output_size), area_means(integers, output_size), rtol=3e-7
    )
    x[0, 2, 2] = np.nan
    row, column = (overlaps(n, m)[:, 2] > 0 for n, m in zip(size, output_size, strict=True))
    lost = np.isnan(resize(x, output_size))
    np.testing.assert_array_equal(lost[0], np.outer(row, column))
    assert not lost[1].any()


def test_area_resizing_of_large_integers():
    x = np.full((1, 1, 1500), 8_000_000, np.int32)
    assert (recipe("resize_area")(x, (1, 1000)) == 8_000_000).all()


def test_area_resizing_as_opencv():
    cv2 = pytest.importorskip("cv2")
    for (height, width), output_size in RESIZED:
        x = random((height, width))
        theirs = cv2.resize(x, output_size[::-1], interpolation=cv2.INTER_AREA)
        assert_same(recipe("resize_area")(x[None], output_size)[0], theirs)


def test_area_resizing_needs_little_memory():
    """Compiled, less than three images beside its input; jnp.repeat would make 160,000."""
    x = jax.ShapeDtypeStruct((1, 1000, 1000), np.float32)
    compiled = jax.jit(lambda x: recipe("resize_area")(x, (400, 400))).lower(x).compile()
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
    words = " ".join(PAGE.split())
    for name, start in starts:
        assert f"{start} with {name}" in words
