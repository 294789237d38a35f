"""Pools compile for a TPU v5e and an H100, but for the dtypes that the page on numerics lists.

The machine needs neither, but what compiles for them; `benchmarks/chips.py` says what to install.
"""

import re

import compile_for
import pytest
from cases import POOLS, RARE
from pages import table

from benchmarks.chips import missing

NAMES = {"tpu": "TPU v5e", "gpu": "NVIDIA H100"}
PLATFORMS = [
    pytest.param(platform, marks=pytest.mark.skipif(bool(missing(chip)), reason=str(missing(chip))))
    for platform, chip in compile_for.CHIPS.items()
]
pytestmark = pytest.mark.slow


@pytest.mark.parametrize("platform", PLATFORMS)
def test_one_call_of_every_kind_and_random_ones(platform, capsys):
    options = ["--seed", "0", "--configurations", "6", "--dtypes", "int4", "float64"]
    assert compile_for.main([platform, *options]) == 0
    assert "lacks" not in capsys.readouterr().out


@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_dtypes_that_a_platform_lacks_are_listed(platform, capsys, monkeypatch):
    monkeypatch.setattr(compile_for, "EVERY_KIND", [])
    monkeypatch.setattr(compile_for, "POOLS", {"tiles": POOLS["tiles"]})
    assert compile_for.main([platform, "--configurations", "0", "--dtypes", *RARE]) == 0
    listed = dict(table("docs/numerics.md", "chip"))[NAMES[platform]]
    lacks = re.findall(r"^lacks (\w+)", capsys.readouterr().out, re.MULTILINE)
    assert sorted(lacks) == sorted(re.findall(r"`(\w+)`", listed))
