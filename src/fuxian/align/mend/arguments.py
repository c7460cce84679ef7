"""A function or class of Paddle's by its parameters, and settings under its own names."""

from __future__ import annotations

import importlib
import inspect
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from fuxian.align.diagnose.settings import NAMES


@dataclass(frozen=True)
class Target:
    """A callable of Paddle's."""

    made: Any

    @staticmethod
    def of(made: Any) -> Target:
        return Target(made)

    @staticmethod
    def named(name: str) -> Target | None:
        """The callable that goes by a dotted name; None where there is none."""
        module, _, last = name.rpartition(".")
        holder: Any = None
        try:
            holder = importlib.import_module(module)
        except ImportError:
            above, _, cls = module.rpartition(".")
            try:
                holder = getattr(importlib.import_module(above), cls, None)
            except (ImportError, ValueError):
                return None
        found = getattr(holder, last, None)
        return Target(found) if callable(found) else None

    @cached_property
    def parameters(self) -> list[str]:
        """The names of its parameters, without ``self``; empty where they are not known."""
        called = self.made.__init__ if inspect.isclass(self.made) else self.made
        try:
            names = list(inspect.signature(called).parameters)
        except (ValueError, TypeError):
            return []
        return [name for name in names if name != "self"]

    def takes(self, name: str) -> bool:
        return name in self.parameters

    def index(self, name: str) -> int | None:
        return self.parameters.index(name) if name in self.parameters else None

    def does(self, function: str) -> bool:
        """Whether a layer's name says that it calls the function: CrossEntropyLoss and cross_entropy."""
        words = function.rpartition(".")[2].replace("_", "").lower()
        name = self.made.__name__.lower().removesuffix("loss")
        return bool(name) and words.removesuffix("loss").startswith(name)


def argument_of(target: Target, name: str, value: Any) -> tuple[str, Any] | None:
    """A setting of a common name and value as the target takes it; None where it takes none such."""
    if name == "count_include_pad" and target.takes("exclusive"):
        return "exclusive", not value
    if name == "momentum" and target.takes("momentum"):
        return "momentum", round(1.0 - float(value), 12)
    if name == "use_batch":
        if target.takes("use_global_stats"):
            return "use_global_stats", None
        return ("training", bool(value)) if target.takes("training") else None
    for own in target.parameters:
        if NAMES.get(own) == name:
            return own, value
    return (name, value) if target.takes(name) else None
