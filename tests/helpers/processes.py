"""Other Python processes, for what must not happen in this one."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def run_python(*arguments, **options):
    """What a new interpreter with these arguments prints; it must end well."""
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_on_8_devices(*arguments, quickly=False, **options):
    """The same where a CPU is 8 devices; `quickly` is the fixture of that name in conftest.py."""
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    devices = {"XLA_FLAGS": "--xla_force_host_platform_device_count=8", "PYTHONPATH": paths}
    quick = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"} if quickly else {}
    return run_python(*arguments, env=os.environ | devices | quick, **options)
