"""PSENet in Paddle against PyTorch: python benchmarks/psenet_step.py [--rounds N] [--json].

Two networks: ``paper`` is ResNet-50 in full width on one rendered picture of 256 x 256 (736 in the paper), ``scaled``
the network of psenet/ic15-own-split on its batch. For each

- ``step``: forward, loss, backward and optimizer of a training step;
- ``inference``: the exported network in Paddle Inference, run as its description says (fused layers by oneDNN: that
  refuses bilinear interpolation in Paddle 3.3.1), against PyTorch's eager evaluation;
- ``reader``: making one batch, as a share of Paddle's step;
- ``drift``: five training steps in float32 from the same weights on the same batches. ``torch`` is how far PyTorch's
  losses lie from its own in float64, ``paddle`` how far Paddle's do, at most, relative.

Both frameworks use one thread and take turns; a row is the median of the processor's time over the rounds, the ratio
that of the rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from fuxian.training.machine import prepare

prepare()

import cv2
import numpy as np
import paddle
import torch

from fuxian.papers.psenet import data, recipe
from fuxian.papers.psenet.reference import recipe as reference
from fuxian.papers.psenet.settings import SETTINGS, Setting
from fuxian.training.inference import describe_export, predictor
from interleaved import interleaved

NETWORKS = {
    "paper": replace(SETTINGS["ic15-r50"], crop=256, batch=1, rendered=1.0),
    "scaled": replace(SETTINGS["ic15-own-split"], rendered=1.0),
}
STEPS = 5


def port_name(name: str) -> str:
    return name.replace("running_mean", "_mean").replace("running_var", "_variance")


def built(setting: Setting, dtype: str):
    """Recipes, networks and optimizers of both frameworks, with PyTorch's weights in both."""
    ours, theirs = (
        recipe.recipe(iterations=STEPS, setting=setting),
        reference.recipe(iterations=STEPS, setting=setting),
    )
    torch.manual_seed(0)
    torch_model = theirs.model().to(getattr(torch, dtype))
    paddle.set_default_dtype(dtype)
    model = ours.model()
    paddle.set_default_dtype("float32")
    state = {port_name(n): v.numpy() for n, v in torch_model.state_dict().items() if "num_batches" not in n}
    model.set_state_dict({name: paddle.to_tensor(value) for name, value in state.items()})
    return ours, theirs, model, torch_model


def paddle_step(parts, model, optimizer, batch, dtype="float32"):
    losses = parts.loss(
        model(paddle.to_tensor(batch["inputs"][0].astype(dtype))),
        tuple(map(paddle.to_tensor, batch["targets"])),
    )
    losses["total"].backward()
    optimizer.step()
    optimizer.clear_grad()
    return float(losses["total"])


def torch_step(parts, model, optimizer, batch, dtype="float32"):
    losses = parts.loss(
        model(torch.tensor(batch["inputs"][0].astype(dtype))), tuple(map(torch.tensor, batch["targets"]))
    )
    losses["total"].backward()
    optimizer.step()
    optimizer.zero_grad()
    return losses["total"].item()


def drift(setting: Setting) -> dict[str, float]:
    batches = data.training(setting, length=STEPS, seed=0)
    curves = {}
    for dtype in ("float64", "float32"):
        ours, theirs, model, torch_model = built(setting, dtype)
        pairs = [
            ("paddle", paddle_step, ours, model, ours.optimizer(model)[0]),
            ("torch", torch_step, theirs, torch_model, theirs.optimizer(torch_model)[0]),
        ]
        for name, step, parts, network, optimizer in pairs:
            network.train()
            curves[name, dtype] = np.array(
                [step(parts, network, optimizer, batch, dtype) for batch in batches]
            )
    truth = curves["torch", "float64"]
    return {name: float(np.abs(curves[name, "float32"] / truth - 1).max()) for name in ("torch", "paddle")}


def exported(model, pictures):
    """What runs the exported network as its description says."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        model.eval()
        spec = [paddle.static.InputSpec([None, 3, None, None], "float32")]
        paddle.jit.save(model, str(folder / "model"), input_spec=spec)
        describe_export(folder, [pictures])
        made = predictor(folder)
    entry = made.get_input_handle(made.get_input_names()[0])

    def run(given):
        entry.reshape(list(given.shape))
        entry.copy_from_cpu(given)
        made.run()
        return made.get_output_handle(made.get_output_names()[0]).copy_to_cpu()

    return run


def compared(ours, theirs, rounds: int) -> dict[str, float]:
    row = interleaved(ours, theirs, 0.0, at_least=rounds, clock=time.process_time)
    return {name: round(value, 2) for name, value in row.items()}


def measured(setting: Setting, rounds: int) -> dict[str, dict[str, float]]:
    batches = data.training(setting, length=100, seed=1)
    batch = batches[0]
    ours, theirs, model, torch_model = built(setting, "float32")
    (optimizer, _), (torch_optimizer, _) = ours.optimizer(model), theirs.optimizer(torch_model)
    step = compared(
        lambda: paddle_step(ours, model, optimizer, batch),
        lambda: torch_step(theirs, torch_model, torch_optimizer, batch),
        rounds,
    )
    began = time.process_time()
    for number in range(1, 1 + rounds):
        batches[number]
    reader = 1000 * (time.process_time() - began) / rounds
    ours, theirs, model, torch_model = built(setting, "float32")
    pictures = batch["inputs"][0]
    run = exported(model, pictures)
    torch_model.eval()

    def eager():
        with torch.no_grad():
            return torch_model(torch.tensor(pictures)).numpy()

    worst = float(np.abs(run(pictures) - eager()).max() / np.abs(eager()).max())
    inference = compared(lambda: run(pictures), eager, rounds) | {"difference": worst}
    return {
        "step": step,
        "inference": inference,
        "reader": {"ms": round(reader, 1), "share_of_step": round(reader / step["paddle_ms"], 3)},
        "drift": drift(setting),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", choices=list(NETWORKS))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    found = {
        name: measured(setting, options.rounds)
        for name, setting in NETWORKS.items()
        if options.only in (None, name)
    }
    if options.json:
        print(json.dumps(found))
        return
    for network, rows in found.items():
        for row, figures in rows.items():
            print(
                f"{network:7} {row:10}", ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
            )


if __name__ == "__main__":
    main()
