"""The order in which a model calls its modules, which settles what names and definitions leave open."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def call_order(model: Any, run: Callable[[], Any]) -> list[str]:
    """The paths of the model's modules in the order of their first call while ``run()`` runs the model."""
    listed = model.named_modules() if hasattr(model, "_modules") else model.named_sublayers(include_self=True)
    called: dict[str, None] = {}
    hooks = []
    for path, module in listed:

        def note(*_arguments: Any, path: str = path) -> None:
            called.setdefault(path)

        hooks.append(module.register_forward_pre_hook(note))
    try:
        run()
    finally:
        for handle in hooks:
            handle.remove()
    return list(called)
