"""Whichever process of examples/distributed.py dies, it is named, and none is left behind."""

import os
import re
import signal
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest

STARTED, POOLING = "process 1 is pid", "collectives of k9 s1"  # how the lines start that say so


def read_until(launcher, what):
    """Reads up to a line that matches `what`, and returns the match."""
    for line in launcher.stdout:
        if match := re.match(what, line):
            return match
    raise AssertionError(launcher.communicate()[1])


def read_pids(launcher):
    return [int(read_until(launcher, rf"process {i} is pid (\d+)")[1]) for i in range(2)]


def what_it_says_at_its_end(launcher):
    """Its errors. All its processes hold the pipe, so it ends when the last of them does."""
    return launcher.communicate(timeout=60)[1]


@pytest.mark.parametrize(
    ("victim", "when"),
    [
        pytest.param(0, POOLING, marks=pytest.mark.slow),
        (1, POOLING),
        pytest.param(1, STARTED, marks=pytest.mark.slow),
    ],
)
def test_one_is_killed(start, victim, when):
    launcher = start("--repeats", "1000000000")
    pids = read_pids(launcher)
    if when != STARTED:
        read_until(launcher, when)
    os.kill(pids[victim], signal.SIGKILL)
    said = what_it_says_at_its_end(launcher).splitlines()
    ended = f"process {victim} (pid {pids[victim]}) ended by SIGKILL, and all others were ended"
    assert said[-1] == ended
    assert launcher.returncode == 1


@pytest.mark.parametrize(
    ("number", "when"),
    [
        (signal.SIGKILL, STARTED),
        pytest.param(signal.SIGKILL, POOLING, marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, POOLING, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, POOLING, marks=pytest.mark.slow),
    ],
)
def test_the_launcher_is_ended(start, number, when):
    """A Ctrl-C goes to the processes too."""
    ctrl_c = number == signal.SIGINT
    if ctrl_c and signal.getsignal(number) == signal.SIG_IGN:
        pytest.skip("processes inherit that Ctrl-C is ignored")
    launcher = start("--repeats", "1000000000")
    read_until(launcher, when)
    os.killpg(launcher.pid, number) if ctrl_c else os.kill(launcher.pid, number)
    said = what_it_says_at_its_end(launcher)
    assert launcher.returncode == (1 if ctrl_c else -number)
    assert said == ("interrupted, and all processes were ended\n" if ctrl_c else "")


@pytest.mark.slow
@pytest.mark.parametrize("raises", [0, 1])
def test_one_raises(start, example, tmp_path, raises):
    """While the other, which knows nothing of it, waits for its rows."""
    source, builds = Path(example.__file__).read_text(), "    image = build(size)\n"
    assert source.count(builds) == 1
    line = f"    assert jax.process_index() != {raises}, 'out of luck'\n"
    unlucky = tmp_path / "unlucky.py"
    unlucky.write_text(source.replace(builds, builds + line))
    launcher = start(script=unlucky)
    pids = read_pids(launcher)
    said = what_it_says_at_its_end(launcher).splitlines()
    ended = f"process {raises} (pid {pids[raises]}) ended with exit code 1, and all others were"
    assert said[-2:] == ["AssertionError: out of luck", f"{ended} ended"]
    assert launcher.returncode == 1


@pytest.mark.slow
def test_both_raise(start):
    """256 rows cannot be spread evenly over 6 devices."""
    launcher = start(devices=3)
    *said, ended = what_it_says_at_its_end(launcher).splitlines()
    assert any(re.match(r"[\w.]+Error: .*256", line) for line in said)
    assert re.fullmatch(r"process \d \(pid \d+\) ended with exit code 1, and all .*", ended)
    assert launcher.returncode == 1


def test_the_first_to_fail_is_named(example, tmp_path):
    """Of those that failed, the one that was the first to be silent."""
    children = [SimpleNamespace(returncode=code) for code in (1, -9, None, 0)]
    with ExitStack() as stack:
        logs = []
        for i, seconds in enumerate([30, 20, 10, 10]):
            logs.append(stack.enter_context((tmp_path / str(i)).open("wb")))
            os.utime(tmp_path / str(i), (seconds, seconds))
        assert example.first_to_fail(children, logs) == 1
