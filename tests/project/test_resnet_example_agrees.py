"""examples/port_resnet50d.py gives timm's logits, here for a small network.

golden/make_torch_resnet.py wrote these down, so most tests need neither PyTorch nor timm.
"""

import json
import re
import sys
from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import slow
from pages import FOLDER, PAGES, ROOT
from processes import run_python

EXAMPLE = ROOT / "examples" / "port_resnet50d.py"
GOLDEN = np.load(FOLDER.parent / "golden" / "torch_resnet.npz")
SHAPES = json.loads(str(GOLDEN["shapes"]))
SMALL = {"depths": (1, 1, 1, 1), "channels": (16, 32, 64, 128), "stem_width": 8, "classes": 10}
PAGE = PAGES["docs/migration/resnet50d.md"]


def load(old="", new=""):
    """The example as a module, with `new` in the place of `old`."""
    code = EXAMPLE.read_text()
    assert old in code
    module = sys.modules[EXAMPLE.stem] = ModuleType(EXAMPLE.stem)  # Flax looks it up
    exec(compile(code.replace(old, new), str(EXAMPLE), "exec"), vars(module))
    return module


def assert_all_weights(network, variables):
    """Each variable of the network has a value of its shape."""
    initial = jax.eval_shape(network.init, jax.random.key(0), np.ones((2, 32, 32, 3)))
    assert jax.tree.map(np.shape, variables) == jax.tree.map(np.shape, initial)


def outputs(example, size, **options):
    """Of the small network with the golden weights, on the golden images of this size."""
    network, variables = example.ResNetD(**SMALL), example.convert(example.random_state(SHAPES, 0))
    height, width = map(int, size.split("x"))
    x = np.random.RandomState(1).standard_normal((2, 3, height, width)).astype(np.float32)
    x = jnp.moveaxis(x, 1, -1)
    assert_all_weights(network, variables)
    return jax.jit(lambda v, x: network.apply(v, x, **options))(variables, x)


@pytest.mark.parametrize("size", ["16x9", "35x66", *slow("32x32")])
def test_logits(size):
    np.testing.assert_allclose(outputs(load(), size), GOLDEN[size], atol=1e-5)


@pytest.mark.slow
def test_a_step_of_training():
    logits, updated = outputs(load(), "35x66", train=True, mutable=["batch_stats"])
    np.testing.assert_allclose(logits, GOLDEN["trained"], atol=1e-5)
    mean = updated["batch_stats"]["layer4"]["0"]["downsample"]["2"]["mean"]
    np.testing.assert_allclose(mean, GOLDEN["mean"], atol=1e-6)


@pytest.mark.slow
def test_the_whole_network(tmp_path):
    """Logits equal PyTorch's to 1e-4 at each size of the page."""
    pytest.importorskip("timm")
    rows = [line.split() for line in run_python(EXAMPLE, cwd=tmp_path).splitlines()[1:]]
    assert [size for size, _, _ in rows] == ["224x224", "225x193", "32x32"]
    assert all(float(largest) > 1 and float(apart) < 1e-4 for _, largest, apart in rows)


def test_commands_of_the_page(tmp_path):
    """The pool is printed as the page has it, and weights may pass through a file."""
    pytest.importorskip("timm")
    printing, saving = re.findall(r"^python - << END\n(.*?)^END$", PAGE, re.MULTILINE | re.DOTALL)
    assert f"```text\n{run_python('-c', printing)}```" in PAGE
    run_python("-c", saving.replace("pretrained=True", "pretrained=False"), cwd=tmp_path)
    example = load()
    assert_all_weights(example.ResNetD(), example.convert(np.load(tmp_path / "resnet50d.npz")))


MISTAKES = {  # as the page names them, and the change of the example that makes them
    "the pool divides by the whole window where it overhangs": (
        "count_include_pad=False",
        "divisor_override=4",
    ),
    'convolutions padded by `"SAME"`': ("padding=kernel // 2", 'padding="SAME"'),
    '`max_pool` padded by `"SAME"`': ("((1, 1), (1, 1))", '"SAME"'),
    "height and width of the kernels exchanged": (
        "range(2, value.ndim)",
        "(2, 3)[: value.ndim - 2][::-1]",
    ),
    "`epsilon=1e-6` in the batch norms": ("epsilon=1e-5", "epsilon=1e-6"),
}


@pytest.mark.slow
@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_as_large_as_the_page_says(mistake):
    """So the numbers of PyTorch would notice them."""
    table = PAGE.split("| mistake |")[1].split("\n\n")[0]
    rows = dict(re.findall(r"^\| (.+?) \| ([\d.e-]+ \| [\d.e-]+) \|$", table, re.MULTILINE))
    assert rows.keys() == MISTAKES.keys()
    for size, said in zip(("32x32", "35x66"), rows[mistake].split(" | "), strict=True):
        measured = np.abs(outputs(load(*MISTAKES[mistake]), size) - GOLDEN[size]).max()
        assert measured == pytest.approx(float(said), rel=0.1, abs=1e-6)
