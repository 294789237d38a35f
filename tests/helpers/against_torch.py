"""The same calls of PyTorch on the CPU and of jaxpool: results, gradients, what is refused."""

from collections import Counter
from functools import partial
from typing import NamedTuple

import jax
import numpy as np
from agreement import PROGRAM, QUICKLY, compiled, tolerances

import jaxpool

HALVES = ("bfloat16", "float16")
FLOATS = ("float32", *HALVES)
INTEGERS = ("int64", "int32", "uint8", "bool")


def _is_mean(call):
    """Whether PyTorch takes the mean over all pixels in place of an adaptive pool."""
    if not call.is_adaptive:
        return False
    sizes = np.broadcast_to(call.arguments["output_size"], call.ndim)
    return all(
        out == 1 or (out is None and n == 1) for out, n in zip(sizes, call.spatial, strict=True)
    )


def _depends_on_dtype(call):
    """Whether PyTorch looks at the dtype, as it does not for all results without elements."""
    if call.is_adaptive and call.ndim < 3 and not _is_mean(call):
        return 0 not in (*call.shape, *call.entries("output_size"))
    return True


def _pads_by_pairs_or_name(call):
    """Whether the padding is not one int for each axis."""
    return np.ndim(call.arguments.get("padding")) == 2 or isinstance(
        call.arguments.get("padding"), str
    )


def _pads_over_half(call):
    """Whether the padding of an axis exceeds half of its kernel, rounded down."""
    halves = call.entries("kernel") // 2
    return not _pads_by_pairs_or_name(call) and any(call.entries("padding") > halves)


def _has_no_channels(call):
    """Whether there are no channels, where PyTorch asks for some."""
    if _is_mean(call) or (call.is_adaptive and (call.ndim < 3 or len(call.shape) == 4)):
        return False
    return call.shape[-1 if "data_format" in call.arguments else -1 - call.ndim] == 0


def _has_batch_axes(call):
    """Whether there is more than one batch axis, where PyTorch counts them."""
    counted = call.ndim == 1 or not _is_mean(call)
    return counted and len(call.shape) > call.ndim + 2


def _has_integers(call):
    """Whether the dtype is one of integers that PyTorch has no code for."""
    taken = () if call.is_adaptive else ("int64",)
    return call.dtype in {*INTEGERS} - {*taken} and _depends_on_dtype(call)


def _has_arrays(call):
    """Whether an argument is an array of ints, where PyTorch wants ints of Python."""
    taken = ("adaptive_avg_pool2d", "adaptive_avg_pool3d")
    arrays = {name for name, value in call.arguments.items() if isinstance(value, np.ndarray)}
    return call.function not in taken and bool(arrays - {"where"})


def _has_one_size_for_all(call):
    """Whether there is one size in a sequence for several axes, or one None in 1-d."""
    size = call.arguments.get("output_size")
    return np.ndim(size) == 1 and len(size) == 1 and (call.ndim > 1 or size[0] is None)


# Of a call that one of the two accepts, the other refuses it if and only if something of this
# applies. docs/migration/pytorch.md lists the same, with the reasons.
PYTORCH_REFUSES = {
    "padding of more than half the kernel": _pads_over_half,
    "padding by pairs or by name": _pads_by_pairs_or_name,
    "a 3-d kernel larger than the input": lambda call: (
        call.function == "avg_pool3d" and any(call.entries("kernel") > call.spatial)
    ),
    "a stride of 2^31 or more": lambda call: any(
        call.entries("kernel" if call.arguments.get("stride") is None else "stride") >= 2**31
    ),
    "`dilation`": lambda call: any(call.entries("dilation") > 1),
    "`divisor_override` in 1-d": lambda call: (
        call.ndim == 1 and call.arguments.get("divisor_override") is not None
    ),
    "`data_format`": lambda call: "data_format" in call.arguments,
    "`where`": lambda call: "where" in call.arguments,
    "several batch axes": _has_batch_axes,
    "no channels": _has_no_channels,
    "integers and booleans": _has_integers,
    "complex numbers": lambda call: (
        call.dtype == "complex64" and _depends_on_dtype(call) and not _is_mean(call)
    ),
    "8-bit floats": lambda call: call.dtype == "float8_e5m2" and _depends_on_dtype(call),
    "16-bit floats in `avg_pool3d`": lambda call: (
        call.dtype in HALVES and call.function == "avg_pool3d"
    ),
    "NumPy arrays of ints": _has_arrays,
    "a sequence of one `output_size`": _has_one_size_for_all,
}
JAXPOOL_REFUSES = {
    "an `output_size` of 0": lambda call: call.is_adaptive and 0 in call.entries("output_size"),
    "an empty `stride`": lambda call: call.entries("stride").size == 0,
    "the mean of no elements": lambda call: _is_mean(call) and 0 in call.spatial,
    "the mean without a channel axis": lambda call: _is_mean(call) and len(call.shape) == call.ndim,
}


class TorchResult(NamedTuple):
    """What PyTorch gives for a call; of floats also a cotangent, and the results in float32."""

    value: np.ndarray
    cotangent: np.ndarray | None = None
    exact: np.ndarray | None = None
    gradient: np.ndarray | None = None


def assert_agrees_with_torch(calls, options=QUICKLY):
    """Both refuse the same, except for the differences above; results and gradients are equal.

    Returns how often each difference applied to a call that one of the two refuses.
    """
    counts = Counter()
    for start in range(0, len(calls), PROGRAM):
        some = calls[start : start + PROGRAM]
        arrays = list(map(_array_of, some))
        theirs = list(map(_by_torch, some, arrays))
        refusals = []  # of jaxpool, as JAX traces

        def everything(arrays, some=some, theirs=theirs, refusals=refusals):
            return [
                _by_jaxpool(*given, refusals) for given in zip(some, arrays, theirs, strict=True)
            ]

        ours = compiled(everything, arrays, options=options)
        for call, expected, results, refusal in zip(some, theirs, ours, refusals, strict=True):
            counts.update(_differences(call, expected, refusal))
            if results:
                _assert_equal(call, results, expected)
    return counts


def _array_of(call):
    """An input of whole numbers and, of floats, perhaps NaN and infinities."""
    rng = np.random.default_rng(call.seed)
    x = rng.integers(0 if call.dtype == "uint8" else -99, 100, call.shape).astype(np.float32)
    if call.dtype in FLOATS:
        special = rng.choice([np.nan, np.inf, -np.inf, -0.0], call.shape)
        x = np.where(rng.random(call.shape) < call.specials, special, x)
    return x.astype(call.dtype)


def _by_torch(call, x):
    """What PyTorch gives, or its refusal."""
    import torch  # which the tables do without

    torch.set_num_threads(1)  # more of them wait for each other longer than they work
    function = getattr(torch.nn.functional, call.function)
    arguments = {("kernel_size" if k == "kernel" else k): v for k, v in call.arguments.items()}
    if all(call.entries("dilation") == 1):
        arguments.pop("dilation", None)
    if arguments.get("divisor_override") is None:
        arguments.pop("divisor_override", None)
    exact = torch.from_numpy(x.astype(np.complex64 if call.dtype == "complex64" else np.float32))
    try:
        value = function(exact.to(getattr(torch, call.dtype)), **arguments)
    except (TypeError, ValueError, RuntimeError, IndexError) as refusal:
        return refusal
    if call.dtype not in FLOATS:
        return TorchResult((value if value.is_complex() else value.float()).numpy())
    pooled = function(exact.requires_grad_(), **arguments)
    # Of one sign, so that nothing cancels in the sums, which both round.
    cotangent = np.random.default_rng(call.seed).random(pooled.shape).astype(call.dtype)
    gradient = torch.zeros_like(exact)
    if pooled.numel():  # else PyTorch refuses some gradients
        given = torch.from_numpy(cotangent.astype(np.float32))
        (gradient,) = torch.autograd.grad(pooled, exact, given)
    assert str(value.dtype) == f"torch.{call.dtype}"
    return TorchResult(value.float().numpy(), cotangent, pooled.detach().numpy(), gradient.numpy())


def _by_jaxpool(call, x, expected, refusals):
    """The value and, of floats, the gradient; nothing of a call that PyTorch refuses.

    Appends the refusal, or None.
    """
    pool = partial(getattr(jaxpool, call.function), **call.arguments)
    try:
        shape = jax.eval_shape(pool, x)
    except (TypeError, ValueError) as refusal:
        refusals.append(refusal)
        return ()
    refusals.append(None)
    if isinstance(expected, Exception):
        return ()
    assert shape.shape == expected.value.shape, f"{shape.shape}, {expected.value.shape}: {call!r}"
    if call.dtype not in FLOATS:
        return (pool(x),)
    assert shape.dtype == call.dtype
    pooled, pullback = jax.vjp(pool, x)
    return pooled, *pullback(expected.cotangent)


def _differences(call, theirs, ours):
    """The differences that apply if one of the two refuses the call and the other does not."""
    refusals = {"PyTorch": theirs if isinstance(theirs, Exception) else None, "jaxpool": ours}
    if all(refusals.values()):
        return []
    found = []
    for name, table in {"PyTorch": PYTORCH_REFUSES, "jaxpool": JAXPOOL_REFUSES}.items():
        reasons = [reason for reason, applies in table.items() if applies(call)]
        message = f"{name} should refuse {reasons or 'nothing'}: {refusals[name]!r} for {call!r}"
        assert bool(refusals[name]) == bool(reasons), message
        found += [f"{name} refuses {reason}" for reason in reasons]
    return found


def _assert_equal(call, results, expected):
    """The value and the gradient are as near to PyTorch's as rounding allows.

    PyTorch adds the gradients of 16-bit floats in 16 bits, and in one function the floats as well:
    there its results in float32 are the right ones. Its float32 averages are rounded as well, by
    adaptive pools twice.
    """
    value, *gradient = map(np.asarray, results)
    once, summed = tolerances(call.dtype if call.dtype in FLOATS else "float32")
    if call.dtype not in HALVES:
        once["rtol"] *= 2
    if call.dtype == "int64":  # PyTorch cuts off; by a reciprocal 14 may be 13.999999
        value = np.trunc(value * np.float32(1 + 1e-6))
    compared = []
    if call.dtype not in HALVES or call.function != "adaptive_avg_pool3d" or _is_mean(call):
        compared.append(("value", value, expected.value, once))
    if gradient:
        compared.append(("value", value, expected.exact, once))
        compared.append(("gradient", *gradient, expected.gradient, summed))
    for name, found, right, tolerance in compared:
        found = found if np.iscomplexobj(found) else found.astype(np.float32)
        np.testing.assert_allclose(found, right, **tolerance, err_msg=f"{name} of {call!r}")
