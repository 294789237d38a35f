"""The other libraries that docs/recipes.md names give the numbers of its recipes."""

import re

import jax.numpy as jnp
import numpy as np
import pytest
from cases import slow
from pages import PAGES, ROOT, assert_is_chart, python_in
from processes import run_python

import jaxpool

PAGE = PAGES["docs/recipes.md"]
FIRST, *BLOCKS = python_in(PAGE)
SIZES = [4, 25]  # the last is larger than the image


def recipe(name):
    """The function of the page."""
    (block,) = (block for block in BLOCKS if f"def {name}(" in block)
    names = {"print": lambda *_: None}
    exec(FIRST + block, names)
    return names[name]


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
        assert_same(box_filter(image[None], size, pad)[0], expected)
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
    names = {**vars(jaxpool), "np": np, "valid_pool": recipe("valid_pool"), "da": da}
    if not uneven:
        names |= {"mean": eval(XARRAY[0][0], names), "count": eval(XARRAY[3][0], names)}
    expected = eval(theirs, names)
    names |= {"x": x[None], "there": ~np.isnan(x[None])}
    assert_same(eval(ours, names)[0], expected)


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
