"""ArcFace beside PyTorch: python benchmarks/arcface_step.py [--json] [--full].

Three tables. *Parity*: the port against the official code's recorded numbers, embeddings, loss and every gradient in
float64, and with --full five training steps in float32, whose distance from the official float64 losses is set beside
the official float32's own. *Training step* and *inference*: milliseconds, Paddle and PyTorch taking turns in one
process on one thread, the ratio being the median of the paired rounds. Inference is Paddle Inference with oneDNN
against PyTorch's eager evaluation.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from fuxian.training.machine import prepare

prepare()

import numpy as np
import paddle
import torch
from paddle import inference, nn

from fuxian.papers.arcface.loss import margin_loss
from fuxian.papers.arcface.model import CosineHead, IResNet, Recognizer
from fuxian.papers.arcface.reference import parity, torch_arcface
from fuxian.papers.arcface.reference.cases import CASES, LEARNING_RATE, STEPS, batch
from fuxian.papers.arcface.settings import FOLDS, IRESNETS, Network
from fuxian.weights import load_tensors
from interleaved import interleaved

CLASSES = 700
SPEED = {"lfw-folds": (FOLDS.network, 64, 16), "r18": (IRESNETS["r18"], 4, 4)}
"""By name: the network, pictures of a training step, pictures of an inference."""
WITH_STEPS = ("r18", "mbf")


def parity_row(name: str, full: bool) -> dict:
    apart = parity.compare(name)
    worst = max(apart, key=apart.__getitem__)
    row = {
        "case": name,
        "side": CASES[name].side,
        "tensors": len(apart),
        "worst": apart[worst],
        "where": worst,
    }
    if full and name in WITH_STEPS:
        recorded = load_tensors(parity.RECORDED / f"{name}.safetensors")
        exact, theirs = recorded["steps/float64/losses"], recorded["steps/float32/losses"]
        ours = float32_losses(name)
        row["steps"] = {
            "port": np.abs(ours / exact - 1).tolist(),
            "official": np.abs(theirs / exact - 1).tolist(),
        }
    return row


def float32_losses(name: str) -> np.ndarray:
    """The losses of the first steps, as the official training takes them."""
    network, head = parity.build(CASES[name], "float32")
    schedule = paddle.optimizer.lr.LambdaDecay(LEARNING_RATE, lambda step: 1 - step / (2 * STEPS))
    optimizer = paddle.optimizer.Momentum(
        schedule,
        0.9,
        parameters=[*network.parameters(), *head.parameters()],
        weight_decay=5e-4,
        grad_clip=nn.ClipGradByGlobalNorm(5.0),
    )
    losses = []
    for step in range(STEPS):
        pictures, labels = batch(CASES[name], step)
        loss = head(network(paddle.to_tensor(pictures.astype(np.float32))), paddle.to_tensor(labels), step)
        loss.backward()
        optimizer.step()
        optimizer.clear_grad()
        schedule.step()
        losses.append(float(loss))
    return np.array(losses)


def training(name: str, seconds: float) -> dict:
    network, size, _ = SPEED[name]
    rng = np.random.default_rng(0)
    pictures = rng.uniform(-1, 1, (size, 3, network.side, network.side)).astype(np.float32)
    labels = rng.integers(0, CLASSES, size)
    ours = Recognizer(IResNet(network), CosineHead(CLASSES, network.features))
    ours.train()
    momentum = paddle.optimizer.Momentum(
        0.01, 0.9, parameters=ours.parameters(), weight_decay=5e-4, grad_clip=nn.ClipGradByGlobalNorm(5.0)
    )
    theirs, head = torch_arcface.IResNet(network), torch_arcface.Head(CLASSES, network.features)
    sgd = torch.optim.SGD(
        [*theirs.parameters(), *head.parameters()], lr=0.01, momentum=0.9, weight_decay=5e-4
    )
    x, y = paddle.to_tensor(pictures), paddle.to_tensor(labels)
    u, v = torch.from_numpy(pictures), torch.from_numpy(labels)

    def paddle_step() -> None:
        margin_loss(ours(x), y, FOLDS.margin).backward()
        momentum.step()
        momentum.clear_grad()

    def torch_step() -> None:
        torch_arcface.margin_loss(head(theirs(u)), v, scale=FOLDS.margin.scale, m2=FOLDS.margin.m2).backward()
        torch.nn.utils.clip_grad_norm_(theirs.parameters(), 5.0)
        sgd.step()
        sgd.zero_grad()

    return {"network": name, "pictures": size, **interleaved(paddle_step, torch_step, seconds)}


def predictor_of(network: nn.Layer, shape: tuple[int, ...], folder: Path) -> inference.Predictor:
    """Paddle Inference with oneDNN on one thread."""
    network.eval()
    spec = [paddle.static.InputSpec([None, *shape[1:]], "float32", "pictures")]
    paddle.jit.save(network, str(folder / "model"), input_spec=spec)
    config = inference.Config(str(folder / "model.json"), str(folder / "model.pdiparams"))
    config.enable_mkldnn()
    config.set_cpu_math_library_num_threads(1)
    config.disable_glog_info()
    return inference.create_predictor(config)


def inferring(name: str, seconds: float) -> dict:
    network, _, size = SPEED[name]
    shape = (size, 3, network.side, network.side)
    pictures = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    ours, theirs = IResNet(network), torch_arcface.IResNet(network)
    copy_weights(ours, theirs, network)
    theirs.eval()
    with tempfile.TemporaryDirectory() as folder:
        predictor = predictor_of(ours, shape, Path(folder))
        given = predictor.get_input_handle("pictures")
        result = predictor.get_output_handle(predictor.get_output_names()[0])
        u = torch.from_numpy(pictures)
        found = {}

        def paddle_run() -> None:
            given.copy_from_cpu(pictures)
            predictor.run()
            found["paddle"] = result.copy_to_cpu()

        def torch_run() -> None:
            with torch.no_grad():
                found["torch"] = theirs(u).numpy()

        row = {"network": name, "pictures": size, **interleaved(paddle_run, torch_run, seconds)}
    apart = float(np.abs(found["paddle"] - found["torch"]).max() / np.abs(found["torch"]).max())
    assert apart < 1e-4, f"{name}: the two sides' embeddings are {apart:.1e} apart"
    return {**row, "apart": apart}


def copy_weights(ours: nn.Layer, theirs: torch.nn.Module, network: Network) -> None:
    linear = {"fc.weight"}
    state = theirs.state_dict()
    with torch.no_grad():
        for key, value in ours.state_dict().items():
            array = value.numpy()
            state[parity.official_name(key)].copy_(
                torch.from_numpy(array.T.copy() if key in linear else array)
            )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="one JSON document instead of tables")
    parser.add_argument("--full", action="store_true", help="five training steps in float32 as well")
    parser.add_argument("--seconds", type=float, default=10.0, help="spent on each timed row")
    parser.add_argument("--only", choices=["parity", "speed"], help="one part alone")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    document: dict[str, list[dict]] = {}
    if asked.only != "speed":
        document["parity"] = [parity_row(name, asked.full) for name in CASES]
    if asked.only != "parity":
        document["training"] = [training(name, asked.seconds) for name in SPEED]
        document["inference"] = [inferring(name, asked.seconds) for name in SPEED]
    if asked.json:
        print(json.dumps(document))
        return
    for row in document.get("parity", []):
        print(
            f"{row['case']:10} {row['side']:4} px {row['tensors']:4} tensors, worst {row['worst']:.1e}: {row['where']}"
        )
        for side, apart in row.get("steps", {}).items():
            print(f"{'':10} float32 steps, {side:8} off by " + " ".join(f"{one:.1e}" for one in apart))
    for part in ("training", "inference"):
        for row in document.get(part, []):
            print(
                f"{part:10}{row['network']:10} {row['pictures']:3} pictures: paddle {row['paddle_ms']:.1f} ms, torch"
                f" {row['torch_ms']:.1f} ms, ratio {row['ratio']:.2f} over {row['rounds']} rounds"
            )


if __name__ == "__main__":
    main()
