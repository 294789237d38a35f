"""examples/port_resnet50d.py gives timm's logits, here for a small network.

golden/make_torch_resnet.py wrote them down, so most tests need neither PyTorch nor timm.
"""

import json
import re
import sys
from importlib.util import find_spec
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
needs_timm = pytest.mark.skipif(not find_spec("timm"), reason="timm is not installed")
SIZES = ["32x32", "16x9", "35x66"]


def load(old="", new=""):
    """The example as a module, with `new` in the place of `old`."""
    code = EXAMPLE.read_text()
    assert old in code
    module = sys.modules[EXAMPLE.stem] = ModuleType(EXAMPLE.stem)  # Flax looks it up
    exec(compile(code.replace(old, new), str(EXAMPLE), "exec"), vars(module))
    return module


def variables_of(example):
    return example.convert(example.random_state(SHAPES, seed=0))


def images(size):
    height, width = map(int, size.split("x"))
    x = np.random.RandomState(1).standard_normal((2, 3, height, width))
    return jnp.moveaxis(x.astype(np.float32), 1, -1)


def difference(example, size):
    """How far the logits are from PyTorch's."""
    network, variables = example.ResNetD(**SMALL), variables_of(example)
    logits = jax.jit(network.apply)(variables, images(size))
    return np.abs(logits - GOLDEN[size]).max()


def test_every_variable_has_weights():
    example = load()
    initial = jax.eval_shape(example.ResNetD(**SMALL).init, jax.random.key(0), images("32x32"))
    assert jax.tree.map(np.shape, variables_of(example)) == jax.tree.map(np.shape, initial)


@pytest.mark.parametrize("size", [*slow(SIZES[0]), *SIZES[1:]])
def test_logits(size):
    assert difference(load(), size) < 1e-5


@pytest.mark.slow
def test_a_step_of_training():
    example = load()
    network = example.ResNetD(**SMALL)
    step = jax.jit(lambda v, x: network.apply(v, x, train=True, mutable=["batch_stats"]))
    logits, updated = step(variables_of(example), images(SIZES[-1]))
    np.testing.assert_allclose(logits, GOLDEN["trained"], atol=1e-5)
    mean = updated["batch_stats"]["layer4"]["0"]["downsample"]["2"]["mean"]
    np.testing.assert_allclose(mean, GOLDEN["mean"], atol=1e-6)


@needs_timm
@pytest.mark.slow
def test_the_whole_network(tmp_path):
    """Logits equal PyTorch's to 1e-4 at each size of the page."""
    printed = run_python(EXAMPLE, cwd=tmp_path).splitlines()
    rows = [line.split() for line in printed[1:]]
    assert [size for size, _, _ in rows] == ["224x224", "225x193", "32x32"]
    for _, largest, apart in rows:
        assert float(largest) > 1
        assert float(apart) < 1e-4


@needs_timm
def test_commands_of_the_page(tmp_path):
    """The pool is printed as the page has it, and weights may pass through a file."""
    printing, saving = re.findall(r"^python - << END\n(.*?)^END$", PAGE, re.MULTILINE | re.DOTALL)
    assert f"```text\n{run_python('-c', printing)}```" in PAGE
    run_python("-c", saving.replace("pretrained=True", "pretrained=False"), cwd=tmp_path)
    example = load()
    variables = example.convert(np.load(tmp_path / "resnet50d.npz"))
    initial = jax.eval_shape(example.ResNetD().init, jax.random.key(0), images("32x32"))
    assert jax.tree.map(np.shape, variables) == jax.tree.map(np.shape, initial)


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
    rows = dict(re.findall(r"^\| (.+?) \| ([\d.e-]+ \| [\d.e-]+) \|$", PAGE, re.MULTILINE))
    assert rows.keys() == MISTAKES.keys()
    example = load(*MISTAKES[mistake])
    for size, said in zip(("32x32", "35x66"), rows[mistake].split(" | "), strict=True):
        measured = difference(example, size)
        if float(said) > 1e-6:
            assert measured == pytest.approx(float(said), rel=0.1)
        else:
            assert measured < 1e-6
