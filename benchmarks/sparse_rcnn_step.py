"""Sparse R-CNN beside PyTorch: python benchmarks/sparse_rcnn_step.py [--json] [--full] [--seconds S].

Milliseconds of a training step (forward, matching, losses, backward, AdamW with the gradient's norm bounded) and of
inference, Paddle and PyTorch taking turns in one process on one thread, the ratio being the median of the paired
rounds. Inference is the exported network in Paddle Inference, run as its description says, against PyTorch's eager
evaluation. ``scaled`` is the network of sparse-rcnn/bccd on a batch of its size, ``paper`` (with ``--full``) ResNet-50
with 100 proposals in full width on one picture of 256 pixels. Pictures are generated. PyTorch's side is the counterpart
in ``reference/``, whose RoIAlign is a ``grid_sample``; the reference does not need torchvision and its compiled one.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from fuxian.training.machine import prepare

prepare()

import numpy as np
import paddle
import torch

from fuxian.papers.sparse_rcnn import recipe as ours
from fuxian.papers.sparse_rcnn.export import Detector
from fuxian.papers.sparse_rcnn.reference import recipe as theirs
from fuxian.papers.sparse_rcnn.settings import RANDOM, SETTINGS, Setting
from fuxian.recipe import to_tensors
from fuxian.training.inference import describe_export, described, predictor
from fuxian.weights import apply, plan
from interleaved import interleaved

SCALED = replace(SETTINGS["bccd"], data="generated")
PAPER = replace(
    SETTINGS["coco-r50-100"],
    data="generated",
    start=RANDOM,
    short_sides=(256,),
    test_side=256,
    longest=320,
    batch=1,
    test_batch=1,
)
NEAR = 0.05
"""Of what an untrained stage moves a box by."""


def built(setting: Setting) -> tuple:
    """Recipes and networks of both, with the same weights."""
    parts, counterpart = (one.recipe(iterations=100, setting=setting) for one in (ours, theirs))
    torch.manual_seed(0)
    other = counterpart.model()
    # Untrained stages send boxes so far out that rounding decides where they end.
    for stage in other.head.head_series:
        with torch.no_grad():
            stage.bboxes_delta.weight.mul_(NEAR)
            stage.bboxes_delta.bias.mul_(NEAR)
    network = parts.model()
    state = {name: value.numpy() for name, value in other.state_dict().items()}
    carried = apply(plan(network, state), state)
    network.set_state_dict({name: paddle.to_tensor(value) for name, value in carried.items()})
    return parts, counterpart, network, other


def training(setting: Setting, seconds: float) -> dict:
    parts, counterpart, network, other = built(setting)
    drawing = parts.train_data()
    began = time.process_time()
    batch = [drawing[step] for step in range(5)][-1]
    reader = (time.process_time() - began) / 5
    network.train(), other.train()
    adam, _ = parts.optimizer(network)
    torch_adam, _ = counterpart.optimizer(other)
    mine, others = (
        [to_tensors(framework, batch[part]) for part in ("inputs", "targets")]
        for framework in ("paddle", "torch")
    )

    def paddle_step() -> None:
        parts.loss(network(*mine[0]), mine[1])["total"].backward()
        adam.step()
        adam.clear_grad()

    def torch_step() -> None:
        counterpart.loss(other(*others[0]), others[1])["total"].backward()
        torch_adam.step()
        torch_adam.zero_grad()

    row = interleaved(paddle_step, torch_step, seconds, clock=time.process_time)
    return {"pictures": setting.batch, **row, "reader_share": reader * 1e3 / row["paddle_ms"]}


def inferring(setting: Setting, seconds: float) -> dict:
    parts, _, network, other = built(setting)
    # As many pictures as a training batch has, of one size.
    pictures, sizes = (np.asarray(one) for one in parts.train_data()[0]["inputs"])
    sizes = sizes.astype(np.float32)
    network.eval(), other.eval()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        spec = [
            paddle.static.InputSpec([None, 3, None, None], "float32", "pictures"),
            paddle.static.InputSpec([None, 2], "float32", "sizes"),
        ]
        paddle.jit.save(Detector(network), str(folder / "model"), input_spec=spec)
        describe_export(folder, [pictures, sizes])
        onednn = described(folder)["onednn"]
        made = predictor(folder)
        found: dict[str, np.ndarray] = {}

        def paddle_run() -> None:
            for name, array in (("pictures", pictures), ("sizes", sizes)):
                made.get_input_handle(name).copy_from_cpu(array)
            made.run()
            found["paddle"] = made.get_output_handle(made.get_output_names()[0]).copy_to_cpu()

        def torch_run() -> None:
            with torch.no_grad():
                logits, _ = other(torch.from_numpy(pictures), torch.from_numpy(sizes))
                found["torch"] = logits[-1].sigmoid().numpy()

        row = interleaved(paddle_run, torch_run, seconds, clock=time.process_time)
    apart = float(np.abs(found["paddle"] - found["torch"]).max())
    assert apart < 1e-3, f"the two sides' scores are {apart:.1e} apart"
    return {"pictures": len(pictures), **row, "apart": apart, "onednn": onednn}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    parser.add_argument("--full", action="store_true", help="the paper's network too")
    parser.add_argument("--seconds", type=float, default=20.0, help="spent on each timed row")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    settings = {"scaled": SCALED, **({"paper": PAPER} if asked.full else {})}
    document = {
        name: {"training": training(one, asked.seconds), "inference": inferring(one, asked.seconds)}
        for name, one in settings.items()
    }
    if asked.json:
        print(json.dumps(document))
        return
    for name, rows in document.items():
        for part, row in rows.items():
            more = f", drawing a batch {row['reader_share']:.1%} of a step" if "reader_share" in row else ""
            print(
                f"{name:8}{part:10}{row['pictures']} pictures: paddle {row['paddle_ms']:.0f} ms, torch"
                f" {row['torch_ms']:.0f} ms, ratio {row['ratio']:.2f} over {row['rounds']} rounds{more}"
            )


if __name__ == "__main__":
    main()
