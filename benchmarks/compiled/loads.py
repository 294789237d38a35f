"""How many elements a kernel of a GPU loads from the L1 cache, on paper.

A thread computes an element of the result from those that it needs, and loads each as often as it
is needed: k x k times for a window, though HBM is read once.
"""

import re
from math import prod

from benchmarks.compiled.hlo import Operation, elements


def loads(kernel: Operation, computations: dict[str, list[Operation]]) -> float:
    """How many elements it loads: of a fusion as its computation needs them, else each once."""
    called = re.search(r"calls=%([\w.\-]+)", kernel.line)
    if called is None:
        entry = {operation.name: operation for operation in computations["ENTRY"]}
        return sum(elements(entry[name].shape) for name in kernel.operands)
    operations = {operation.name: operation for operation in computations[called[1]]}
    needed = dict.fromkeys(operations, 0.0)
    *_, root = operations.values()
    needed[root.name] = elements(root.shape) if root.kind != "tuple" else 0
    for operation in reversed(operations.values()):
        for name in operation.operands:
            needed[name] += _needed(operation, operations[name], needed[operation.name])
    return sum(needed[name] for name, op in operations.items() if op.kind == "parameter")


def _needed(operation: Operation, operand: Operation, times: float) -> float:
    """How many elements of an operand `times` elements of the operation need."""
    size = elements(operand.shape)
    if operation.kind == "tuple":
        return size
    if operation.kind == "reduce-window":
        return 0 if "[]" in operand.shape else times * _taps(operation.line)
    if operation.kind == "reduce":
        return times * size / elements(operation.shape)
    if operation.kind in (
        "pad",
        "concatenate",
    ):  # an element of the result is one of theirs or none
        return times * min(1, size / elements(operation.shape))
    return times


def _taps(line: str) -> float:
    """Elements of a window that are there: base dilation puts holes between them."""
    sizes = {
        name: prod(map(int, values.split("x")))
        for name, values in re.findall(r"\b(size|lhs_dilate)=([\dx]+)", line)
    }
    return sizes["size"] / sizes.get("lhs_dilate", 1)
