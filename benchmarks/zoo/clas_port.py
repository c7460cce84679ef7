"""A backbone of PaddleClas, named by ZOO_MODEL, as its own configuration makes it.

PADDLECLAS is the folder that holds ``ppcls``. The backbone's file alone is imported: the packages
around it import what no backbone needs.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import paddle
import yaml

from fuxian import Recipe
from fuxian.errors import InputError

sys.path.insert(0, str(Path(__file__).parent))
from batches import CLASSES, NAME, RATE, batches, square
from clas_pairs import PAIRS

SOURCE = Path(os.environ.get("PADDLECLAS", "PaddleClas")) / "ppcls"


class Anything(ModuleType):
    """Stands for the parts of ppcls that fetch weights, log and configure."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (dict,), {})


def backbones() -> ModuleType:
    """The file with the backbone.

    Raises InputError where PADDLECLAS is no copy of PaddleClas."""
    if not SOURCE.is_dir():
        raise InputError(
            f"{SOURCE} is no folder: set PADDLECLAS to a copy of https://github.com/PaddlePaddle/PaddleClas."
        )
    for name in ("ppcls", "ppcls.arch", "ppcls.arch.backbone"):
        package = ModuleType(name)
        package.__path__ = [str(SOURCE.parent / name.replace(".", "/"))]
        sys.modules[name] = package
    for name in ("utils", "utils.save_load", "utils.logger", "utils.config", "utils.download", "data"):
        module = Anything(f"ppcls.{name}")
        module.__path__ = []
        sys.modules[f"ppcls.{name}"] = module
    return importlib.import_module(f"ppcls.arch.backbone.{PAIRS[NAME].file}")


def options() -> dict[str, Any]:
    """What PaddleClas' own configuration gives the backbone, with its numbers in words read as numbers."""

    def read(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: read(one) for name, one in value.items()}
        with contextlib.suppress(ValueError, SyntaxError):
            return ast.literal_eval(value) if isinstance(value, str) else value
        return value

    files = sorted(SOURCE.glob(f"configs/ImageNet/*/{NAME}.yaml"))
    given = yaml.safe_load(files[0].read_text(encoding="utf-8"))["Arch"] if files else {}
    return {name: read(value) for name, value in given.items() if name not in ("name", "pretrained")}


def model() -> paddle.nn.Layer:
    return getattr(backbones(), NAME)(**{**options(), "class_num": CLASSES})


def recipe() -> Recipe:
    return Recipe(
        model=model,
        forward=lambda network, inputs: network(*inputs),
        train_data=batches,
        eval_data=batches,
        loss=square,
        optimizer=lambda network: paddle.optimizer.Momentum(
            RATE, momentum=0.9, parameters=network.parameters()
        ),
    )
