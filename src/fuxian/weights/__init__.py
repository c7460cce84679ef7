"""Weights: read any format safely, and carry them between frameworks."""

from fuxian.weights.storage import Stored, load_tensors, read, save_tensors

__all__ = ["Stored", "load_tensors", "read", "save_tensors"]
