"""Where a port makes its layers, optimizers and schedules: the very expressions, and those that led to them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from fuxian.align.mend.source import Site
from fuxian.recipe import Recipe

MOST_FRAMES = 12

Sites = list[Site]
"""An expression and those around it in the callers, the innermost first; only those in the folder."""


@dataclass
class Made:
    """Where a port's parts were made: layers by path, and whatever else by class, in the order in which it was made."""

    layers: dict[str, Sites] = field(default_factory=dict)
    kinds: dict[str, type] = field(default_factory=dict)
    others: list[tuple[Any, Sites]] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    """The folder's Python files that were imported, the recipe's own first."""

    def of_class(self, *names: str) -> list[tuple[Any, Sites]]:
        """Objects of these classes, or of classes derived from them, and where each was made."""
        return [
            (o, s) for o, s in self.others if s and any(base.__name__ in names for base in type(o).__mro__)
        ]


def watched(load: Any, folder: Path) -> tuple[Recipe, Made]:
    """The recipe that ``load()`` gives, and where its model, its optimizer and what else it needs are made."""
    import paddle

    made = Made()
    by_id: dict[int, tuple[Any, Sites]] = {}

    def note(thing: Any) -> None:
        by_id.setdefault(id(thing), (thing, list(_sites(sys._getframe(2), thing, folder))))

    with _noting(note):
        recipe = load()
        with paddle.utils.unique_name.guard():
            model = recipe.model()
            for path, layer in model.named_sublayers(include_self=True):
                made.kinds[path] = type(layer)
                if id(layer) in by_id:
                    made.layers[path] = by_id[id(layer)][1]
            if recipe.optimizer is not None:
                recipe.optimizer(model)
    made.others = list(by_id.values())
    imported = [
        Path(file) for module in list(sys.modules.values()) if (file := getattr(module, "__file__", None))
    ]
    made.files = list(dict.fromkeys(file for file in reversed(imported) if file.is_relative_to(folder)))
    return recipe, made


@contextmanager
def _noting(note: Any) -> Iterator[None]:
    """While open, every new layer, optimizer, schedule, regulariser and clip is noted."""
    import paddle

    classes: list[Any] = [paddle.nn.Layer, paddle.optimizer.Optimizer, paddle.optimizer.lr.LRScheduler]
    classes += [paddle.regularizer.L1Decay, paddle.regularizer.L2Decay]
    classes += [paddle.nn.ClipGradByGlobalNorm, paddle.nn.ClipGradByNorm, paddle.nn.ClipGradByValue]
    kept = [cls.__init__ for cls in classes]

    def noting(plain: Any) -> Any:
        def made(self: Any, *arguments: Any, **keywords: Any) -> None:
            note(self)
            plain(self, *arguments, **keywords)

        return made

    for cls, plain in zip(classes, kept, strict=True):
        cls.__init__ = noting(plain)
    try:
        yield
    finally:
        for cls, plain in zip(classes, kept, strict=True):
            cls.__init__ = plain


def _sites(frame: FrameType | None, thing: Any, folder: Path) -> Iterator[Site]:
    """The calls in progress that lie in the folder, past the thing's own initialisers."""
    own = True
    count = 0
    while frame is not None and count < MOST_FRAMES:
        code = frame.f_code
        own = own and code.co_name == "__init__" and frame.f_locals.get(code.co_varnames[0]) is thing
        file = Path(code.co_filename)
        if not own and file.is_relative_to(folder):
            position = list(code.co_positions())[frame.f_lasti // 2]
            if None not in position:
                line, end_line, column, end_column = position
                yield Site(file, line, column, end_line, end_column)  # type: ignore[arg-type]
                count += 1
        frame = frame.f_back
