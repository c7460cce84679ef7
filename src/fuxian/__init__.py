"""Fuxian (复现): takes a research paper to an accepted PaddlePaddle reproduction."""

from fuxian.recipe import Recipe

__all__ = ["Recipe"]
__version__ = "0.1.0"
