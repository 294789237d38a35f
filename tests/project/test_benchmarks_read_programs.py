"""The benchmark of compiled programs: what it reads off their texts."""

import pytest

from benchmarks.collectives import exchanged
from benchmarks.hlo import BYTES_PER_CYCLE, bundles, collectives, cycles, kernels, shape_bytes

# Of a TPU: a window that stays in VMEM, from an array that a copy brings there.
TPU = """\
%fused_computation (param_0: f32[2,16,12]) -> f32[2,16,12] {
  ROOT %negate.1 = f32[2,16,12]{2,1,0:T(8,128)} negate(%param_0)
}

ENTRY %main.5 (x.1: f32[2,16,12]) -> f32[384] {
  %constant.3 = f32[]{:T(128)} constant(0)
  %x.1 = f32[2,16,12]{2,1,0:T(8,128)} parameter(0), metadata={op_name="x"}
  %copy-start = (f32[2,16,12]{2,1,0:T(8,128)S(1)}, f32[2,16,12]{2,1,0:T(8,128)}, u32[]{:S(2)}) \
copy-start(%x.1), backend_config={}
  %copy-done = f32[2,16,12]{2,1,0:T(8,128)S(1)} copy-done(%copy-start)
  %reduce_window_sum.3 = f32[2,16,12]{2,1,0:T(8,128)S(1)} reduce-window(%copy-done, %constant.3), \
window={size=1x3x1 pad=0_0x1_1x0_0}, to_apply=%region_2.3
  %loop_fusion = f32[2,16,12]{2,1,0:T(8,128)} fusion(%reduce_window_sum.3), kind=kLoop, \
calls=%fused_computation, backend_config={"window_config":{"estimated_cycles":"90",\
"iteration_bounds":["4","2"]}}
  %bitcast.1 = f32[384]{0:T(128)} bitcast(%reduce_window_sum.3)
  ROOT %copy.9 = f32[384]{0:T(128)} copy(%bitcast.1)
}
"""
PADDED = 2 * 16 * 128 * 4  # the bytes of its arrays
SCHEDULE = """\
     0   :  { %s1 = inlined_call_operand.vmem [shape: f32[2,16,12]] }
   0x2 LB: > { %s3 = sadd.s32 1, %s2 }
   0x3   : > { %p1 = scmp.ge.s32.totalorder %s3, 20 }
   0x4 LB: >> { %v1 = vld [vmem:[%s1] sm:$0xff] }
   0x5   :  { %v2 = vstv %s1 }
"""
EXCHANGES = """\
ENTRY %main (x: f32[1,4,200]) -> f32[1,4,200] {
  %x = f32[1,4,200]{2,1,0:T(8,128)} parameter(0)
  %copy = bf16[4,3]{1,0} copy(%x)
  %collective-permute-start = (f32[1,4,200]{2,1,0:T(8,128)S(1)}, f32[1,4,200]{2,1,0:T(8,128)S(1)}) \
collective-permute-start(%x), channel_id=1, source_target_pairs={{0,1},{2,3}}
  ROOT %collective-permute = bf16[4,3]{1,0} collective-permute(%copy), channel_id=2, \
source_target_pairs={{0,1},{1,2}}
}
"""


def test_bytes_of_a_shape():
    assert shape_bytes("f32[2,16,12]{1,2,0:T(8,128)}") == PADDED  # 16 to 128, 12 to 16
    assert shape_bytes("bf16[2,16,12]{2,1,0:T(8,128)(2,1)}") == PADDED // 2
    assert shape_bytes("(f32[2]{0}, c64[2]{0}, pred[130]{0:T(128)}, u32[]{:S(2)})") == 8 + 16 + 256


def test_kernels_and_their_bytes():
    found = {operation.name: size for operation, size in kernels(TPU)}
    # The first copy reads what it takes to VMEM, where the bitcast lies too, which is no kernel.
    windows = {"reduce_window_sum.3": 4, "loop_fusion": PADDED}
    assert found == {"copy-done": PADDED} | windows | {"copy.9": 384 * 4}
    with pytest.raises(ValueError, match="cannot count what a while does"):
        list(kernels(TPU.replace("copy(%bitcast.1)", "while(%bitcast.1), body=%region")))


def test_cycles_are_the_largest_estimate(tmp_path):
    assert (bundles(SCHEDULE, None), bundles(SCHEDULE, 5)) == (2 + 3 * 20, 2 + 3 * 5)
    (tmp_path / "17-reduce_window_sum.3-66-final_bundles.txt").write_text(SCHEDULE)
    found = [cycles(*kernel, tmp_path) for kernel in kernels(TPU)]
    assert found[:3] == [round(PADDED / BYTES_PER_CYCLE), 62, 90]


def test_collectives_their_bytes_and_distances():
    """The second one sends from a corner of a square to the opposite one."""
    assert collectives(EXCHANGES) == "2 collective-permute"
    sent = 4 * 4 * 200 + 2 * 4 * 3
    assert exchanged(EXCHANGES, [(0, 0), (0, 1), (1, 0), (1, 1)]) == (1, sent)
    assert exchanged(EXCHANGES, [(0, 0), (0, 1), (0, 2), (0, 3)]) == (0, sent)
