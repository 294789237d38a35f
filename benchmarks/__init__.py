"""How fast jaxpool is beside its peers: `python -m benchmarks`, with the extra `bench`."""

import os

# XLA would break into the progress bar to say that a peer makes it fold large constants.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
