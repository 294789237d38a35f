"""What the library makes of a configuration before it sums."""

from oracle import Adaptive

from jaxpool._parse import ErrorContext, parse_adaptive, parse_pool, place_windows


def spans_of(config):
    """The windows that the library places on the axes of the configuration's array."""
    context = ErrorContext(config.function)
    parse = parse_adaptive if isinstance(config, Adaptive) else parse_pool
    windows = parse(context, config.ndim, **config.arguments()).windows
    first_axis = len(config.shape()) - config.ndim - config.channels_last
    return place_windows(context, windows, config.spatial, first_axis, "x", config.spatial)
