"""DMR's parity, speed and memory: python benchmarks/dmr_step.py [--only PART] [--rows N] [--json].

Four tables. *parity*: the port against the official TensorFlow code's recorded numbers: outputs, losses and every
gradient in float64, and five training steps in float32, whose distance from the official float64 losses is set beside
the official float32's own. *training* and *inference*: milliseconds of the processor, Paddle and PyTorch in turns in
one process on one thread, the ratio being the median of the paired rounds; inference is Paddle Inference with oneDNN
against PyTorch's eager evaluation. *reader*: one pass of the streaming reader over a file of --rows made-up examples in
the official 267 columns, then 200 training steps from it, and the most memory that either took above the trained model
alone.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path

from fuxian.training.machine import prepare

prepare()

import numpy as np
import paddle
import torch
from paddle import inference

from fuxian.papers.dmr.alimama import StreamedBatches, blocks
from fuxian.papers.dmr.data import MadeUpBatches
from fuxian.papers.dmr.export import Scorer
from fuxian.papers.dmr.model import DMR
from fuxian.papers.dmr.recipe import parts
from fuxian.papers.dmr.reference import cases, parity, torch_dmr
from fuxian.papers.dmr.reference.recipe import on_torch
from fuxian.papers.dmr.settings import ALIMAMA, MOVIES, Field, Layout, Setting
from fuxian.recipe import to_tensors
from fuxian.training.step import Trainer
from fuxian.weights import load_tensors
from interleaved import interleaved

PARTS = ("parity", "training", "inference", "reader")
STEPS = 200


def of_few_ids(layout: Layout, most: int) -> Layout:
    """The same network with tables of ``most`` ids: the optimizer's pass over 100 million embeddings is no network's
    step, and hides it."""

    def cut(fields: tuple[Field, ...]) -> tuple[Field, ...]:
        return tuple(replace(field, values=min(field.values, most)) for field in fields)

    return replace(layout, user=cut(layout.user), item=cut(layout.item))


SPEED = {
    "movielens": MOVIES,
    "alimama": Setting(of_few_ids(ALIMAMA, 5000), sampled=2000),
}
"""The claim's own, and the paper's network, its tables cut to 5,000 ids each."""


def parity_row(name: str) -> dict:
    if name == "alimama" and not cases.sample_file().is_file():
        return {"case": name, "absent": str(cases.sample_file())}
    apart = parity.compare(name)
    worst = max(apart, key=apart.__getitem__)
    recorded = load_tensors(parity.RECORDED / f"{name}.safetensors")
    exact = recorded["steps/float64"]
    sides = {
        "port": parity.losses_of_steps(name, "float32"),
        "official": recorded["steps/float32"],
        "port in float64": parity.losses_of_steps(name, "float64"),
    }
    return {
        "case": name,
        "tensors": len(apart),
        "worst": apart[worst],
        "where": worst,
        "steps": {side: np.abs(losses / exact - 1).tolist() for side, losses in sides.items()},
    }


def training(name: str, seconds: float) -> dict:
    setting = SPEED[name]
    batch = MadeUpBatches(setting, length=1)[0]
    ours = Trainer(parts(setting), parts(setting).model())
    other = on_torch(parts(setting), setting)
    theirs = Trainer(other, other.model())
    ours.model.train()
    theirs.model.train()
    row = interleaved(
        lambda: _step(ours, batch), lambda: _step(theirs, batch), seconds, at_least=7, clock=time.process_time
    )
    return {"network": name, "examples": setting.batch, **row}


def _step(trainer: Trainer, batch: dict) -> None:
    trainer.step(batch)


def inferring(name: str, seconds: float) -> dict:
    setting = SPEED[name]
    arrays = MadeUpBatches(setting, length=1)[0]["inputs"][:6]
    ours, theirs = DMR(setting.layout), torch_dmr.DMR(setting.layout)
    copy_weights(ours, theirs)
    ours.eval()
    theirs.eval()
    given = tuple(np.ascontiguousarray(arrays[place]) for place in (0, 1, 3, 4, 5))
    names = ("history", "mask", "user", "target", "numbers")
    tensors = to_tensors("torch", arrays)
    found: dict[str, np.ndarray] = {}
    with tempfile.TemporaryDirectory() as folder:
        spec = [
            paddle.static.InputSpec([None, *array.shape[1:]], str(array.dtype), name)
            for name, array in zip(names, given, strict=True)
        ]
        paddle.jit.save(Scorer(ours), f"{folder}/model", input_spec=spec)
        config = inference.Config(f"{folder}/model.json", f"{folder}/model.pdiparams")
        config.enable_mkldnn()
        config.set_cpu_math_library_num_threads(1)
        config.disable_glog_info()
        predictor = inference.create_predictor(config)
        result = predictor.get_output_handle(predictor.get_output_names()[0])

        def paddle_run() -> None:
            for one, array in zip(names, given, strict=True):
                predictor.get_input_handle(one).copy_from_cpu(array)
            predictor.run()
            found["paddle"] = result.copy_to_cpu()

        def torch_run() -> None:
            with torch.no_grad():
                found["torch"] = torch.sigmoid(theirs(*tensors)["click"]).numpy()

        row = interleaved(paddle_run, torch_run, seconds, at_least=7, clock=time.process_time)
    apart = float(np.abs(found["paddle"] - found["torch"]).max())
    assert apart < 1e-4, f"{name}: the two sides' scores are {apart:.1e} apart"
    return {"network": name, "examples": setting.batch, **row, "apart": apart}


def copy_weights(ours: DMR, theirs: torch.nn.Module) -> None:
    linear = {
        f"{name}.weight" for name, layer in ours.named_sublayers() if isinstance(layer, paddle.nn.Linear)
    }
    renamed = {"norm._mean": "norm.running_mean", "norm._variance": "norm.running_var"}
    state = theirs.state_dict()
    with torch.no_grad():
        for name, value in ours.state_dict().items():
            array = value.numpy()
            state[renamed.get(name, name)].copy_(
                torch.from_numpy(np.ascontiguousarray(array.T) if name in linear else array)
            )


def peak() -> int:
    """The most memory that this process has had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def made_up_file(path: Path, rows: int) -> None:
    """So many lines of 1 kB in the official columns; blocks of 2,000 examples come again."""
    made = cases.made_up(2000)
    lines = [",".join(f"{value:.9g}" for value in row) for row in made]
    rng = np.random.default_rng(0)
    with path.open("w") as out:
        for at in range(0, rows, len(lines)):
            order = rng.permutation(len(lines))[: rows - at]
            out.write("\n".join(lines[place] for place in order) + "\n")


def reading(rows: int) -> dict:
    setting = Setting(of_few_ids(ALIMAMA, 20_000), sampled=2000)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "alimama.txt"
        made_up_file(path, rows)
        size = path.stat().st_size
        recipe = parts(setting)
        trainer = Trainer(recipe, recipe.model())
        trainer.model.train()
        # Gradients and moments are the trained model's own: they are there after the first step.
        trainer.step(next(iter(MadeUpBatches(setting, length=1))))
        own = peak()
        began = time.perf_counter()
        read = sum(len(block) for block in blocks(path, setting.batch * 20))
        passed = time.perf_counter() - began
        after_pass = peak()
        costs = []
        batches = iter(StreamedBatches(path, setting, seed=0))
        began = time.perf_counter()
        for batch in islice(batches, STEPS):
            drawn = time.perf_counter()
            trainer.step(batch)
            done = time.perf_counter()
            costs.append((drawn - began, done - began))
            began = done
    reader, whole = np.array(costs).sum(0)
    return {
        "rows": read,
        "megabytes": size / 1e6,
        "seconds": passed,
        "steps": len(costs),
        "above_model_mb": {"pass": (after_pass - own) / 1e6, "steps": (peak() - own) / 1e6},
        "reader_share": float(reader / whole),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="one JSON document instead of tables")
    parser.add_argument("--seconds", type=float, default=10.0, help="spent on each timed row")
    parser.add_argument("--rows", type=int, default=5_000_000, help="of the file that is read")
    parser.add_argument("--only", choices=PARTS, help="one part alone")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    made: dict[str, Callable[[], list[dict]]] = {
        "parity": lambda: [parity_row(name) for name in ("made-up", "alimama")],
        "training": lambda: [training(name, asked.seconds) for name in SPEED],
        "inference": lambda: [inferring(name, asked.seconds) for name in SPEED],
        "reader": lambda: [reading(asked.rows)],
    }
    document = {part: made[part]() for part in PARTS if asked.only in (None, part)}
    if asked.json:
        print(json.dumps(document))
        return
    for row in document.get("parity", []):
        if "absent" in row:
            print(f"{row['case']:10} {row['absent']} is not there")
            continue
        print(f"{row['case']:10} {row['tensors']} tensors, worst {row['worst']:.1e}: {row['where']}")
        for side, apart in row["steps"].items():
            print(f"{'':10} steps, {side:16} off by " + " ".join(f"{one:.1e}" for one in apart))
    for part in ("training", "inference"):
        for row in document.get(part, []):
            print(
                f"{part:10}{row['network']:10} {row['examples']:3} examples: paddle {row['paddle_ms']:.1f} ms, torch"
                f" {row['torch_ms']:.1f} ms, ratio {row['ratio']:.2f} over {row['rounds']} rounds"
            )
    for row in document.get("reader", []):
        above = ", ".join(f"{what} {size:.0f} MB" for what, size in row["above_model_mb"].items())
        print(
            f"reader    {row['rows']} rows, {row['megabytes']:.0f} MB in {row['seconds']:.0f} s; above the model"
            f" {above}; reading is {row['reader_share']:.1%} of {row['steps']} steps"
        )


if __name__ == "__main__":
    main()
