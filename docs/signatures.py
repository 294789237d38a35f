"""Signatures in the reference as one calls them, for mkdocstrings."""

from typing import Any

import griffe


class AsCalled(griffe.Extension):
    """Leaves out what Flax adds to its modules, and shortens where `jax.Array` says that it is."""

    def on_function(self, *, func: griffe.Function, **_: Any) -> None:
        """Called by griffe."""
        if func.name == "__init__":
            own = [p for p in func.parameters if p.name not in ("parent", "name")]
            func.parameters = griffe.Parameters(*own)
        if "jaxlib" in str(func.returns):
            func.returns = "Array"
