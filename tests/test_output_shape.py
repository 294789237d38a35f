"""The shape of the output: one formula for arrays, for `pool_output_shape` and for the oracle."""

import jax
import jax.numpy as jnp
import oracle
import pytest
from cases import pooling, slow
from configs import random_calls
from jax import export
from oracle import Config

from jaxpool import pool_output_shape


@pytest.mark.parametrize(("number", "count"), [(0, 250), *slow((1, 1500))])
def test_arrays_formula_and_oracle_agree(number, count):
    for config, *_ in random_calls(number, count):
        x = jax.ShapeDtypeStruct(config.shape(), jnp.float32)
        spatial, _ = oracle.windows(config)
        pooled = jax.eval_shape(pooling(config), x).shape
        assert pooled == config.shape(spatial=spatial), config
        if isinstance(config, Config):
            arguments = config.arguments()
            for name in ("count_include_pad", "divisor_override", "data_format"):
                del arguments[name]
            assert pool_output_shape(config.spatial, **arguments) == spatial, config


@pytest.mark.parametrize(
    ("spatial", "arguments", "expected"),
    [
        ((224, 224), {"kernel": 2}, (112, 112)),
        ((112, 112), {"kernel": 3, "stride": 2, "padding": 1}, (56, 56)),
        ((112, 111), {"kernel": 3, "stride": 2, "ceil_mode": True}, (56, 55)),
        ((35,), {"kernel": 3, "stride": 2, "padding": "SAME"}, (18,)),
        ((35,), {"kernel": 3, "stride": 2, "padding": "VALID"}, (17,)),
        ((9, 9, 9), {"kernel": 3, "stride": 1, "dilation": 2}, (5, 5, 5)),
        # PyTorch drops a last window that would start in the padding at the end.
        ((4,), {"kernel": 2, "stride": 3, "padding": 1, "ceil_mode": True}, (2,)),
        ((5,), {"kernel": 1, "stride": 3, "ceil_mode": True}, (2,)),
        # A kernel that exceeds the padded input by less than a stride has a window.
        ((1, 4), {"kernel": 2, "ceil_mode": True}, (1, 2)),
        ((8,), {"kernel": 13, "stride": 4, "padding": 1, "ceil_mode": True}, (1,)),
        ((3,), {"kernel": 3, "stride": 3, "dilation": 2, "ceil_mode": True}, (1,)),
        ([8, 8], {"kernel": [2, 4]}, (4, 2)),
        ((5, 5, 5, 5), {"kernel": 2}, (2, 2, 2, 2)),
    ],
)
def test_known_shapes(spatial, arguments, expected):
    assert pool_output_shape(spatial, **arguments) == expected


@pytest.mark.parametrize("padding", [0, 1, "SAME", "SAME_LOWER"])
@pytest.mark.parametrize("ceil_mode", [True, False])
def test_symbolic_sizes_give_the_same_formula(padding, ceil_mode):
    options = {"stride": 2, "padding": padding, "ceil_mode": ceil_mode}
    h, w = export.symbolic_shape("h, w")
    symbolic = pool_output_shape((h, w), 3, **options)
    evaluate = export.export(jax.jit(lambda x: jnp.array(pooled_shape(x.shape, options))))
    exported = evaluate(jax.ShapeDtypeStruct((h, w), jnp.float32))
    for size in [(5, 6), (7, 8), (9, 3)]:
        assert tuple(exported.call(jnp.ones(size))) == pool_output_shape(size, 3, **options)
    assert not any(isinstance(size, int) for size in symbolic)


def pooled_shape(shape, options):
    return [jnp.asarray(size) for size in pool_output_shape(shape, 3, **options)]
