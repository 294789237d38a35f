"""Writes torch_resnet.npz: the logits of a small resnet50d of timm.

Weights and images follow from seeds, so the file holds only the names and shapes of the weights.

pip install torch timm jax flax && PYTHONPATH=. python tests/golden/make_torch_resnet.py
"""

import json
import sys
from pathlib import Path

import numpy as np
import timm
import torch

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "examples"))
from port_resnet50d import random_state  # noqa: E402

# A quarter of the width, and one block for each size of the image.
SMALL = {"layers": (1, 1, 1, 1), "channels": (16, 32, 64, 128), "stem_width": 8}
# In the second a pool gets a single pixel; in the last every pool has an odd size.
SIZES = ((32, 32), (16, 9), (35, 66))


def main():
    """Runs the network on images of each size, then in training, and saves the logits."""
    model = timm.create_model("resnet50d", num_classes=10, **SMALL)
    shapes = {path: list(value.shape) for path, value in model.state_dict().items()}
    state = {path: torch.tensor(value) for path, value in random_state(shapes, seed=0).items()}
    model.load_state_dict(state, strict=False)
    saved = {"shapes": np.array(json.dumps(shapes)), "timm": np.array(timm.__version__)}
    with torch.inference_mode():
        for height, width in SIZES:
            x = np.random.RandomState(1).standard_normal((2, 3, height, width))
            x = torch.tensor(x, dtype=torch.float32)
            saved[f"{height}x{width}"] = model.eval()(x).numpy()
        saved["trained"] = model.train()(x).numpy()  # of the last images
    saved["mean"] = model.state_dict()["layer4.0.downsample.2.running_mean"].numpy()
    path = Path(__file__).with_name("torch_resnet.npz")
    np.savez_compressed(path, **saved)
    print(f"{len(SIZES)} sizes, {path.stat().st_size} bytes, timm {timm.__version__}")


if __name__ == "__main__":
    main()
