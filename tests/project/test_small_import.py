"""Importing the package brings in JAX and Flax Linen, and nothing else; it opens no connection."""

from importlib import metadata
from pathlib import Path

from processes import run_python

import jaxpool

IN_A_NEW_INTERPRETER = """
import sys
events = []
sys.addaudithook(lambda event, _: event.startswith("socket.") and events.append(event))

import jax, flax.linen
before = {*sys.modules, "jax.experimental.jet", "jax.experimental.pjit"}  # for a rule of jet
import jaxpool
new = sys.modules.keys() - before
assert {name.split(".")[0] for name in new} == {"jaxpool"}, new
assert "jaxpool.nnx" not in new

assert "nnx" in dir(jaxpool)
assert not hasattr(jaxpool, "other")
x = jax.numpy.ones((1, 4, 4))
jaxpool.avg_pool2d(x, 2)
jaxpool.AvgPool2d(2).apply({}, x)
jaxpool.nnx.AdaptiveAvgPool2d(1)(x)
assert "flax.nnx" in sys.modules

import socket
assert events == [], events
socket.socket().connect_ex(("127.0.0.1", 9))
assert "socket.connect" in events
"""


def test_import_and_calls():
    run_python("-c", IN_A_NEW_INTERPRETER)


def test_run_time_dependencies():
    required = [r for r in metadata.requires("jaxpool") if "extra ==" not in r]
    assert {r.split(">")[0] for r in required} == {"jax", "jaxlib", "flax"}
    assert metadata.version("jaxpool") == jaxpool.__version__


def test_the_window_needs_no_jax():
    path = Path(jaxpool.__file__).parent / "_window.py"
    without = "sys.modules.update(dict.fromkeys(['jax', 'numpy', 'flax']))"
    run_python("-c", f"import runpy, sys; {without}; runpy.run_path({str(path)!r})")
