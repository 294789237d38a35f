"""Fixtures that start and load examples/distributed.py, which two files test."""

import importlib.util
import os
import subprocess
import sys

import pytest
from pages import ROOT

EXAMPLE = ROOT / "examples" / "distributed.py"


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
