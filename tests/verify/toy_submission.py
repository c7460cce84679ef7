"""Writes the toy submission: a numpy classifier that takes no time, and passes the checklist."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

from fuxian.submission.templates import OFFICIAL, render

TOY = Path(__file__).parent / "toy"
HEADER = "# Licensed under the Apache License, Version 2.0\n"
README = """\
# Toy
## 1 简介
## 2 数据集和复现精度
## 3 准备数据与环境
## 4 开始使用
## 5 模型推理部署
## 6 自动化测试脚本
## 7 LICENSE
## 8 参考链接与文献
"""


def write_toy(folder: Path) -> Path:
    """The whole submission, trained, in a new folder."""
    shutil.copytree(TOY, folder, ignore=shutil.ignore_patterns("__pycache__"))
    files = {
        "README.md": README,
        "LICENSE": (OFFICIAL / "LICENSE").read_text(encoding="utf-8"),
        "requirements.txt": "paddlepaddle>=3.0\nnumpy\n",
        "lite_data/blobs.csv": "1,2,0\n",
        "test_tipc/README.md": "# TIPC\n",
        "test_tipc/docs/test_train_inference_python.md": "# How\n",
        "test_tipc/test_train_inference_python.sh": f"#!/bin/bash\n{HEADER}",
        "test_tipc/common_func.sh": f"#!/bin/bash\n{HEADER}",
        "test_tipc/configs/toy/train_infer_python.txt": render(
            "official/train_infer_python.txt.j2", model="toy", iterations=40, checkpoint="null"
        ),
        **{f"scripts/{name}.sh": f"#!/bin/sh\n{HEADER}" for name in ("train", "eval", "infer", "export")},
    }
    for name, text in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    (folder / "logs").mkdir()
    (folder / "weights").mkdir()
    out = folder / "made"
    out.mkdir()
    subprocess.run(
        [sys.executable, "-B", "tools/train.py", f"--out={out}"], cwd=folder, check=True, capture_output=True
    )
    # Times make another digest each time, and with it another draw: so small a network may by chance start well.
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    even = {"reader_cost": 0.0001, "batch_cost": 0.001, "ips": 64_000.0}
    lines = [line | even if "loss" in line else line for line in lines]
    (folder / "logs/log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (out / "log.jsonl").unlink()
    (out / "model.npz").rename(folder / "weights/model.npz")
    out.rmdir()
    return folder
