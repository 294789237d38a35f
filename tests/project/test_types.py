"""Type checkers accept the calls that the library accepts, and report the others."""

import json
import os
import re
import subprocess
import sys

import pytest
from cases import slow
from pages import ROOT

# Some functions of JAX have no complete types.
PROGRAM = """# pyright: strict, reportUnknownMemberType=false
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

import jaxpool
from jaxpool import adaptive_avg_pool2d, avg_pool2d, pool_output_shape, pool_strips

image = np.ones((8, 8, 8), np.float32)
x = jnp.asarray(image)
y: jax.Array = avg_pool2d(x, 2)
y = avg_pool2d([1.0], 2)  # wrong
avg_pool2d(x, kernel_size=2)  # wrong

avg_pool2d(x, np.int64(3), np.uint8(2), np.int32(1), divisor_override=np.int64(3))
avg_pool2d(x, (3, np.int64(2)), (1, 2), divisor_override=None)
kernel = [3, 3]
avg_pool2d(x, kernel, [2], [1, 0])
avg_pool2d(x, np.array(kernel), np.arange(1, 3), dilation=np.array([1, 2]))
avg_pool2d(x, 2.5)  # wrong
avg_pool2d(x, "22")  # wrong
avg_pool2d(x, None)  # wrong
avg_pool2d(x, jnp.argmax(x))  # wrong
avg_pool2d(x, 2, divisor_override=2.5)  # wrong

avg_pool2d(x, 3, padding=((1, 0), (0, 1)))
pairs = [(1, 0), (0, 1)]
avg_pool2d(x, 3, padding=pairs)
avg_pool2d(x, 3, padding=[np.array(pair) for pair in pairs])
for name in ("VALID", "SAME", "SAME_LOWER"):
    avg_pool2d(x, 3, padding=name)
avg_pool2d(x, 3, padding="same")  # wrong
avg_pool2d(x, 3, padding=(1, 0.5))  # wrong
avg_pool2d(x, 3, padding=(1, (0, 1)))  # wrong

avg_pool2d(x, 2, count_include_pad=False, ceil_mode=True, data_format="channels_last")
pool = partial(avg_pool2d, data_format="channels_last")
y = pool(x, 2)
pool(x, "2")  # wrong
avg_pool2d(x, 2, data_format="NHWC")  # wrong
avg_pool2d(x, 2, ceil_mode=1)  # wrong
avg_pool2d(x, 2, 2, 0, 1)  # wrong

avg_pool2d(x, 2, where=x > 0)
avg_pool2d(x, 2, where=True)
avg_pool2d(x, 2, where=np.bool_(True))
avg_pool2d(x, 2, where=[True])  # wrong

adaptive_avg_pool2d(x, np.int64(3), data_format="channels_last", where=x > 0)
size = [None, np.int64(3)]
adaptive_avg_pool2d(x, size)
adaptive_avg_pool2d(x, None)  # wrong
adaptive_avg_pool2d(x, (None, 7.5))  # wrong

shape: tuple[int, ...] = pool_output_shape((8, 8), 3, 2, "SAME", ceil_mode=True)
pool_output_shape(np.array(x.shape[1:]), [3, np.int64(3)])
for strip in pool_strips([8, 8], np.int64(2), 3, 1, "SAME"):
    y = avg_pool2d(x[:, strip.input], 3, 1, strip.padding)
pool_output_shape(8, 3)  # wrong
pool_strips((8, 8), 2.5, 3)  # wrong

y = jaxpool.AvgPool2d(np.int64(3), [2, 2], "SAME", False, data_format="channels_last")(x, x > 0)
y = jaxpool.AdaptiveAvgPool2d((None, 3), name="pool")(image, where=None)
y = jaxpool.nnx.AvgPool2d((3, 3), padding=((1, 0), (0, 1)), ceil_mode=True)(x, where=image > 0)
y = jaxpool.nnx.AdaptiveAvgPool2d((None, 3))(image)
jaxpool.AvgPool2d(3, padding="same")  # wrong
jaxpool.AvgPool2d(3)("x")  # wrong
jaxpool.AdaptiveAvgPool2d(None)  # wrong
jaxpool.nnx.AvgPool2d(3, 2, 0, True, True)  # wrong
jaxpool.nnx.AdaptiveAvgPool2d(2.5)  # wrong
"""
LINES = PROGRAM.splitlines()
WRONG = [line for line in LINES if line.endswith("# wrong")]
OPTIONS = {
    "mypy": ["--strict", "program.py"],
    "basedpyright": ["--pythonpath", sys.executable],  # Pyright, with Node.js in a wheel
}


def test_only_the_wrong_lines_raise():
    names = {}
    exec("\n".join(line for line in LINES if line not in WRONG), names)
    for line in WRONG:
        print(line)  # which pytest shows if it does not raise
        with pytest.raises((TypeError, ValueError)):
            exec(line, names)


@pytest.mark.parametrize("checker", slow(*OPTIONS))
def test_the_wrong_lines_are_reported(checker, tmp_path):
    pytest.importorskip(checker)
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "pyrightconfig.json").write_text(json.dumps({"extraPaths": [str(ROOT)]}))
    command = [sys.executable, "-m", checker, *OPTIONS[checker]]
    options = {"cwd": tmp_path, "env": os.environ | {"MYPYPATH": str(ROOT)}, "text": True}
    done = subprocess.run(command, capture_output=True, check=False, **options)
    reported = re.findall(r"\bprogram\.py:(\d+):.*\berror\b", done.stdout)
    assert {LINES[int(n) - 1] for n in reported} == {*WRONG}, done.stdout + done.stderr
