"""examples/distributed.py pools over two processes, and ends soon when one of them dies."""

import os
import re
import runpy
import signal
import subprocess
import sys

import numpy as np
import pytest
from pages import ROOT
from processes import run_python

from jaxpool import avg_pool2d

EXAMPLE = ROOT / "examples" / "distributed.py"
SET = {"http_proxy": "http://127.0.0.1:9", "PYTHONUNBUFFERED": "1"}  # no proxy answers there


def test_each_process_pools_its_rows():
    environment = os.environ | SET
    printed = run_python(EXAMPLE, "--processes", 2, "--size", 256, env=environment)
    line = r"^process (\d): (.*), rows (\d+)-(\d+): as by NumPy, (.*)$"
    assert sorted(re.findall(line, printed, re.MULTILINE)) == [
        ("0", "8x8 tiles", "0", "15", "no collective"),
        ("0", "9x9 windows", "0", "127", "2 collective-permute"),
        ("1", "8x8 tiles", "16", "31", "no collective"),
        ("1", "9x9 windows", "128", "255", "2 collective-permute"),
    ]


@pytest.mark.parametrize("wrong", [1e-5, np.nan])
def test_a_wrong_pixel_is_found(wrong):
    work = runpy.run_path(str(EXAMPLE))["work"]
    work(128)
    work.__globals__["avg_pool2d"] = lambda *x, **options: (
        avg_pool2d(*x, **options).at[0, -1, 3].add(wrong)
    )
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        work(128)


@pytest.mark.parametrize(
    ("victim", "number", "code"),
    [
        (1, signal.SIGKILL, "-SIGKILL"),
        pytest.param(0, signal.SIGKILL, "-SIGKILL", marks=pytest.mark.slow),
        pytest.param(1, signal.SIGINT, 1, marks=pytest.mark.slow),
    ],
)
def test_a_process_that_dies_is_named(victim, number, code):
    """And the other is ended, so the pipe closes sooner than any time-out of JAX would end it."""
    if signal.getsignal(number) == signal.SIG_IGN:
        pytest.skip("processes inherit that Ctrl-C is ignored")
    command = [sys.executable, str(EXAMPLE), "--processes", "2", "--size", "4096"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as launcher:
        try:
            begins = (re.match(rf"process {victim}: pid (\d+)", s) for s in launcher.stdout)
            begun = next(filter(None, begins), None)
            assert begun, launcher.stderr.read()
            os.kill(pid := int(begun[1]), number)
            _, said = launcher.communicate(timeout=60)
        finally:
            launcher.kill()
    last = said.splitlines()[-1]
    assert re.search(rf"name='process {victim}' pid={pid} .*stopped exitcode={code}>", last)
    assert launcher.returncode == 1
