"""Square roots in the portable mode: exact, and with them a training's bits the same on a processor of another make."""

import os
import shutil
import subprocess
import sys

import numpy as np
import paddle
import pytest
from paddle import nn

from fuxian.training.exact_roots import exact_roots, fingerprint
from fuxian.training.numeric_mode import OVERRULES, PORTABLE

TRAINING = """
import hashlib, sys
import numpy as np
from fuxian.training.exact_roots import exact_roots
from fuxian.training.numeric_mode import make_portable
make_portable()
import paddle
from paddle import nn
draws = np.random.default_rng(0)
def tensor(*shape): return paddle.to_tensor(draws.normal(size=shape).astype("float32"))
with exact_roots():
    for made in (paddle.optimizer.Adam, paddle.optimizer.AdamW, paddle.optimizer.RMSProp):
        paddle.seed(0)
        net = nn.Sequential(
            nn.Conv2D(3, 16, 3, padding=1), nn.BatchNorm2D(16), nn.GELU(), nn.Conv2D(16, 16, 3, groups=16),
            nn.InstanceNorm2D(16), nn.GroupNorm(4, 16), nn.LeakyReLU(0.2), nn.Conv2DTranspose(16, 8, 4, stride=2),
            nn.Flatten(), nn.utils.weight_norm(nn.Linear(8 * 22 * 22, 64)), nn.LayerNorm(64), nn.Linear(64, 10),
        )
        optimizer = made(1e-3, parameters=net.parameters(), grad_clip=nn.ClipGradByGlobalNorm(1.0))
        for _ in range(3):
            logits = net(tensor(4, 3, 12, 12))
            near = nn.functional.cosine_similarity(logits, tensor(4, 10)).sum() + paddle.sqrt(logits**2 + 1).sum()
            (nn.functional.cross_entropy(logits, paddle.arange(4)) + near + logits.std()).backward()
            optimizer.step()
            optimizer.clear_grad()
        state = net.state_dict().values()
        print(hashlib.sha256(b"".join(value.numpy().tobytes() for value in state)).hexdigest())
"""
OUTSIDE = fingerprint()
PROCESSORS = ("EPYC-Rome", "Haswell")
"""One of each maker that matters, as QEMU knows them. Its approximate roots are neither's."""


def test_roots_are_exact_within_and_as_before_after():
    numbers = np.geomspace(1e-6, 1e6, 20011, dtype=np.float32)
    before = paddle.sqrt(paddle.to_tensor(numbers)).numpy()
    with exact_roots():
        x = paddle.to_tensor(numbers, stop_gradient=False)
        made = [root(x) for root in (paddle.sqrt, paddle.tensor.sqrt, paddle.Tensor.sqrt)]
        inverse = paddle.rsqrt(x)
        made[0].sum().backward()
        assert fingerprint() == OUTSIDE
    for one in made:
        np.testing.assert_array_equal(one.numpy(), np.sqrt(numbers))
    wide = numbers.astype(np.float64)
    np.testing.assert_array_equal(inverse.numpy(), (1 / np.sqrt(wide)).astype(np.float32))
    np.testing.assert_allclose(x.grad.numpy(), 0.5 / np.sqrt(wide), rtol=1e-7)
    assert made[0].dtype == x.grad.dtype == paddle.float32
    np.testing.assert_array_equal(paddle.sqrt(paddle.to_tensor(numbers)).numpy(), before)


def test_a_batch_is_normalised_in_float64_with_its_running_statistics():
    draws = np.random.default_rng(0)
    x = draws.normal(2, 3, size=(6, 16, 5, 5)).astype(np.float32)
    layer = nn.BatchNorm2D(16)
    with exact_roots():
        out = layer(paddle.to_tensor(x)).numpy()
    axes, wide = (0, 2, 3), x.astype(np.float64)
    mean, variance = (f(wide, axis=axes) for f in (np.mean, np.var))
    expected = (wide - mean[:, None, None]) / np.sqrt(variance + 1e-5)[:, None, None]
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, expected, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(layer._mean.numpy(), 0.1 * mean, rtol=1e-6)
    np.testing.assert_allclose(layer._variance.numpy(), 0.9 + 0.1 * variance, rtol=1e-6)


def test_adam_steps_in_float64_and_keeps_its_moments():
    draws = np.random.default_rng(0)
    start, gradients = draws.normal(size=33).astype(np.float32), draws.normal(size=(3, 33)).astype(np.float32)
    weight = paddle.create_parameter([33], "float32")
    weight.set_value(start)
    optimizer = paddle.optimizer.Adam(0.01, parameters=[weight])
    m = v = np.zeros(33)
    expected = start.astype(np.float64)
    with exact_roots():
        for step, gradient in enumerate(gradients, 1):
            (weight * paddle.to_tensor(gradient)).sum().backward()
            optimizer.step()
            optimizer.clear_grad()
            m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient.astype(np.float64) ** 2
            expected = expected - 0.01 * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
    np.testing.assert_allclose(weight.numpy(), expected, atol=3e-6)


@pytest.mark.skipif(
    shutil.which("qemu-x86_64") is None, reason="needs QEMU's user mode: apt install qemu-user"
)
def test_a_portable_training_gives_the_same_bits_on_processors_of_other_makes():
    environment = {name: value for name, value in os.environ.items() if name not in (*PORTABLE, OVERRULES)}
    command = [sys.executable, "-W", "ignore", "-c", TRAINING]
    digests = []
    for processor in ("", *PROCESSORS):
        emulated = ["qemu-x86_64", "-cpu", processor] if processor else []
        done = subprocess.run(
            [*emulated, *command], env=environment, capture_output=True, text=True, check=True
        )
        digests.append([line for line in done.stdout.splitlines() if len(line) == 64])
    assert len(digests[0]) == 3
    assert digests[1:] == digests[:1] * len(PROCESSORS)
