"""One program, many calls, against the oracle."""

import jax
import jax.numpy as jnp
import numpy as np
import oracle
from cases import pooling

# XLA's quickest code generation, as nearly all of the time goes to compiling.
QUICKLY = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
PROGRAM = 32  # calls: more save nothing
JUNK = np.array([np.nan, np.inf, -np.inf, 3e38], np.float32)


def value_and_gradient(f, x, cotangent=None):
    """What `f` gives for `x`, and what it makes of a cotangent, else of what it gives."""
    pooled, pullback = jax.vjp(f, x)
    return pooled, *pullback(jnp.nan_to_num(pooled) if cotangent is None else cotangent)


def compiled(f, *arguments, options=QUICKLY):
    """What `f` gives in one compiled program; for tests of values, not of code or of bits."""
    return jax.jit(f).lower(*arguments).compile(options)(*arguments)


def assert_agree(calls, *, derivatives=True, options=QUICKLY, in_plain_form=False):
    """Values, tangents, gradients and transposed gradients of all calls are those of the oracle."""
    for start in range(0, len(calls), PROGRAM):
        some = calls[start : start + PROGRAM]
        arrays = list(map(arrays_of, some))
        pooled = compiled(one_program(some, derivatives=derivatives), arrays, options=options)
        for call, given, results in zip(some, arrays, pooled, strict=True):
            expected = _expected(call, derivatives, in_plain_form, *given)
            for result, (what, right, tolerance) in zip(results, expected, strict=True):
                found, message = np.asarray(result.astype(jnp.float32)), f"{what} of {call!r}"
                np.testing.assert_allclose(found, right, **tolerance, err_msg=message)


def tolerances(dtype, in_plain_form=False):
    """How near a result that is rounded once must be, and a sum of rounded terms.

    Sums of whole numbers are exact. The reciprocal of the divisor and the product with it round;
    then a 16-bit result is rounded. The plain form divides what it sums further.
    """
    half = jnp.finfo(dtype).eps / 2
    once = {"rtol": 1.01 * (half if half > 1e-6 else 2 * half), "atol": 0}
    if in_plain_form:
        once = {"rtol": max(1.01 * half, 1e-6), "atol": 1e-5}  # of numbers up to 99
    return once, {"rtol": max(1.01 * half, 1e-5), "atol": 1e-6}


def one_program(calls, *, derivatives=True):
    """A function of the calls' arrays that gives the results of all of them."""
    evaluate = _results if derivatives else _value

    def everything(arrays):
        return [evaluate(call, *given) for call, given in zip(calls, arrays, strict=True)]

    return everything


def arrays_of(call):
    """An input of whole numbers and, perhaps, NaN and infinities, with junk under its mask; a
    tangent, a cotangent, the mask.
    """
    rng = np.random.default_rng(call.seed)
    shape = call.config.shape(call.batch)
    x, tangent = rng.integers(-99, 100, (2, *shape)).astype(np.float32)
    special = rng.choice([np.nan, np.inf, -np.inf, -0.0], shape)
    x = np.where(rng.random(shape) < call.specials, special, x)
    where = None
    if call.mask is not None:
        one = rng.random(len(shape)) < 0.3  # axes over which the mask is broadcast
        where = rng.random(np.where(one, 1, shape)) < call.mask
        x = np.where(where, x, rng.choice(JUNK, shape))
    pooled, _ = oracle.windows(call.config)
    cotangent = rng.standard_normal(call.config.shape(call.batch, spatial=pooled))
    with np.errstate(over="ignore"):
        return *(a.astype(call.dtype) for a in (x, tangent, cotangent)), where


def _value(call, x, tangent, cotangent, where):
    del tangent, cotangent
    return (pooling(call.config, where=where)(x),)


def _results(call, x, tangent, cotangent, where):
    """The value, its tangent, the gradient, and through its transpose the tangent again."""
    pool = pooling(call.config, where=where)
    pooled, pullback = jax.vjp(pool, x)
    _, pushed = jax.jvp(pool, (x,), (tangent,))
    (pushed_again,) = jax.linear_transpose(pullback, cotangent)((tangent,))
    return pooled, pushed, *pullback(cotangent), pushed_again


def _expected(call, derivatives, in_plain_form, x, tangent, cotangent, where):
    """What each result is, what the oracle says of it, and how near it must be."""
    everywhere = np.ones(x.shape, bool) if where is None else where
    value, _ = oracle.masked_pool(x, everywhere, cotangent, call.config)
    once, summed = tolerances(call.dtype, in_plain_form)
    if not derivatives:
        return (("value", value, once),)
    pushed, gradient = oracle.masked_pool(tangent, everywhere, cotangent, call.config)
    pushed = np.nan_to_num(pushed)  # a window of nothing is NaN, and passes nothing on
    return (
        ("value", value, once),
        ("tangent", pushed, once),
        ("gradient", gradient, summed),
        ("transposed gradient", pushed, once),
    )
