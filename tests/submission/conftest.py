"""A small submission that passes every line of the checklist: an old repository, described without changing it."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fuxian.submission.templates import OFFICIAL, render
from fuxian.weights import save_tensors

MANIFEST = """\
claims = ["top1"]
licence = "Apache-2.0"
checkpoint = "weights/best.safetensors"

[paper]
id = "mixer"
title = "A Paper about Mixing"
authors = ["Ada One", "Bo Two"]
venue = "NeurIPS"
year = 2021
url = "https://arxiv.org/abs/2105.01601"

[[claim]]
id = "top1"
title = "Digits, top-1 accuracy"
dataset = "Digits"
split = "test"
metric = "accuracy"
unit = "accuracy"
display = "percent"
direction = "higher"
scope = "paper"
subject = "weights"
published = { value = 0.9, source = "table 1" }
margin = 0.05
checkpoint = "last"
seeds = [7]
iterations = 100

[commands]
train = { run = ["python", "tools/train.py", "--seed", "{seed}", "--steps={steps}", "-o", "{out}"], minutes = 5 }
evaluate = ["python", "tools/eval.py", "--weights", "{checkpoint}"]

[metric]
pattern = 'top1 acc: (?P<accuracy>[0-9.]+)'
scale = 0.01

[log]
file = "logs/train.log"
seed = 7

[team]
name = "The Mixers"
number = "42"
repo = "https://github.com/mixers/mixer"
members = ["Ada", "Bo"]
"""

HEADER = "# Licensed under the Apache License, Version 2.0\n"
README = """\
# Mixer
## 1 简介
## 2 数据集和复现精度
## 3 准备数据与环境
## 4 开始使用
## 5 模型推理部署
## 6 自动化测试脚本
## 7 LICENSE
## 8 参考链接与文献
"""
EVAL = (
    HEADER
    + """
import argparse

parser = argparse.ArgumentParser()
parser.add_argument("--weights")
print("top1 acc: 91.25", parser.parse_known_args()[0].weights)
"""
)


def log_text(steps: int = 10, cost: float = 0.02, batch: int = 64) -> str:
    lines = [
        f"iter: {step * 10}/100, lr: 0.1, loss: {2.0 / step:.5f}, avg_reader_cost: {cost / 10:.5f} sec, "
        f"avg_batch_cost: {cost:.5f} sec, avg_ips: {batch / cost:.2f} images/sec"
        for step in range(1, steps + 1)
    ]
    return "\n".join([*lines, "[eval] iter: 100, accuracy: 0.9125"]) + "\n"


@pytest.fixture
def submission(tmp_path: Path) -> Path:
    """The folder of the small submission."""
    folder = tmp_path / "entrant"
    tools = {f"tools/{name}.py": EVAL for name in ("train", "eval", "infer", "export")}
    scripts = {f"scripts/{n}.sh": f"#!/bin/sh\n{HEADER}" for n in ("train", "eval", "infer", "export")}
    config = render("official/train_infer_python.txt.j2", model="mixer", iterations=100, checkpoint="null")
    tipc = {
        "README.md": "# TIPC",
        "docs/test_train_inference_python.md": "# How",
        "test_train_inference_python.sh": f"#!/bin/bash\n{HEADER}",
        "common_func.sh": f"#!/bin/bash\n{HEADER}",
        "configs/mixer/train_infer_python.txt": config,
    }
    files = {
        "fuxian.toml": MANIFEST,
        "README.md": README,
        "LICENSE": (OFFICIAL / "LICENSE").read_text(),
        "requirements.txt": "paddlepaddle-gpu>=2.1  # the framework\nnumpy\n",
        "logs/train.log": log_text(),
        "lite_data/digits.csv": "1,2,3\n",
        "mixer/model.py": HEADER + "import paddle\n",
        **tools,
        **scripts,
        **{f"test_tipc/{name}": text for name, text in tipc.items()},
    }
    for name, text in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    (folder / "weights").mkdir()
    random = np.random.default_rng(0)
    save_tensors(folder / "weights/best.safetensors", {"linear.weight": random.standard_normal((8, 4))})
    results = folder / "results/top1"
    results.mkdir(parents=True)
    examples = [1.0] * 1825 + [0.0] * 175
    run = {"seed": 7, "value": 0.9125, "examples": examples}
    (results / "measurements.json").write_text(json.dumps({"claim": "top1", "runs": [run]}))
    return folder


@pytest.fixture
def edit(submission: Path) -> Callable[..., Path]:
    """Replaces text in one of the submission's files."""

    def change(name: str, old: str, new: str) -> Path:
        file = submission / name
        text = file.read_text(encoding="utf-8")
        assert old in text
        file.write_text(text.replace(old, new, 1), encoding="utf-8")
        return submission

    return change


@pytest.fixture
def run_python() -> Callable[[str], str]:
    """Runs code in a fresh interpreter and returns what it printed last."""

    def run(code: str) -> str:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        return done.stdout.strip().splitlines()[-1]

    return run
