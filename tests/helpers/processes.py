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


def run_on_8_devices(*arguments, flags="", **options):
    """The same where a CPU is 8 devices."""
    flags = f"--xla_force_host_platform_device_count=8 {flags}"
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"XLA_FLAGS": flags, "PYTHONPATH": paths}
    return run_python(*arguments, env=environment, **options)
