"""What the library makes of a configuration before it sums."""

from oracle import Adaptive

from jaxpool._parse import Caller, lay, parse_adaptive, parse_pool


def spans_of(config):
    """The spans that the library lays on the axes of the configuration's array."""
    caller = Caller(config.function)
    parse = parse_adaptive if isinstance(config, Adaptive) else parse_pool
    pool = parse(caller, config.ndim, **config.arguments())
    first_axis = len(config.shape()) - config.ndim - config.channels_last
    return lay(caller, pool.windows, config.spatial, first_axis, "x", config.spatial)
