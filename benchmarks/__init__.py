"""How fast pools are, and what their programs cost, beside other libraries.

docs/design.md lists the commands. With --save each writes a table to benchmarks/results.
"""
