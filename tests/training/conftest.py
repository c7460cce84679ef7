"""Small recipes to train, and how two finished runs are compared."""

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

HARD_RECIPE = Path(__file__).with_name("hard_recipe.py")
TIMINGS = {"reader_cost", "batch_cost", "ips"}


@pytest.fixture(scope="session")
def hard() -> ModuleType:
    """The module of hard_recipe.py."""
    spec = importlib.util.spec_from_file_location("hard_recipe", HARD_RECIPE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _log_without_timings(run: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name not in TIMINGS} for line in lines]


@pytest.fixture(scope="session")
def log_of() -> Callable[[Path], list[dict[str, Any]]]:
    """The lines of a run's log that say how it trained, without its checkpoints' links and what the clock says."""
    return lambda run: [line for line in _log_without_timings(run) if "chain" not in line]


@pytest.fixture(scope="session")
def assert_same_run() -> Callable[[Path, Path], None]:
    """Two runs have the same newest checkpoint, byte by byte, and the same log but for the clock."""

    def check(one: Path, other: Path) -> None:
        newest = sorted((one / "checkpoints").iterdir())[-1]
        twin = other / "checkpoints" / newest.name
        assert {file.name for file in newest.iterdir()} == {file.name for file in twin.iterdir()}
        for file in newest.iterdir():
            assert file.read_bytes() == (twin / file.name).read_bytes(), file.name
        assert _log_without_timings(one) == _log_without_timings(other)

    return check


@pytest.fixture
def line_recipe() -> Callable[..., Any]:
    """``line_recipe(**parts)``: a linear regression in four batches a sequence, with parts replaced."""
    import paddle

    from fuxian.recipe import Recipe

    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, 6, 3)).astype("float32")
    batches = [{"inputs": (one,), "targets": (one.sum(1, keepdims=True),)} for one in x]

    def build(**parts: Any) -> Recipe:
        default = {
            "model": lambda: paddle.nn.Linear(3, 1),
            "train_data": lambda: batches,
            "loss": lambda outputs, targets: ((outputs - targets[0]) ** 2).mean(),
            "optimizer": lambda model: (paddle.optimizer.SGD(0.1, parameters=model.parameters()), None),
        }
        return Recipe(**default | parts)

    return build
