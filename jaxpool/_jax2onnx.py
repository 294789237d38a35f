"""Teaches jax2onnx the choice of the platform: an ONNX graph holds the CPU's plan.

`average` imports it in programs that have imported jax2onnx. That knows neither `platform_index`
nor the conditional over it, which are what `lax.platform_dependent` traces to.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jax2onnx.plugins.jax.lax._control_flow_utils import lower_jaxpr_eqns
from jax2onnx.plugins.jax.lax.cond import CondPlugin
from jax2onnx.plugins.plugin_system import PrimitiveLeafPlugin, register_primitive


def _of_cpu(platforms: Sequence[Sequence[str] | None]) -> int:
    """Which branch the CPU takes; None is the default."""
    return next(i for i, names in enumerate(platforms) if names is None or "cpu" in names)


@register_primitive(jaxpr_primitive="platform_index")
class PlatformIndex(PrimitiveLeafPlugin):  # type: ignore[misc]
    """A constant."""

    def lower(self, ctx: Any, eqn: Any) -> None:
        """Adds it to the graph."""
        index = np.int32(_of_cpu(eqn.params["platforms"]))
        ctx.bind_const_for_var(eqn.outvars[0], index)


@register_primitive(jaxpr_primitive="cond")
class Cond(CondPlugin):  # type: ignore[misc]
    """A conditional over platforms is one branch of it; all others stay jax2onnx's."""

    def lower(self, ctx: Any, eqn: Any) -> None:
        """Adds it to the graph."""
        platforms = eqn.params.get("branches_platforms")
        if platforms is None:
            super().lower(ctx, eqn)
            return
        branch = eqn.params["branches"][_of_cpu(platforms)]
        for variable, constant in zip(branch.jaxpr.constvars, branch.consts, strict=True):
            ctx.bind_const_for_var(variable, np.asarray(constant))
        for outside, inside in zip(eqn.invars[1:], branch.jaxpr.invars, strict=True):
            ctx.bind_value_for_var(inside, ctx.get_value_for_var(outside))
        lower_jaxpr_eqns(ctx, branch.jaxpr, source="platform_dependent")
        for outside, inside in zip(eqn.outvars, branch.jaxpr.outvars, strict=True):
            ctx.bind_value_for_var(outside, ctx.get_value_for_var(inside))
