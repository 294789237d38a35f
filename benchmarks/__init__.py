"""How fast pools are, and what their programs cost, beside other libraries.

Each command measures, and with --save writes one long table to benchmarks/results:

    python -m benchmarks.cpu           times on this machine's CPU
    python -m benchmarks.gpu           times of kernels on this machine's GPU
    python -m benchmarks.compiled      programs compiled for a TPU or a GPU that need not be there
    python -m benchmarks.collectives   what programs for many devices exchange
    python -m benchmarks.deploy        times in the runtimes that models are converted to
    python -m benchmarks.tables        the facts of README and the pages, from these tables
"""
