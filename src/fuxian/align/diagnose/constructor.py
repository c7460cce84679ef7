"""Where a layer was made: a setting is changed there, and not where the layer is called."""

from __future__ import annotations

import ast
from pathlib import Path

LARGEST = 2**20
"""Bytes beyond which a file is not read as somebody's source."""


def line(called: str, place: str) -> str:
    """``file:line`` that assigns the layer at the path ``place``, in the class whose code calls it at ``called``.

    Empty where the source is not at hand, or the class does not assign it itself.
    """
    name, _, number = called.rpartition(":")
    file = Path(name)
    try:
        if file.suffix != ".py" or not file.is_file() or file.stat().st_size > LARGEST:
            return ""
        tree = ast.parse(file.read_text(encoding="utf-8"))
        at = int(number)
    except (OSError, ValueError, SyntaxError, RecursionError):
        return ""
    around = [
        c for c in ast.walk(tree) if isinstance(c, ast.ClassDef) and c.lineno <= at <= (c.end_lineno or 0)
    ]
    if not around:
        return ""
    made = {
        target.attr: node.lineno
        for node in ast.walk(max(around, key=lambda c: c.lineno))
        if isinstance(node, ast.Assign)
        for target in _targets(node)
        if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name)
    }
    names = [part for part in reversed(place.split(".")) if part in made]
    return f"{name}:{made[names[0]]}" if names else ""


def _targets(node: ast.Assign) -> list[ast.expr]:
    """What is assigned, the parts of ``self.a, self.b = ...`` each."""
    return [part for target in node.targets for part in getattr(target, "elts", [target])]
