"""Other Python processes, for what must not happen in this one."""

import subprocess
import sys


def run_python(*arguments, **options):
    """What a new interpreter with these arguments prints; it must end well."""
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout
