"""Fuxian (复现): takes a research paper to an accepted PaddlePaddle reproduction.

``fuxian.load(name)``, ``fuxian.reproduce(name)``, ``fuxian.align(port, reference)``, ``fuxian.assert_aligned(port,
reference)``, ``fuxian.paddle_init.like_torch(model)`` and ``fuxian.verify.verify(submission, results)`` are loaded when
first used.
"""

from importlib import import_module
from typing import Any

from fuxian.recipe import Recipe

__all__ = ["Recipe", "align", "assert_aligned", "load", "paddle_init", "reproduce"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "align":
        return import_module("fuxian.align")
    if name == "assert_aligned":
        return import_module("fuxian.align").assert_aligned
    if name in ("load", "paddle_init"):
        import_module("fuxian.training.machine").prepare()
        module = import_module("fuxian.papers.loading" if name == "load" else "fuxian.paddle_init")
        return module.load if name == "load" else module
    if name == "reproduce":
        # Before Paddle is imported: it reads its settings then.
        import_module("fuxian.training.machine").prepare()
        return import_module("fuxian.papers.reproduction").reproduce
    raise AttributeError(f"module 'fuxian' has no attribute {name!r}")
