"""What compiled programs cost on chips that are not there: `python -m benchmarks.compiled`.

With the extras `compilers` and `peers`. XLA's compilers run without the chips that they compile
for, and say of a program how much it moves and, for a TPU, when it does what. The figures depend on
the versions of JAX and of the compilers, and on nothing else: they are the same on every machine.
"""
