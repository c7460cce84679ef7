"""Weights: read any format safely, and carry them between frameworks."""

from fuxian.weights.carrying import Draft, apply, draft, plan
from fuxian.weights.overrides import Overrides, load_overrides
from fuxian.weights.plans import Link, Plan
from fuxian.weights.storage import Stored, load_tensors, read, save_tensors

__all__ = [
    "Draft",
    "Link",
    "Overrides",
    "Plan",
    "Stored",
    "apply",
    "draft",
    "load_overrides",
    "load_tensors",
    "plan",
    "read",
    "save_tensors",
]
