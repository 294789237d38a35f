"""What the library makes of a configuration before it sums."""

from oracle import Adaptive

from jaxpool._parse import Caller, lay, parse_adaptive, parse_pool


def spans_of(config):
    """The spans that the library lays on the axes of the configuration's array."""
    arguments = config.arguments()
    caller, parse = Caller(config.function), parse_pool
    if isinstance(config, Adaptive):
        parse = parse_adaptive
    else:
        arguments = {"count_include_pad": True, **arguments}
    pool = parse(caller, config.ndim, **arguments)
    first_axis = len(config.shape()) - config.ndim - config.channels_last
    return lay(caller, pool.windows, config.spatial, first_axis, "x", config.spatial)
