"""Bad input raises at once: the right type, naming the function, the argument and the value."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxpool

X = jnp.ones((2, 3, 8, 8))

BAD = [
    # kernel
    (TypeError, "kernel", True, {}),
    (TypeError, "kernel", 2.0, {}),
    (TypeError, "kernel", None, {}),
    (TypeError, "kernel", "2", {}),
    (TypeError, "kernel", (2, 2.0), {}),
    (TypeError, "kernel", (True, 2), {}),
    (TypeError, "kernel", {2}, {}),
    (TypeError, "kernel", [[2, 2]], {}),
    (ValueError, "kernel", 0, {}),
    (ValueError, "kernel", -1, {}),
    (ValueError, "kernel", (2, 0), {}),
    (ValueError, "kernel", (), {}),
    (ValueError, "kernel", (2, 2, 2), {}),
    # stride
    (TypeError, "stride", False, {}),
    (TypeError, "stride", 1.5, {}),
    (TypeError, "stride", "1", {}),
    (TypeError, "stride", (1, None), {}),
    (ValueError, "stride", 0, {}),
    (ValueError, "stride", [1, -2], {}),
    (ValueError, "stride", (), {}),
    (ValueError, "stride", (1, 1, 1), {}),
    # padding
    (TypeError, "padding", None, {}),
    (TypeError, "padding", True, {}),
    (TypeError, "padding", 0.5, {}),
    (TypeError, "padding", (1, (0, 1)), {}),
    (TypeError, "padding", ((0, 1), (0, 1.0)), {}),
    (TypeError, "padding", ((0, 1), (0, True)), {}),
    (TypeError, "padding", ("SAME", "SAME"), {}),
    (ValueError, "padding", -1, {}),
    (ValueError, "padding", ((0, -1), (0, 0)), {}),
    (ValueError, "padding", (1, 1, 1), {}),
    (ValueError, "padding", (), {}),
    (ValueError, "padding", ((1, 1),), {}),
    (ValueError, "padding", ((1, 1, 1), (1, 1, 1)), {}),
    (ValueError, "padding", ((1,), (1,)), {}),
    (ValueError, "padding", "same", {}),
    (ValueError, "padding", "FULL", {}),
    (ValueError, "padding", 2, {}),
    (ValueError, "padding", (4, 4), {}),
    (ValueError, "padding", ((0, 2), (0, 0)), {}),
    (ValueError, "padding", 3, {"dilation": 2}),
    # the rest
    (TypeError, "count_include_pad", 1, {}),
    (TypeError, "count_include_pad", None, {}),
    (TypeError, "count_include_pad", "False", {}),
    (TypeError, "ceil_mode", 0, {}),
    (TypeError, "ceil_mode", None, {}),
    (TypeError, "divisor_override", 2.0, {}),
    (TypeError, "divisor_override", True, {}),
    (TypeError, "divisor_override", (2,), {}),
    (ValueError, "divisor_override", 0, {}),
    (TypeError, "dilation", None, {}),
    (TypeError, "dilation", 1.0, {}),
    (TypeError, "dilation", True, {}),
    (ValueError, "dilation", 0, {}),
    (ValueError, "dilation", (1, -1), {}),
    (ValueError, "dilation", (1, 1, 1), {}),
    (TypeError, "data_format", None, {}),
    (TypeError, "data_format", 1, {}),
    (ValueError, "data_format", "NCHW", {}),
    (ValueError, "data_format", "nhwc", {}),
    (ValueError, "data_format", "channels_middle", {}),
]
BAD_OUTPUT = [
    (TypeError, True),
    (TypeError, None),
    (TypeError, 2.0),
    (TypeError, "2"),
    (TypeError, (2, 2.0)),
    (TypeError, (False, 2)),
    (TypeError, [[2, 2]]),
    (ValueError, 0),
    (ValueError, -1),
    (ValueError, (2, 0)),
    (ValueError, (None, -3)),
    (ValueError, ()),
    (ValueError, (2, 2, 2)),
]
IDS = [f"{argument}={value!r}" for _, argument, value, _ in BAD]


def assert_names(message, function, argument, value):
    assert message.startswith(f"{function}: `{argument}` must ")
    assert f"got {argument}={value!r}" in message
    assert "\n" not in message


def test_there_are_at_least_45():
    assert len(set(IDS)) >= 45


@pytest.mark.parametrize(("error", "argument", "value", "others"), BAD, ids=IDS)
def test_function(error, argument, value, others):
    arguments = {"kernel": 2} | others | {argument: value}
    with pytest.raises(error) as raised:
        jaxpool.avg_pool2d(X, **arguments)
    assert_names(str(raised.value), "avg_pool2d", argument, value)
    assert type(raised.value) is error


@pytest.mark.parametrize(("error", "argument", "value", "others"), BAD, ids=IDS)
def test_layer_when_constructed(error, argument, value, others):
    argument = "kernel_size" if argument == "kernel" else argument
    arguments = {"kernel_size": 2} | others | {argument: value}
    with pytest.raises(error) as raised:
        jaxpool.AvgPool2d(**arguments)
    assert_names(str(raised.value), "AvgPool2d", argument, value)


@pytest.mark.parametrize(("error", "value"), BAD_OUTPUT, ids=repr)
def test_output_size(error, value):
    with pytest.raises(error) as raised:
        jaxpool.adaptive_avg_pool2d(X, value)
    assert_names(str(raised.value), "adaptive_avg_pool2d", "output_size", value)
    with pytest.raises(error) as raised:
        jaxpool.AdaptiveAvgPool2d(value)
    assert_names(str(raised.value), "AdaptiveAvgPool2d", "output_size", value)


def test_the_rest_of_an_adaptive_call():
    with pytest.raises(ValueError, match=r"^adaptive_avg_pool2d: `data_format` must be .*'NHWC'"):
        jaxpool.adaptive_avg_pool2d(X, 2, data_format="NHWC")
    with pytest.raises(TypeError, match=r"^AdaptiveAvgPool1d: `data_format` must be .*=None"):
        jaxpool.AdaptiveAvgPool1d(2, data_format=None)
    with pytest.raises(ValueError, match=r"^adaptive_avg_pool3d: `x` must have at least 4 axes"):
        jaxpool.adaptive_avg_pool3d(X[0], 2)
    with pytest.raises(ValueError, match=r"^adaptive_avg_pool2d: `x` must have spatial sizes of"):
        jaxpool.adaptive_avg_pool2d(X[..., :0], 1)
    with pytest.raises(TypeError, match=r"^adaptive_avg_pool2d: `output_size` must .*static"):
        jax.jit(jaxpool.adaptive_avg_pool2d)(X, 2)
    with pytest.raises(TypeError, match=r"arguments after `output_size` are keyword-only"):
        jaxpool.AdaptiveAvgPool2d(2, "channels_last")


CALLS = [
    ("avg_pool2d", lambda x, where: jaxpool.avg_pool2d(x, 2, where=where)),
    ("adaptive_avg_pool2d", lambda x, where: jaxpool.adaptive_avg_pool2d(x, 3, where=where)),
    ("AvgPool2d", jaxpool.AvgPool2d(2)),
    ("AdaptiveAvgPool2d", jaxpool.AdaptiveAvgPool2d(3)),
]


@pytest.mark.parametrize(("name", "call"), CALLS)
def test_where(name, call):
    for where in ([[True]], "x", 1.0):
        with pytest.raises(TypeError, match=rf"^{name}: `where` must be a JAX or NumPy array of"):
            call(X, where)
    for where in (jnp.ones((8, 8)), np.ones((8, 8), np.int8)):
        with pytest.raises(TypeError, match=rf"^{name}: `where` must hold booleans, got where="):
            call(X, where)
    for shape in [(8, 7), (3,), (2, 8, 8), (1, 2, 3, 8, 8)]:
        with pytest.raises(ValueError, match=rf"^{name}: `where` must broadcast against x of"):
            call(X, jnp.ones(shape, bool))


def test_a_mask_of_the_pixels_without_their_channels():
    message = (
        r"x of shape \(2, 3, 8, 8\), with 1 for the channels in a mask.* got where=bool\[2,3\]"
    )
    with pytest.raises(ValueError, match=message):
        jaxpool.avg_pool2d(X, 2, data_format="channels_last", where=jnp.ones((2, 3), bool))


def test_a_masked_array():
    x = np.ma.array(np.ones((1, 4, 4)), mask=np.eye(4, dtype=bool)[None])
    with pytest.raises(
        TypeError, match=r"^avg_pool2d: `x` must .*where=~np.ma.getmaskarray\(x\), got x="
    ):
        jaxpool.avg_pool2d(x, 2)


@pytest.mark.parametrize("function", ["avg_pool1d", "avg_pool2d", "avg_pool3d"])
def test_each_function_names_itself(function):
    x = jnp.ones((1,) * int(function[8]) + (1,))
    with pytest.raises(
        ValueError, match=rf"^{function}: `kernel` must be at least 1, got kernel=0"
    ):
        getattr(jaxpool, function)(x, 0)


@pytest.mark.parametrize(
    "x", [None, 1.0, [[[1.0]]], "x", np.float32(1), (jnp.ones((1, 2, 2)),), object], ids=repr
)
def test_x_that_is_no_array(x):
    with pytest.raises(TypeError, match=r"^avg_pool2d: `x` must be a JAX or NumPy array, got x.*"):
        jaxpool.avg_pool2d(x, 1)
    with pytest.raises(TypeError, match=r"^AvgPool2d: `x` must be a JAX or NumPy array, got x.*"):
        jaxpool.AvgPool2d(1)(x)


@pytest.mark.parametrize(
    "x",
    [
        np.array([[["a"]]]),
        np.array([[[None]]]),
        np.zeros((1, 1, 1), "datetime64[s]"),
        np.zeros((1, 1, 1), "timedelta64[s]"),
        np.zeros((1, 1, 1), "longdouble"),
        jax.random.key(0).reshape(1, 1, 1),
    ],
    ids=lambda x: str(x.dtype),
)
def test_x_of_no_usable_dtype(x):
    dtype = re.escape(str(x.dtype))
    with pytest.raises(TypeError, match=rf"^avg_pool2d: `x` must hold .*got x={dtype}\[1,1,1\]$"):
        jaxpool.avg_pool2d(x, 1)


@pytest.mark.parametrize("shape", [(), (4,), (4, 4)])
@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
def test_x_with_too_few_axes(shape, data_format):
    with pytest.raises(ValueError, match=r"`x` must have at least 3 axes.*got x=float32") as raised:
        jaxpool.avg_pool2d(jnp.ones(shape), 2, data_format=data_format)
    assert f"[{','.join(map(str, shape))}]" in str(raised.value)
    assert data_format in str(raised.value)


@pytest.mark.parametrize("shape", [(1, 1, 0, 4), (1, 1, 4, 0)])
def test_x_with_an_empty_spatial_axis(shape):
    with pytest.raises(ValueError, match=r"`x` must have spatial sizes of at least 1.*got x="):
        jaxpool.avg_pool2d(jnp.ones(shape), 1)


@pytest.mark.parametrize(
    "options",
    [
        {"kernel": 9},
        {"kernel": (1, 9)},
        {"kernel": 10, "padding": ((0, 1), (0, 1))},
        {"kernel": 2, "dilation": 8},
        {"kernel": 11, "padding": 1, "count_include_pad": False},
        {"kernel": 9, "stride": 1, "ceil_mode": True},
        {"kernel": (8, 13), "stride": (1, 3), "padding": (0, 1), "ceil_mode": True},
    ],
)
def test_a_kernel_too_large_for_the_padded_input(options):
    with pytest.raises(ValueError, match=r"^avg_pool2d: `kernel` must fit .*got kernel=") as raised:
        jaxpool.avg_pool2d(X, **options)
    assert "for x=float32[2,3,8,8] in" in str(raised.value)
    options = {name: value for name, value in options.items() if name != "count_include_pad"}
    with pytest.raises(ValueError, match=r"^pool_output_shape: `kernel` must fit"):
        jaxpool.pool_output_shape((8, 8), **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"kernel": (2, 2), "padding": (4, 4)},
            "avg_pool2d: `padding` must be smaller than the kernel's extent on every side, got "
            "padding=(4, 4) for kernel=(2, 2)",
        ),
        (
            {"kernel": 2, "padding": 3, "dilation": 2},
            "avg_pool2d: `padding` must be smaller than the kernel's extent on every side, got "
            "padding=3 for kernel=2 and dilation=2",
        ),
        (
            {"kernel": (9, 2), "padding": ((0, 0), (1, 1))},
            "avg_pool2d: `kernel` must fit in the padded input, 8 + 0 + 0 along axis 2, got "
            "kernel=(9, 2) for x=float32[2,3,8,8] in channels_first",
        ),
        (
            {"kernel": 5, "dilation": 2, "data_format": "channels_first"},
            "avg_pool2d: `kernel` must fit in the padded input, 8 + 0 + 0 along axis 2, got "
            "kernel=(5, 5) with dilation=2 for "
            "x=float32[2,3,8,8] in channels_first",
        ),
        (
            {"kernel": 12, "stride": (8, 4), "ceil_mode": True},
            "avg_pool2d: `kernel` must fit in the padded input, 8 + 0 + 0 along axis 3, or exceed"
            " it by less than the stride of 4, got kernel=(12, 12) for "
            "x=float32[2,3,8,8] in channels_first",
        ),
    ],
)
def test_messages_about_windows_word_for_word(options, message):
    """Dilation is mentioned where there is one."""
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        jaxpool.avg_pool2d(X, **options)


@pytest.mark.parametrize(
    ("function", "sizes", "message"),
    [
        ("avg_pool1d", 2.5, "avg_pool1d: `kernel` must be an int, got kernel=2.5"),
        (
            "avg_pool2d",
            2.5,
            "avg_pool2d: `kernel` must be an int or 2 ints, got kernel=2.5",
        ),
        (
            "adaptive_avg_pool1d",
            2.5,
            "adaptive_avg_pool1d: `output_size` must be an int, got output_size=2.5",
        ),
        (
            "adaptive_avg_pool2d",
            None,
            "adaptive_avg_pool2d: `output_size` must be an int, or 2 entries that are ints, or None"
            " to keep an axis, got output_size=None",
        ),
    ],
)
def test_messages_about_types_word_for_word(function, sizes, message):
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        getattr(jaxpool, function)(X, sizes)


def test_a_message_about_padding_names_all_forms():
    must = 'be ints, (low, high) pairs, "VALID", "SAME" or "SAME_LOWER"'
    for error, padding in ((TypeError, 0.5), (ValueError, "same")):
        with pytest.raises(error, match=re.escape(f"`padding` must {must}, got")):
            jaxpool.avg_pool2d(X, 2, padding=padding)


@pytest.mark.parametrize(
    ("function", "must"),
    [("avg_pool1d", "have 1 entry"), ("avg_pool2d", "have 1 or 2 entries")],
)
def test_messages_about_lengths_word_for_word(function, must):
    message = f"{function}: `kernel` must {must}, got kernel=(2, 2, 2)"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        getattr(jaxpool, function)(X, (2, 2, 2))


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"padding": "same"}, 'did you mean "SAME"?'),
        ({"padding": "Same_Lower"}, 'did you mean "SAME_LOWER"?'),
        ({"padding": "valid"}, 'did you mean "VALID"?'),
        ({"data_format": "NCHW"}, 'did you mean "channels_first"?'),
        ({"data_format": "NHWC"}, 'did you mean "channels_last"?'),
        ({"data_format": "ndhwc"}, 'did you mean "channels_last"?'),
        ({"data_format": "Channels_Last"}, 'did you mean "channels_last"?'),
    ],
)
def test_other_spellings_are_told_the_right_one(options, hint):
    ((argument, value),) = options.items()
    end = re.escape(f"got {argument}={value!r}: {hint}")
    with pytest.raises(ValueError, match=rf"^avg_pool2d: `{argument}` must .*, {end}$"):
        jaxpool.avg_pool2d(X, 2, **options)


@pytest.mark.parametrize(
    "value", [np.array(2), np.array([2.0, 2]), np.ones((2, 2), int), np.array([True, True])]
)
@pytest.mark.parametrize("argument", ["kernel", "stride", "dilation"])
def test_arrays_that_are_no_row_of_ints(argument, value):
    with pytest.raises(TypeError, match=rf"^avg_pool2d: `{argument}` must be an int or 2 ints,"):
        jaxpool.avg_pool2d(X, **({"kernel": 2} | {argument: value}))


@pytest.mark.parametrize("argument", ["kernel", "stride", "padding", "dilation"])
def test_a_traced_argument_must_be_static(argument):
    def pool(value):
        return jaxpool.avg_pool2d(X, **({"kernel": 2} | {argument: value}))

    message = rf"^avg_pool2d: `{argument}` must be .*static.* got {argument}="
    with pytest.raises(TypeError, match=message):
        jax.jit(pool)(1)
    with pytest.raises(TypeError, match=message):
        jax.jit(pool)((1, 1))
    with pytest.raises(TypeError, match=message):
        pool(jnp.array([1, 1]))


def test_errors_come_while_tracing():
    with pytest.raises(ValueError, match="`padding` must be smaller"):
        jax.jit(lambda x: jaxpool.avg_pool2d(x, 2, padding=2))(X)


@pytest.mark.parametrize(
    ("error", "shape"),
    [
        (TypeError, 8),
        (TypeError, "8"),
        (TypeError, (8.0, 8)),
        (TypeError, (True, 8)),
        (ValueError, ()),
        (ValueError, (0, 8)),
        (ValueError, (8, -1)),
    ],
)
def test_spatial_shape(error, shape):
    with pytest.raises(error) as raised:
        jaxpool.pool_output_shape(shape, 1)
    assert_names(str(raised.value), "pool_output_shape", "spatial_shape", shape)


def test_a_fifth_positional_argument_of_a_layer():
    """PyTorch has six; Flax would take the fifth for the parent module."""
    with pytest.raises(
        TypeError, match=r"^AvgPool2d: arguments after `count_include_pad` are .* got False"
    ):
        jaxpool.AvgPool2d(3, 2, 1, True, False)
    with pytest.raises(TypeError):
        jaxpool.avg_pool2d(X, 3, 2, 1, True, False)


def test_long_values_are_shortened():
    with pytest.raises(ValueError, match=r"got stride=\[0, 1, 2, .* \[\.\.\.\]$"):
        jaxpool.avg_pool2d(X, 2, list(range(10_000)))
    for length, shown in ((198, "x" * 198), (199, r"\[\.\.\.\]")):  # and two quotes: 200 fit
        with pytest.raises(TypeError, match=rf"got divisor_override='?{shown}'?$"):
            jaxpool.avg_pool2d(X, 2, divisor_override="x" * length)


class Tensor:
    """What PyTorch and TensorFlow have for an array."""

    shape, dtype = (1, 4, 4), "torch.float32"

    def numpy(self):
        raise NotImplementedError

    def __repr__(self):
        return "tensor([[[0.1, 0.2, 0.3]]])"


@pytest.mark.parametrize(
    ("x", "end"),
    [
        (Tensor(), r"got x=torch.float32\[1,4,4\]: pass x.numpy\(\)$"),
        ([[[1.0]]], r"got x of type list: pass jnp.asarray\(x\)$"),
        (1.0, r"got x of type float$"),
    ],
)
def test_what_to_pass_instead(x, end):
    """The contents are not printed."""
    with pytest.raises(TypeError, match=rf"^avg_pool2d: `x` must be a JAX or NumPy array, {end}"):
        jaxpool.avg_pool2d(x, 1)
    end = end.replace("x", "where")
    with pytest.raises(TypeError, match=rf"^avg_pool2d: `where` must be .* or None, {end}"):
        jaxpool.avg_pool2d(X, 1, where=x)
