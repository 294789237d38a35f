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

PLATFORMS = [
    pytest.param(platform, marks=pytest.mark.skipif(bool(missing(chip)), reason=str(missing(chip))))
    for platform, chip in compile_for.CHIPS.items()
]
pytestmark = pytest.mark.slow
each = pytest.mark.parametrize("platform", PLATFORMS)
either = pytest.mark.parametrize("platform", PLATFORMS[:1])  # what the command does is the same

FITS = Call(Config((4, 4), (2, 2), (2, 2), "VALID"))
FAILS = Call(Config((4, 4), (2, 2), (0, 2), ((0, 0), (0, 0))))


def run(platform, *options, configurations=0):
    """The exit code of the command."""
    return compile_for.main(
        [platform, "--seed", "0", "--configurations", str(configurations), *options]
    )


@each
def test_one_call_of_every_kind_and_random_ones(platform, capsys):
    assert run(platform, "--dtypes", "int4", "float64", configurations=6) == 0
    assert "lacks" not in capsys.readouterr().out


@each
def test_the_dtypes_that_a_platform_lacks_are_listed(platform, capsys, monkeypatch):
    monkeypatch.setattr(compile_for, "EVERY_KIND", [])
    monkeypatch.setattr(compile_for, "POOLS", {name: POOLS[name] for name in ("tiles", "bins")})
    assert run(platform, "--dtypes", *RARE) == 0
    page = (ROOT / "docs" / "numerics.md").read_text()
    name = {"tpu": "TPU v5e", "gpu": "NVIDIA H100"}[platform]
    (row,) = re.findall(rf"^\| {name} \| (.*) \|$", page, re.MULTILINE)
    lacks = re.findall(r"^lacks (\w+)", capsys.readouterr().out, re.MULTILINE)
    assert sorted(lacks) == sorted(re.findall(r"`(\w+)`", row))


@either
def test_a_call_that_fails_is_named_and_no_other(platform, capfd, monkeypatch):
    monkeypatch.setattr(compile_for, "EVERY_KIND", [FITS, FAILS, FITS])
    assert run(platform, "--dtypes") == 1
    printed = capfd.readouterr().out
    assert printed.count("Call(") == printed.count(repr(FAILS)) == 1


@either
def test_a_dtype_that_fails_is_named(platform, capsys, monkeypatch):
    monkeypatch.setattr(compile_for, "EVERY_KIND", [])
    monkeypatch.setitem(compile_for.POOLS, "of no such name", None)
    assert run(platform, "--dtypes", "float32") == 1
    assert "float32 of no such name\n    KeyError" in capsys.readouterr().out


@either
def test_a_compiler_that_aborts_has_a_successor(platform):
    with closing(compile_for.Compiler(compile_for.CHIPS[platform])) as compiler:
        assert "the compiler aborts" in compiler.error(os.abort)
        assert compiler.error(compile_for.one_pool, "float32", "tiles") is None
