"""examples/distributed.py over two processes, and what it leaves behind if one of them dies."""

import importlib.util
import os
import re
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpool import avg_pool2d

EXAMPLE = Path(__file__).parent.parent / "examples" / "distributed.py"
ROW = r"^k(\d) s(\d) +(\d+) +(\d+)-(\d+) +([\d.]+) +([\d.]+) +(\d+) +([\d.e-]+) +(\d+)$"
STARTED, POOLING = "process 1 is pid", "collectives of k9 s1"  # how the lines start that say so


@pytest.fixture
def start():
    """Starts the example with two processes, which do not outlive the test."""
    started = []

    def start_example(*options, script=EXAMPLE, devices=1):
        command = [sys.executable, str(script), "--processes", "2", "--size", "256", *options]
        changes = {
            "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
            "http_proxy": "http://127.0.0.1:9",  # nobody answers there, and nobody should be asked
        }
        pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        environment = os.environ | changes
        launcher = subprocess.Popen(command, env=environment, start_new_session=True, **pipe)
        started.append(launcher)
        return launcher

    yield start_example
    for launcher in started:
        launcher.kill()
        launcher.communicate(timeout=60)


@pytest.fixture(scope="module")
def example():
    """The example as a module."""
    spec = importlib.util.spec_from_file_location("distributed", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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


@pytest.mark.parametrize("devices", [1, 2])
def test_two_processes(start, devices):
    if devices > 1 and jax.__version_info__ < (0, 5):
        pytest.skip("old JAX's Gloo joins processes of one device only")
    launcher = start(devices=devices)
    printed, said = launcher.communicate(timeout=120)
    assert launcher.returncode == 0, said
    assert f"2 processes with {2 * devices} devices" in printed
    assert "collectives of k9 s1: 2 collective-permute\n" in printed
    assert "collectives of k8 s8: none\n" in printed
    table = [[float(cell) for cell in row] for row in re.findall(ROW, printed, re.MULTILINE)]
    halves = [0, 0, 127], [1, 128, 255]
    expected = [[kernel, stride, *half] for kernel, stride in [(9, 1), (8, 8)] for half in halves]
    assert [row[:5] for row in table] == expected
    assert all(0 < error < 5e-7 and 50 < peak < 5000 for *_, error, peak in table)


@pytest.mark.parametrize(("victim", "when"), [(0, POOLING), (1, POOLING), (1, STARTED)])
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
        (signal.SIGKILL, POOLING),
        (signal.SIGTERM, POOLING),
        (signal.SIGINT, POOLING),
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


@pytest.mark.parametrize("raises", [0, 1])
def test_one_raises(start, tmp_path, raises):
    """While the other, which knows nothing of it, waits for its rows."""
    source, builds = EXAMPLE.read_text(), "    image = build(size)\n"
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


def test_both_raise(start):
    """256 rows cannot be spread evenly over 6 devices."""
    launcher = start(devices=3)
    *said, ended = what_it_says_at_its_end(launcher).splitlines()
    assert any(re.match(r"[\w.]+Error: .*256", line) for line in said)
    assert re.fullmatch(r"process \d \(pid \d+\) ended with exit code 1, and all .*", ended)
    assert launcher.returncode == 1


@pytest.mark.parametrize(("kernel", "stride"), [(9, 1), (8, 8)])
@pytest.mark.parametrize("wrong", [1e-5, np.nan])
def test_a_wrong_pixel_is_found(example, kernel, stride, wrong):
    image = example.build(256)
    pooled = avg_pool2d(image, kernel, stride, "SAME")
    assert 0 < example.largest_error(pooled, 256, kernel, stride) < 5e-7
    with pytest.raises(RuntimeError, match="is off by"):
        example.largest_error(pooled.at[0, -1, 3].add(wrong), 256, kernel, stride)


def test_a_piece_is_that_part_of_the_whole(example):
    whole = example.build(256)[0]
    assert 0 <= whole.min() < 0.1
    assert 0.9 < whole.max() <= 1
    assert (example.make_rows(256, 37, 101) == whole[37:101]).all()
    rows, columns = jnp.diff(whole[100:156, 100:156], axis=0), jnp.diff(whole, axis=1)
    assert jnp.abs(rows).max() > 0.05  # neither axis is constant
    assert jnp.abs(columns).max() > 0.05


def test_another_collective_is_found(example):
    with pytest.raises(RuntimeError, match=r"k8 s8 has \{'all-gather': 1\}"):
        example.check_collectives("%a = f32[8]{0} all-gather-start(f32[4]{0} %b)", 8, 8)


def test_the_first_to_fail_is_named(example, tmp_path):
    """Of those that failed, the one that was the first to be silent."""
    children = [SimpleNamespace(returncode=code) for code in (1, -9, None, 0)]
    with ExitStack() as stack:
        logs = []
        for i, seconds in enumerate([30, 20, 10, 10]):
            logs.append(stack.enter_context((tmp_path / str(i)).open("wb")))
            os.utime(tmp_path / str(i), (seconds, seconds))
        assert example.first_to_fail(children, logs) == 1


def test_the_size_must_fit(example, capsys):
    with pytest.raises(SystemExit):
        example.main(["--processes", "2", "--size", "100"])
    assert "--size must be a multiple of 8 times --processes" in capsys.readouterr().err
