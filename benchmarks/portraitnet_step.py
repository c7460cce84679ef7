"""PortraitNet beside PyTorch: python benchmarks/portraitnet_step.py [--json] [--only parity|speed].

*Parity*: the port against the official code's recorded numbers, outputs, losses and every gradient in float64, and five
training steps in float32, whose distance from the official float64 losses is set beside the official float32's own.
*Training step* and *inference*: milliseconds, Paddle and PyTorch taking turns in one process on one thread, the ratio
being the median of the paired rounds. Inference is Paddle Inference with oneDNN against PyTorch's eager evaluation. The
table of layers says where a training step's time goes: forward and backward of one layer of each kind.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

from fuxian.training.machine import prepare

prepare()

import numpy as np
import paddle
import torch
from paddle import inference

from fuxian.papers.portraitnet import recipe as ours
from fuxian.papers.portraitnet.export import Segmenter
from fuxian.papers.portraitnet.model import PortraitNet
from fuxian.papers.portraitnet.reference import parity
from fuxian.papers.portraitnet.reference import recipe as theirs
from fuxian.papers.portraitnet.reference.torch_portraitnet import PortraitNet as TorchPortraitNet
from fuxian.papers.portraitnet.settings import SETTINGS
from fuxian.recipe import to_tensors
from fuxian.weights import load_tensors
from interleaved import interleaved

LAYERS = {
    "depthwise 3x3": ((8, 144, 24, 24), {"groups": 144, "padding": 1}, (144, 1, 3, 3)),
    "pointwise": ((8, 24, 24, 24), {}, (144, 24, 1, 1)),
    "deconvolution": ((8, 16, 24, 24), {"stride": 2, "padding": 1}, (16, 16, 4, 4)),
}
"""By name: the input's shape, the call's arguments, the weight's shape."""


def parity_table() -> dict:
    apart = parity.differences(parity.one_batch())
    worst = max(apart, key=apart.__getitem__)
    recorded = load_tensors(parity.RECORDED)
    exact = recorded["steps/float64"]
    return {
        "tensors": len(apart),
        "worst": apart[worst],
        "where": worst,
        "port_float32": np.abs(parity.float32_losses() / exact - 1).tolist(),
        "official_float32": np.abs(recorded["steps/float32"] / exact - 1).tolist(),
    }


def training(seconds: float) -> dict:
    """A step of the scaled claim, its batch drawn beforehand; and the share that drawing a batch takes."""
    parts, counterpart = ours.recipe(iterations=100), theirs.recipe(iterations=100)
    drawing = parts.train_data()
    began = time.process_time()
    batch = [drawing[step] for step in range(3)][-1]
    reader = (time.process_time() - began) / 3
    network, other = parts.model(), counterpart.model()
    network.train(), other.train()
    adam, _ = parts.optimizer(network)
    torch_adam, _ = counterpart.optimizer(other)
    mine, others = (
        [to_tensors(framework, batch[part]) for part in ("inputs", "targets")]
        for framework in ("paddle", "torch")
    )

    def paddle_step() -> None:
        parts.loss(parts.forward(network, mine[0]), mine[1])["total"].backward()
        adam.step()
        adam.clear_grad()

    def torch_step() -> None:
        counterpart.loss(counterpart.forward(other, others[0]), others[1])["total"].backward()
        torch_adam.step()
        torch_adam.zero_grad()

    row = interleaved(paddle_step, torch_step, seconds, clock=time.process_time)
    pictures = SETTINGS["portraits"].batch
    return {"pictures": pictures, **row, "reader_share": reader * 1e3 / row["paddle_ms"]}


def layers(seconds: float) -> list[dict]:
    rows = []
    for name, (shape, arguments, weight) in LAYERS.items():
        rng = np.random.default_rng(0)
        values = [rng.standard_normal(one).astype(np.float32) for one in (shape, weight)]
        x, w = (paddle.to_tensor(one, stop_gradient=False) for one in values)
        u, v = (torch.tensor(one, requires_grad=True) for one in values)
        across = name == "deconvolution"
        paddle_call = paddle.nn.functional.conv2d_transpose if across else paddle.nn.functional.conv2d
        torch_call = torch.conv_transpose2d if across else torch.conv2d

        def paddle_step(x=x, w=w, call=paddle_call, arguments=arguments) -> None:
            call(x, w, **arguments).sum().backward()
            x.clear_gradient(), w.clear_gradient()

        def torch_step(u=u, v=v, call=torch_call, arguments=arguments) -> None:
            call(u, v, **arguments).sum().backward()
            u.grad = v.grad = None

        rows.append({"layer": name, **interleaved(paddle_step, torch_step, seconds, clock=time.process_time)})
    return rows


def inferring(pictures: int, seconds: float) -> dict:
    side = SETTINGS["portraits"].side
    batch = np.random.default_rng(0).normal(0, 1, (pictures, 3, side, side)).astype(np.float32)
    network, other = PortraitNet(), TorchPortraitNet()
    state = other.state_dict()
    with torch.no_grad():
        for name, value in network.state_dict().items():
            state[parity.official_name(name)].copy_(torch.from_numpy(value.numpy()))
    network.eval(), other.eval()
    with tempfile.TemporaryDirectory() as folder:
        spec = [paddle.static.InputSpec([None, *batch.shape[1:]], "float32", "pictures")]
        paddle.jit.save(Segmenter(network), str(Path(folder) / "model"), input_spec=spec)
        config = inference.Config(str(Path(folder) / "model.json"), str(Path(folder) / "model.pdiparams"))
        config.enable_mkldnn()
        config.set_cpu_math_library_num_threads(1)
        config.disable_glog_info()
        predictor = inference.create_predictor(config)
        given = predictor.get_input_handle("pictures")
        result = predictor.get_output_handle(predictor.get_output_names()[0])
        found = {}

        def paddle_run() -> None:
            given.copy_from_cpu(batch)
            predictor.run()
            found["paddle"] = result.copy_to_cpu()

        def torch_run() -> None:
            with torch.no_grad():
                found["torch"] = other.foreground(torch.from_numpy(batch)).numpy()

        row = interleaved(paddle_run, torch_run, seconds, clock=time.process_time)
    apart = float(np.abs(found["paddle"] - found["torch"]).max())
    assert apart < 1e-3, f"the two sides' probabilities are {apart:.1e} apart"
    return {"pictures": pictures, **row, "apart": apart}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="one JSON document instead of tables")
    parser.add_argument("--seconds", type=float, default=5.0, help="spent on each timed row")
    parser.add_argument("--only", choices=["parity", "speed"], help="one part alone")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    document: dict = {}
    if asked.only != "speed":
        document["parity"] = parity_table()
    if asked.only != "parity":
        document["inference"] = [inferring(1, asked.seconds), inferring(8, asked.seconds)]
        document["training"] = training(asked.seconds)
        document["layers"] = layers(asked.seconds / 5)
    if asked.json:
        print(json.dumps(document))
        return
    if row := document.get("parity"):
        print(f"parity: {row['tensors']} tensors, worst {row['worst']:.1e}: {row['where']}")
        for side in ("port", "official"):
            apart = " ".join(f"{one:.1e}" for one in row[f"{side}_float32"])
            print(f"float32 steps, {side:8} off the official float64 by {apart}")
    timed = [("inference", f"{row['pictures']} pictures", row) for row in document.get("inference", [])]
    if row := document.get("training"):
        timed.append(("training", f"{row['pictures']} pictures", row))
        print(f"drawing a batch takes {row['reader_share']:.1%} of a step")
    timed += [("layer", row["layer"], row) for row in document.get("layers", [])]
    for part, name, row in timed:
        print(
            f"{part:10}{name:14}: paddle {row['paddle_ms']:.1f} ms, torch {row['torch_ms']:.1f} ms,"
            f" ratio {row['ratio']:.2f} over {row['rounds']} rounds"
        )


if __name__ == "__main__":
    main()
