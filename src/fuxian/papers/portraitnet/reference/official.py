"""Runs the official PyTorch code on the parity case and records what it computes, as sketches.

python -m fuxian.papers.portraitnet.reference.official CHECKOUT

CHECKOUT is a clone of github.com/dong-x16/PortraitNet, written for Python 2.7 and PyTorch 0.3. Its network, focal
loss, KL loss and augmentations are compiled from its files with what has changed since put right: ``/`` of sizes is
``//``, ``kaiming_normal`` and ``long`` have other names, and ``findContours`` returns two values. BN's epsilon is the
float32 one, as Paddle keeps it.
"""

from __future__ import annotations

import argparse
import ast
import builtins
import hashlib
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fuxian.align.sketch import sketch
from fuxian.papers.portraitnet.reference.cases import (
    STEPS,
    batch,
    drawn_weight,
    masked_picture,
    placements,
)
from fuxian.weights import save_tensors

RECORDED = Path(__file__).parent / "official.safetensors"
REPO = "https://github.com/dong-x16/PortraitNet"
EDGE_RATIO, ALPHA, TEMPERATURE = 0.1, 2, 1
"""Of config/model_mobilenetv2_with_two_auxiliary_losses.yaml."""


def compiled(file: Path, changes: dict[str, str], only: tuple[str, ...] = ()) -> dict[str, Any]:
    """What a file of the checkout defines, or those of its functions that are named, after textual changes."""
    text = file.read_text()
    for old, new in changes.items():
        if old not in text:
            raise SystemExit(f"{file} does not hold {old!r}: it is another version than the one recorded.")
        text = text.replace(old, new)
    tree = ast.parse(text)
    if only:
        tree.body = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in only]
    names: dict[str, Any] = {"np": np, "nn": torch.nn, "F": torch.nn.functional, "__name__": file.stem}
    exec(compile(tree, str(file), "exec"), names)  # noqa: S102
    return names


def build(network: Any, dtype: torch.dtype) -> torch.nn.Module:
    """The official network with the case's weights, in training mode."""
    torch.set_default_dtype(dtype)
    made = network(n_class=2, addEdge=True, channelRatio=1.0, minChannel=16, weightInit=True)
    with torch.no_grad():
        for name, value in made.state_dict().items():
            if not name.endswith("num_batches_tracked"):
                value.copy_(torch.from_numpy(drawn_weight(name, tuple(value.shape))))
    for module in made.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eps = float(np.float32(1e-5))
    return made.train()


def losses(network: torch.nn.Module, parts: dict[str, Any], step: int, dtype: torch.dtype) -> dict[str, Any]:
    """Outputs and losses of a step, composed as in train(): addEdge, stability and use_kl are on."""
    augmented, original = (torch.from_numpy(one).to(dtype) for one in batch(step)[:2])
    mask, edge = (torch.from_numpy(one) for one in batch(step)[2:])
    cross_entropy = torch.nn.CrossEntropyLoss(ignore_index=255)
    output_mask, output_edge = network(augmented)
    loss_mask = cross_entropy(output_mask, mask)
    loss_edge = parts["FocalLoss"](gamma=2)(output_edge, edge) * EDGE_RATIO
    output_mask_ori, _ = network(original)
    loss_mask_ori = cross_entropy(output_mask_ori, mask)
    loss_stability = parts["loss_KL"](output_mask, output_mask_ori.detach(), TEMPERATURE) * ALPHA
    return {
        "output/mask": output_mask,
        "output/edge": output_edge,
        "output/original": output_mask_ori,
        "loss/mask": loss_mask,
        "loss/edge": loss_edge,
        "loss/original": loss_mask_ori,
        "loss/consistency": loss_stability,
        "loss/total": loss_mask + loss_mask_ori + loss_stability + loss_edge,
    }


def some_steps(parts: dict[str, Any], dtype: torch.dtype) -> np.ndarray:
    """The losses of the first steps with the official optimizer."""
    network = build(parts["MobileNetV2"], dtype)
    optimizer = torch.optim.Adam(network.parameters(), 1e-3, weight_decay=5e-4)
    found = []
    for step in range(STEPS):
        total = losses(network, parts, step, dtype)["loss/total"]
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        found.append(total.item())
    return np.array(found)


def of_data(parts: dict[str, Any]) -> dict[str, np.ndarray]:
    """Placements of given draws; edges and the padded test picture of generated masks."""
    found: dict[str, np.ndarray] = {}
    for number, (width, height, side, draws) in enumerate(placements()):
        left = list(draws)
        parts["random"] = types.SimpleNamespace(random=lambda left=left: left.pop(0))
        box = [0, 0, width - 1, height - 1]
        found[f"placement/{number}"] = parts["aug_matrix"](width, height, box, side, side, offset=side / 4)
    for number in range(3):
        picture, mask = masked_picture(number)
        found[f"edge/{number}"] = sketch(parts["show_edge"](mask))
        padded, padded_mask = parts["padding"](picture, mask, size=64, padding_color=128)
        normal = parts["Normalize_Img"](padded, 1, [103.94, 116.78, 123.68], [0.017] * 3)
        found[f"padded/{number}"] = sketch(np.transpose(normal, (2, 0, 1)))
        found[f"padded_mask/{number}"] = sketch(padded_mask)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkout", type=Path)
    asked = parser.parse_args()
    for name in ("torchvision", "torchvision.models"):
        sys.modules[name] = types.ModuleType(name)
    builtins.long = int  # type: ignore[attr-defined]
    root = asked.checkout
    network = root / "model" / "model_mobilenetv2_seg_small.py"
    parts = {
        **compiled(network, {"(kernel-1)/2": "(kernel-1)//2", "kaiming_normal(": "kaiming_normal_("}),
        "FocalLoss": compiled(root / "util" / "focal_loss.py", {})["FocalLoss"],
        "loss_KL": compiled(root / "myTrain" / "train.py", {}, ("loss_KL",))["loss_KL"],
    }
    data = compiled(
        root / "data" / "data_aug.py",
        {"img, countours, hierarchy = ": "countours, hierarchy = "},
        ("show_edge", "aug_matrix", "padding", "Normalize_Img"),
    )
    import math

    import cv2

    data |= {"cv2": cv2, "math": math}

    started = parts["MobileNetV2"](n_class=2, addEdge=True, channelRatio=1.0, minChannel=16, weightInit=True)
    found = {
        f"initial/{name}": sketch(value.numpy())
        for name, value in started.state_dict().items()
        if name.startswith("deconv")
    }
    double = build(parts["MobileNetV2"], torch.float64)
    computed = losses(double, parts, 0, torch.float64)
    computed["loss/total"].backward()
    for name, value in computed.items():
        found[name] = np.array(value.item()) if name.startswith("loss/") else sketch(value.detach().numpy())
    for name, parameter in double.named_parameters():
        found[f"gradient/{name}"] = sketch(parameter.grad.numpy())
    for dtype in ("float32", "float64"):
        found[f"steps/{dtype}"] = some_steps(parts, getattr(torch, dtype))
    found |= of_data(data)
    git = ["git", "-C", str(root), "rev-parse", "HEAD"]
    about = {
        "repo": REPO,
        "commit": subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip(),  # noqa: S603
        "command": "python -m fuxian.papers.portraitnet.reference.official CHECKOUT",
        "torch": torch.__version__,
        "sha256": hashlib.sha256(network.read_bytes()).hexdigest(),
    }
    save_tensors(RECORDED, found, about)
    print({name: float(value) for name, value in found.items() if name.startswith("loss/")})


if __name__ == "__main__":
    main()
