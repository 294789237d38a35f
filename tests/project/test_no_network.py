"""Importing and calling the package touches no network, and no test can."""

import ast
import socket
import sys
from pathlib import Path

import pytest
from processes import run_python

import jaxpool

FAR = ("192.0.2.1", 9)  # an address for documentation: nobody has it
ELSEWHERE = [  # events that Python raises before it acts, and what they are raised with
    ("socket.connect", (None, FAR)),
    ("socket.connect", (None, ("2001:db8::1", 9, 0, 0))),
    ("socket.sendto", (None, FAR)),
    ("socket.sendmsg", (None, FAR)),
    ("socket.getaddrinfo", ("a.invalid", 9, 0, 0, 0)),
    ("socket.getaddrinfo", (b"127.0.0.1.invalid", 9, 0, 0, 0)),
    ("socket.gethostbyname", ("a.invalid",)),
    ("socket.gethostbyaddr", (FAR[0],)),
    ("socket.getnameinfo", (FAR,)),
]
CALLS = """
import jax.numpy as jnp
import jaxpool, jaxpool.linen, jaxpool.nnx
x = jnp.ones((1, 4, 4))
jaxpool.avg_pool2d(x, 2)
jaxpool.linen.AvgPool2d(2).apply({}, x)
jaxpool.nnx.AdaptiveAvgPool2d(1)(x)
"""
CONNECTS = """
import socket
socket.socket().connect_ex(("127.0.0.1", 9))
"""
AUDITS = """
import sys
def audit(event, arguments):
    try:
        sys.audit(event, *arguments)
    except Exception as error:
        print(f"{type(error).__name__}: {error}")
    else:
        print(f"{event} of {arguments} is allowed")
"""


def socket_events(code):
    """The names of all that `code` does with sockets, in a new interpreter."""
    hook = "lambda event, _: event.startswith('socket.') and print(event)"
    return run_python("-c", f"import sys\nsys.addaudithook({hook})\n{code}").split()


def test_import_and_call_use_no_socket():
    assert socket_events(CALLS) == []
    assert "socket.connect" in socket_events(CONNECTS)  # it would have been seen


def test_modules_that_the_package_uses():
    """None of them for files, processes, the network or code from data, as SECURITY.md says."""
    used = set()
    for path in Path(jaxpool.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                used |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                used.add(node.module)
            elif isinstance(node, ast.Name):
                assert node.id not in {"open", "eval", "exec", "compile", "__import__"}
    standard = {name for name in used if name.split(".")[0] in sys.stdlib_module_names}
    assert standard <= {
        "collections.abc",
        "contextlib",
        "contextvars",
        "dataclasses",
        "functools",
        "inspect",
        "itertools",
        "math",
        "textwrap",
        "types",
        "typing",
    }
    others = {name.split(".")[0] for name in used - standard}
    # These two are of the plugin for jax2onnx, which `import jaxpool` leaves alone.
    assert others - {"jax2onnx", "onnx_ir"} == {"flax", "jax", "jaxlib", "jaxpool", "numpy"}


@pytest.mark.parametrize(("event", "arguments"), ELSEWHERE)
def test_the_tests_reach_no_other_machine(event, arguments):
    with pytest.raises(RuntimeError, match="no network"):
        sys.audit(event, *arguments)


def test_nor_does_a_process_that_they_start():
    refused = run_python("-c", f"{AUDITS}\nfor event in {ELSEWHERE!r}: audit(*event)").splitlines()
    assert len(refused) == len(ELSEWHERE)
    for (event, _), line in zip(ELSEWHERE, refused, strict=True):
        assert line.startswith(f"RuntimeError: the tests use no network, and {event} asks for ")


def test_the_tests_reach_their_own_machine():
    with socket.create_server(("localhost", 0)) as server:
        socket.create_connection(server.getsockname()).close()
