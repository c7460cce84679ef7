"""Fuxian (复现): takes a research paper to an accepted PaddlePaddle reproduction.

``fuxian.align(port, reference)`` and ``fuxian.assert_aligned(port, reference)`` are loaded when first used.
"""

from importlib import import_module
from typing import Any

from fuxian.recipe import Recipe

__all__ = ["Recipe", "align", "assert_aligned"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "align":
        return import_module("fuxian.align")
    if name == "assert_aligned":
        return import_module("fuxian.align").assert_aligned
    raise AttributeError(f"module 'fuxian' has no attribute {name!r}")
