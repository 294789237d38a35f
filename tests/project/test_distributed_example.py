"""examples/distributed.py pools over two processes, and ends soon when one of them dies."""

import os
import re
import signal
import subprocess
import sys

import pytest
from cases import slow
from pages import ROOT
from processes import run_python

EXAMPLE = ROOT / "examples" / "distributed.py"


def test_each_process_pools_its_rows():
    environment = os.environ | {"http_proxy": "http://127.0.0.1:9"}  # no proxy answers there
    printed = run_python(EXAMPLE, "--processes", 2, "--size", 256, env=environment)
    line = r"^process (\d): (.*), rows (\d+)-(\d+): as by NumPy, (.*)$"
    assert sorted(re.findall(line, printed, re.MULTILINE)) == [
        ("0", "8x8 tiles", "0", "15", "no collective"),
        ("0", "9x9 windows", "0", "127", "2 collective-permute"),
        ("1", "8x8 tiles", "16", "31", "no collective"),
        ("1", "9x9 windows", "128", "255", "2 collective-permute"),
    ]


@pytest.mark.parametrize("victim", [1, *slow(0)])
def test_a_process_that_dies_is_named(victim):
    """And the other is ended, so the pipe closes sooner than any time-out of JAX would end it."""
    command = [sys.executable, str(EXAMPLE), "--processes", "2", "--size", "4096"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as launcher:
        try:
            begins = (re.match(rf"process {victim}: pid (\d+)", s) for s in launcher.stdout)
            begun = next(filter(None, begins), None)
            assert begun, launcher.stderr.read()
            os.kill(pid := int(begun[1]), signal.SIGKILL)
            _, said = launcher.communicate(timeout=60)
        finally:
            launcher.kill()
    found = rf"name='process {victim}' pid={pid} .*stopped exitcode=-SIGKILL>\]\n\Z"
    assert re.search(found, said), said
    assert launcher.returncode == 1
