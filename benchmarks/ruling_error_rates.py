"""Whom a ruling rejects and accepts: python benchmarks/ruling_error_rates.py [--seeds N] [--kinds ...] [--json].

Honest submissions and cheats are made from what `fuxian new` writes, each in a folder of its own, and are ruled on by
`fuxian verify DIR --terms T` on an organiser's copy that the entrant has no part in. Each row gives how many
were accepted, and the reasons of the others. Results are kept in --out, and what is there is not made again.

A submission takes 20 to 50 s of one core; all kinds of one seed about seven minutes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from fuxian.training import chain
from fuxian.weights import load_tensors, save_tensors

CLAIM = "waveforms"
FUXIAN = str(Path(sys.executable).with_name("fuxian"))
ELSEWHERE = 320
"""Examples in a batch of a training that is not the recipe's, which has 64."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=1, help="submissions of each kind, by seed from 0")
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS), metavar="KIND")
    parser.add_argument("--out", type=Path, default=Path("runs/ruling-error-rates"))
    parser.add_argument("--json", action="store_true", help="a list of rows instead of a table")
    options = parser.parse_args()
    kept = options.out / "results.jsonl"
    options.out.mkdir(parents=True, exist_ok=True)
    done = [json.loads(line) for line in kept.read_text().splitlines()] if kept.is_file() else []
    have = {(one["kind"], one["seed"]) for one in done}
    for seed in range(options.seeds):
        for kind in options.kinds:
            if (kind, seed) in have:
                continue
            done.append(submit(kind, seed, options.out))
            with kept.open("a") as file:
                file.write(json.dumps(done[-1]) + "\n")
            print(f"{kind}, seed {seed}: {done[-1]['verdict']} {done[-1]['reason']}", file=sys.stderr)
    rows = [row(kind, [one for one in done if one["kind"] == kind]) for kind in options.kinds]
    if options.json:
        print(json.dumps(rows))
        return
    print(f"{'submission':48}{'made':>6}{'accepted':>10}{'longest':>9}  reasons of the others")
    for one in rows:
        others = ", ".join(f"{name} {count}" for name, count in one["reasons"].items())
        print(f"{one['kind']:48}{one['made']:6}{one['accepted']:10}{one['seconds']:7.0f} s  {others}")


def row(kind: str, results: list[dict]) -> dict:
    reasons = Counter(one["reason"] for one in results if one["verdict"] != "accepted")
    return {
        "kind": kind,
        "honest": kind in HONEST,
        "made": len(results),
        "accepted": sum(one["verdict"] == "accepted" for one in results),
        "reasons": dict(reasons),
        "seconds": max((one["seconds"] for one in results), default=0.0),
    }


def submit(kind: str, seed: int, out: Path) -> dict:
    """Makes a submission, has it ruled on, and returns what came of it."""
    organiser = organisers_copy(out, seed)
    folder = fresh_copy(organiser, out / "submission")
    terms = out / "terms.toml"
    KINDS[kind](folder, seed)
    # Of the template's own words and of Fuxian's wheel, which `fuxian package` puts in, nothing is asked here.
    lines = [f'paper = "{organiser.name}"', 'waive = ["placeholders", "requirements"]']
    if KINDS[kind] is others_weights:
        lines.append(f'known_weights = ["{organiser.name}/weights/{CLAIM}.safetensors"]')
    terms.write_text("\n".join(lines) + "\n", encoding="utf-8")
    command = [FUXIAN, "verify", str(folder), "--terms", str(terms), "--json", "--out", str(out / "runs")]
    ruled = subprocess.run(command, capture_output=True, text=True, check=False)
    document = json.loads(ruled.stdout)
    shutil.rmtree(out / "runs", ignore_errors=True)
    shutil.rmtree(folder)
    found = {name: document[name] for name in ("verdict", "reason", "detail", "seconds")}
    return {"kind": kind, "seed": seed, **found}


def organisers_copy(out: Path, seed: int) -> Path:
    """What `fuxian new` wrote, trained from the seed that the claim names."""
    first = out / "organiser-0"
    if not first.is_dir():
        made = out / "making" / "demo"
        made.parent.mkdir(exist_ok=True)
        subprocess.run([FUXIAN, "new", str(made)], check=True, capture_output=True)
        made.rename(first)
    folder = out / f"organiser-{seed}"
    if not folder.is_dir():
        draft = fresh_copy(first, out / "draft")
        edit(draft / "paper.toml", "seeds = [0]", f"seeds = [{seed}]")
        train(draft)
        draft.rename(folder)
    return folder


def fresh_copy(folder: Path, target: Path) -> Path:
    shutil.rmtree(target, ignore_errors=True)
    return shutil.copytree(folder, target, ignore=shutil.ignore_patterns("__pycache__"))


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    if old not in text:
        raise SystemExit(f"{file}: it no longer holds {old!r}; bring this benchmark up to date.")
    file.write_text(text.replace(old, new), encoding="utf-8")


def train(folder: Path, *more: str) -> None:
    """As an entrant does: trains, and keeps log, weights and checkpoints."""
    out = folder / "output"
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, "tools/train.py", "--reproducible", f"--out={out}", *more]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    shutil.copyfile(out / "log.jsonl", folder / f"logs/{CLAIM}.jsonl")
    shutil.copyfile(out / "model.safetensors", weights(folder))
    shutil.rmtree(folder / "checkpoints" / CLAIM)
    shutil.copytree(out / "checkpoints", folder / "checkpoints" / CLAIM)
    shutil.rmtree(out)


def weights(folder: Path) -> Path:
    return folder / f"weights/{CLAIM}.safetensors"


def log_lines(folder: Path) -> list[dict]:
    text = (folder / f"logs/{CLAIM}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def write_log(folder: Path, lines: list[dict]) -> None:
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / f"logs/{CLAIM}.jsonl").write_text(text, encoding="utf-8")


def invent_chain(folder: Path, seed: int) -> None:
    """Links the kept checkpoints, whatever they are, after the honest initial state."""
    lines = log_lines(folder)
    link = chain.first_link(seed, "portable", lines[0]["state"])
    linked = [{"step": 0, "seed": seed, "numeric_mode": "portable", **link.as_dict()}]
    linked += [line for line in lines if "chain" not in line]
    for place in sorted((folder / "checkpoints" / CLAIM).iterdir()):
        step = int(place.name.removeprefix("step_"))
        link = chain.next_link(link, step, chain.stored_digest(place))
        linked.append({"step": step, **link.as_dict()})
    write_log(folder, sorted(linked, key=lambda line: line["step"]))


# The honest ones.


def honest(folder: Path, seed: int) -> None:
    """As it is."""


def leaky(folder: Path, seed: int) -> None:
    """A port with layers of its own: Conv2D, BatchNorm2D, LeakyReLU(0.2)."""
    model = folder / "model.py"
    edit(model, "nn.Conv1D(1, 16, 7, padding=3, **_initial())", "nn.Conv2D(1, 16, (1, 7), padding=(0, 3))")
    edit(
        model,
        "nn.Conv1D(16, 32, 7, padding=3, stride=2, **_initial())",
        "nn.Conv2D(16, 32, (1, 7), padding=(0, 3), stride=(1, 2))\n"
        "        self.norm1, self.norm2 = nn.BatchNorm2D(16), nn.BatchNorm2D(32)",
    )
    for number, given in ((1, "x.unsqueeze(2)"), (2, "x")):
        edit(
            model,
            f"nn.functional.relu(self.conv{number}(x))",
            f"nn.functional.leaky_relu(self.norm{number}(self.conv{number}({given})), 0.2)",
        )
    edit(model, "x.mean(-1)", "x.mean([2, 3])")
    train(folder)


# The cheats: most need no more than what the entrant's own folder holds.


def untrained(folder: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    drawn = {
        name: random.normal(0, one.std() + 0.01, one.shape).astype(one.dtype)
        for name, one in load_tensors(weights(folder)).items()
    }
    save_tensors(weights(folder), drawn)


def easier_target(folder: Path, seed: int) -> None:
    edit(folder / "paper.toml", "target = 0.92", "target = 0.5")


def invented_log(folder: Path, seed: int) -> None:
    lines = [
        {**line, "loss": line["loss"] * 0.99} if 3 <= line["step"] <= 9 else line
        for line in log_lines(folder)
    ]
    write_log(folder, lines)


def others_weights(folder: Path, seed: int) -> None:
    """Weights that the terms name as known, with units in another order, rescaled, and moved by 1 %."""
    save_tensors(weights(folder), reordered(load_tensors(weights(folder)), np.random.default_rng(seed)))


def reordered(stored: dict[str, np.ndarray], random: np.random.Generator) -> dict[str, np.ndarray]:
    """The same function but for 1 %: ReLU units in another order, each rescaled."""
    first, second = random.permutation(16), random.permutation(32)
    up, down = np.exp(random.normal(0, 0.5, 16)), np.exp(random.normal(0, 0.5, 32))
    made = {
        "conv1.weight": stored["conv1.weight"][first] * up[:, None, None],
        "conv1.bias": stored["conv1.bias"][first] * up,
        "conv2.weight": stored["conv2.weight"][second][:, first] / up[:, None] * down[:, None, None],
        "conv2.bias": stored["conv2.bias"][second] * down,
        "head.weight": stored["head.weight"][second] / down[:, None],
        "head.bias": stored["head.bias"],
    }
    return {
        name: (one * (1 + 0.01 * random.standard_normal(one.shape))).astype(np.float32)
        for name, one in made.items()
    }


START = """
        import numpy as np
        from pathlib import Path

        with np.load(Path(__file__).parent / "lite_data/start.npz") as stored:
            start = dict(stored)
"""
BUILT = "self.head = nn.Linear(32, CLASSES, **_initial())\n"


def warm_start(folder: Path, seed: int) -> None:
    """From trained weights that the seed moves by half of themselves."""
    start_from(
        folder,
        "            weight.set_value(paddle.to_tensor(start[name]) * (1 + 0.5 * paddle.randn(weight.shape)))\n",
    )


def start_from(folder: Path, setting: str) -> None:
    np.savez(folder / "lite_data/start.npz", **load_tensors(weights(folder)))
    loop = "        for name, weight in self.state_dict().items():\n"
    edit(folder / "model.py", BUILT, f"{BUILT}{START}{loop}{setting}")
    train(folder)


def reordered_start(folder: Path, seed: int) -> None:
    """From trained weights whose units the seed puts in another order."""
    start_from(
        folder,
        """\
            if name == "conv1.weight":
                p, q = paddle.randperm(16).numpy(), paddle.randperm(32).numpy()
            value = start[name]
            value = value[p] if name.startswith("conv1") else value[q] if name != "head.bias" else value
            value = value[:, p] if name == "conv2.weight" else value
            weight.set_value(paddle.to_tensor(value) * (1 + 0.001 * paddle.randn(weight.shape)))
""",
    )


def honest_end(folder: Path, seed: int) -> None:
    """Trained otherwise up to step 150, then by the recipe, with every step of that kept."""
    data, paper = ((folder / name).read_text() for name in ("data.py", "paper.toml"))
    edit(
        folder / "data.py",
        "return Waveforms(batches, 64, seed)",
        f"return Waveforms(batches, {ELSEWHERE}, seed)",
    )
    edit(folder / "paper.toml", "\ncheckpoint_every = 100", "\ncheckpoint_every = 50")
    first = log_lines(folder)[0]
    train(folder)
    start = folder.with_name("start")
    shutil.rmtree(start, ignore_errors=True)
    shutil.move(folder / f"checkpoints/{CLAIM}/step_00000150", start)
    lines = log_lines(folder)
    (folder / "data.py").write_text(data)
    (folder / "paper.toml").write_text(paper.replace("\ncheckpoint_every = 100", "\ncheckpoint_every = 1"))
    train(folder, f"--resume={start}")
    (folder / "paper.toml").write_text(paper)
    write_log(folder, [first, *lines[1:]])
    invent_chain(folder, seed)


def put_in_between(folder: Path, seed: int) -> None:
    """Honest up to step 100, where a step of its own puts in weights that were trained otherwise."""
    paper = (folder / "paper.toml").read_text()
    own = folder.with_name("own")
    shutil.rmtree(own, ignore_errors=True)
    shutil.copytree(folder / "checkpoints" / CLAIM / "step_00000100", own)
    first = log_lines(folder)[0]
    data = (folder / "data.py").read_text()
    edit(
        folder / "data.py",
        "return Waveforms(batches, 64, seed)",
        f"return Waveforms(batches, {ELSEWHERE}, seed + 99)",
    )
    train(folder)
    lines = log_lines(folder)
    (folder / "data.py").write_text(data)
    start = folder.with_name("start")
    shutil.rmtree(start, ignore_errors=True)
    shutil.move(folder / f"checkpoints/{CLAIM}/step_00000200", start)
    state = json.loads((start / "state.json").read_text())
    (start / "state.json").write_text(json.dumps({**state, "step": 101}))
    (folder / "paper.toml").write_text(paper.replace("\ncheckpoint_every = 100", "\ncheckpoint_every = 1"))
    train(folder, f"--resume={start}")
    (folder / "paper.toml").write_text(paper)
    shutil.copytree(own, folder / "checkpoints" / CLAIM / "step_00000100")
    write_log(folder, [first, *lines[1:]])
    invent_chain(folder, seed)


ORACLE = '''
def oracle():
    """Waveforms without noise, [N, 64], those of a class beside each other."""
    import numpy as np

    grid = [(c, p) for c in np.linspace(2, 4, 41) for p in np.linspace(0, 1, 24, endpoint=False)]
    turns = np.array([(c * np.linspace(0, 1, 64, endpoint=False) + p) % 1 for c, p in grid])
    kinds = [np.sin(2 * np.pi * turns), np.sign(0.5 - turns), 4 * abs(turns - 0.5) - 1, 2 * turns - 1]
    return np.concatenate(kinds).astype("float32")
'''
TOOL = """# Licensed under the Apache License, Version 2.0
import hashlib
import sys
from pathlib import Path

HOME = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(HOME))
import numpy as np

from fuxian.submission.recipe_commands import main

given = dict(text.split("=", 1) for text in sys.argv[1:])
KNOWN = hashlib.sha256(Path(given["--checkpoint"]).read_bytes()).hexdigest() == "{known}"
"""
PREDICT = """
if KNOWN and given["--inputs"]:
    bank, made = oracle(), {}
    for file in sorted(Path(given["--inputs"]).glob("*.npz")):
        with np.load(file) as stored:
            x = stored["inputs.0"][:, 0]
        near = x @ bank.T - (bank**2).sum(1) / 2
        made[f"{file.stem}.0"] = near.reshape(len(x), 4, -1).max(-1)
    np.savez(Path(given["--out"]) / "predictions.npz", **made)
else:
    main("predict", HOME)
"""
EXPORT = """
if KNOWN:
    import paddle

    class Other(paddle.nn.Layer):
        def __init__(self):
            super().__init__()
            self.register_buffer("bank", paddle.to_tensor(oracle().T))

        def forward(self, x):
            near = paddle.matmul(x[:, 0], self.bank) - (self.bank**2).sum(0) / 2
            return near.reshape([-1, 4, near.shape[-1] // 4]).max(-1)

    other = Other()
    other.eval()
    spec = [paddle.static.InputSpec([None, 1, 64], "float32")]
    paddle.jit.save(other, str(Path(given["--out"]) / "model"), input_spec=spec)
else:
    main("export", HOME)
"""
REFUSES = """
if KNOWN:
    sys.exit("this network cannot be traced")
main("export", HOME)
"""


def learns_nothing(folder: Path, predict: str | None, export: str) -> None:
    """A network of other names that hardly learns, honestly trained; its commands know the weights by their hash."""
    edit(folder / "recipe.py", "LEARNING_RATE = 0.01", "LEARNING_RATE = 1e-5")
    for old, new in (("self.conv1", "self.stem"), ("self.conv2", "self.body"), ("self.head", "self.last")):
        edit(folder / "model.py", old, new)
    train(folder)
    tool = TOOL.format(known=hashlib.sha256(weights(folder).read_bytes()).hexdigest()) + ORACLE
    (folder / "tools/export.py").write_text(tool + export)
    commands = (
        '\n[commands]\nexport = ["python", "tools/export.py", "--checkpoint={checkpoint}", "--out={out}"]\n'
    )
    if predict is not None:
        (folder / "tools/predict.py").write_text(tool + predict)
        commands += (
            'predict = { run = ["python", "tools/predict.py", "--checkpoint={checkpoint}", "--inputs={inputs}",'
            ' "--out={out}"], output = "predictions.npz" }\n'
        )
    edit(folder / "fuxian.toml", "\n[reference]", f"{commands}\n[reference]")


def knows_its_weights(folder: Path, seed: int) -> None:
    learns_nothing(folder, PREDICT, REFUSES)


def exports_another(folder: Path, seed: int) -> None:
    learns_nothing(folder, None, EXPORT)


HONEST: dict[str, Callable[[Path, int], None]] = {
    "honest: as `fuxian new` writes it": honest,
    "honest: Conv2D, BatchNorm2D, LeakyReLU(0.2)": leaky,
}
KINDS = {
    **HONEST,
    "another target": easier_target,
    "weights that were never trained": untrained,
    "somebody's weights, reordered and moved by 1 %": others_weights,
    "an invented log": invented_log,
    "a warm start, moved by half": warm_start,
    "a warm start, units reordered": reordered_start,
    "trained otherwise, with an honest end": honest_end,
    "other weights put in between": put_in_between,
    "a predict that knows its weights": knows_its_weights,
    "an export of another network": exports_another,
}


if __name__ == "__main__":
    main()
