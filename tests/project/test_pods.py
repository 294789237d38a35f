"""What the chips of a TPU pod exchange: at most twice as often as for one reduce_window."""

import json
import re
from importlib.metadata import version
from itertools import product

import pytest
from pages import PAGES, ROOT
from processes import run_python

from benchmarks.chips import missing
from benchmarks.compiled.pools import JAXPOOL, YARDSTICK
from benchmarks.pods import BINS, BY_HAND, CHIP, Row, exchanged, table
from benchmarks.sharding import COLLECTIVES

PAGE = PAGES["docs/scaling.md"]
SMALL = ["k2 s2", "k3 s1 p1", *BINS]  # those that are compiled in seconds
PERMUTE = COLLECTIVES.index("collective-permute")
PROGRAM = """\
ENTRY %main (x: f32[1,4,200]) -> f32[1,4,200] {
  %x = f32[1,4,200]{2,1,0:T(8,128)} parameter(0)
  %copy = bf16[4,3]{1,0} copy(%x)
  %collective-permute-start = (f32[1,4,200]{2,1,0:T(8,128)S(1)}, f32[1,4,200]{2,1,0:T(8,128)S(1)}, \
u32[]{:S(2)}, u32[]{:S(2)}) collective-permute-start(%x), channel_id=1, \
source_target_pairs={{0,1},{2,3}}
  %collective-permute-done = f32[1,4,200]{2,1,0:T(8,128)} collective-permute-done(\
%collective-permute-start)
  ROOT %collective-permute = bf16[4,3]{1,0} collective-permute(%copy), channel_id=2, \
source_target_pairs={{0,1},{1,2}}
}
"""


def test_bytes_and_distance_of_exchanges():
    """The second one sends from a corner of a square to the opposite one."""
    sent = 4 * 4 * 200 + 2 * 4 * 3
    assert exchanged(PROGRAM, [(0, 0), (0, 1), (1, 0), (1, 1)]) == (1, sent)
    assert exchanged(PROGRAM, [(0, 0), (0, 1), (0, 2), (0, 3)]) == (0, sent)


@pytest.mark.slow
@pytest.mark.skipif(bool(missing(CHIP)), reason=str(missing(CHIP)))
def test_8_chips():
    """All that is found is checked in one test, as it takes minutes to find."""
    command = ["-m", "benchmarks.pods", "--json", "--chips", "8", "--pools", *SMALL]
    rows = [Row(*row) for row in json.loads(run_python(*command, cwd=ROOT))]
    assert len(rows) == 2 * (4 * len(SMALL) - 2 * len(BINS))  # bins only under jit
    ours = [row for row in rows if row.peer != YARDSTICK]
    assert [row for row in ours if sum(row.collectives) > row.collectives[PERMUTE]] == []
    assert [row for row in ours if row.far] == []
    needs_none = [row for row in ours if row.sharded == "batch" or row.pool in ("k2 s2", *BINS)]
    assert [row for row in needs_none if sum(row.collectives)] == []
    assert_at_most_as_much_as_one_reduce_window(rows)
    assert_figures_are_those_of_the_page(rows)


def assert_at_most_as_much_as_one_reduce_window(rows):
    """Except for twice the exchanges, and a quarter more memory."""
    found = {row[:4]: row for row in rows}
    theirs = [row for row in rows if row.peer == YARDSTICK]
    assert len(theirs) == 2 * 2
    for other, peer in product(theirs, (JAXPOOL, BY_HAND)):
        row = found[other.pool, other.direction, peer, other.sharded]
        assert row.collectives[PERMUTE] <= 2 * other.collectives[PERMUTE]
        assert row.temporary_bytes <= 1.25 * other.temporary_bytes


def assert_figures_are_those_of_the_page(rows):
    """Those of the versions that the page names; of others, XLA may exchange less."""
    (named,) = re.findall(r"JAX ([\d.]+\d) and libtpu ([\d.]+\d)", PAGE)
    if named != (version("jax"), version("libtpu")):
        return
    lines = PAGE.splitlines()
    for row in table(rows).splitlines()[2:]:
        window, chips, *figures = row.removeprefix("| ").split(" | ")
        assert chips == "8"
        found = [line for line in lines if line.startswith(f"| {window} | 8")]
        assert [line.split(" | ")[2:] for line in found] == [figures]
