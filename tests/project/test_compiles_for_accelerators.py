"""Pools compile for a TPU v5e and an H100, and the command that says so notices what does not.

The machine needs neither, but what compiles for them; `benchmarks/chips.py` says what to install.
"""

import os
import re
from contextlib import closing

import compile_for
import pytest
from cases import POOLS, RARE, Call
from oracle import Config
from pages import ROOT

from benchmarks.chips import missing

NAMES = {"tpu": "TPU v5e", "gpu": "NVIDIA H100"}
PLATFORMS = [
    pytest.param(platform, marks=pytest.mark.skipif(bool(missing(chip)), reason=str(missing(chip))))
    for platform, chip in compile_for.CHIPS.items()
]
pytestmark = pytest.mark.slow
FITS = Call(Config((4, 4), (2, 2), (2, 2), "VALID"))
FAILS = Call(Config((4, 4), (2, 2), (0, 2), ((0, 0), (0, 0))))


def run(platform, *options, configurations=0):
    """The exit code of the command."""
    return compile_for.main(
        [platform, "--seed", "0", "--configurations", str(configurations), *options]
    )


@pytest.mark.parametrize("platform", PLATFORMS)
def test_one_call_of_every_kind_and_random_ones(platform, capsys):
    assert run(platform, "--dtypes", "int4", "float64", configurations=6) == 0
    assert "lacks" not in capsys.readouterr().out


@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_dtypes_that_a_platform_lacks_are_listed(platform, capsys, monkeypatch):
    monkeypatch.setattr(compile_for, "EVERY_KIND", [])
    monkeypatch.setattr(compile_for, "POOLS", {name: POOLS[name] for name in ("tiles", "bins")})
    assert run(platform, "--dtypes", *RARE) == 0
    page = (ROOT / "docs" / "numerics.md").read_text()
    (row,) = re.findall(rf"^\| {NAMES[platform]} \| (.*) \|$", page, re.MULTILINE)
    lacks = re.findall(r"^lacks (\w+)", capsys.readouterr().out, re.MULTILINE)
    assert sorted(lacks) == sorted(re.findall(r"`(\w+)`", row))


@pytest.mark.parametrize("platform", PLATFORMS[:1])
def test_calls_and_dtypes_that_fail_are_named_and_no_others(platform, capfd, monkeypatch):
    """And a compiler that aborts has a successor."""
    monkeypatch.setattr(compile_for, "EVERY_KIND", [FITS, FAILS, FITS])
    monkeypatch.setitem(compile_for.POOLS, "of no such name", None)
    assert run(platform, "--dtypes", "float32") == 1
    printed = capfd.readouterr().out
    assert printed.count("Call(") == printed.count(repr(FAILS)) == 1
    assert "float32 of no such name\n    KeyError" in printed
    with closing(compile_for.Compiler(compile_for.CHIPS[platform])) as compiler:
        assert "the compiler aborts" in compiler.error(os.abort)
        assert compiler.error(compile_for.one_pool, "float32", "tiles") is None
