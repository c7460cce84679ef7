"""Proves that a port equals its reference, and names where and why it does not.

Light to import: what needs a framework is imported when it is called.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from fuxian.align.stage_names import STAGES

if TYPE_CHECKING:
    from fuxian.align.alignment import Alignment

__all__ = ["STAGES", "align", "assert_aligned"]


def align(port: Any, reference: Any, *, stages: Sequence[str] = STAGES, dtype: str = "float64",
          oracle: bool = True, folder: Path | str | None = None) -> Alignment:  # fmt: skip
    """Compare a port with its reference: two recipes, recipe files, or a recording for the reference.

    See ``fuxian.align.alignment.align``.
    """
    from fuxian.align.alignment import align as run

    return run(port, reference, stages=stages, dtype=dtype, oracle=oracle, folder=folder)


def assert_aligned(port: Any, reference: Any, **options: Any) -> None:
    """For test suites: raises AssertionError, with the first divergence and its cause, unless aligned.

    Takes what ``align`` takes. Not being able to tell fails too.
    """
    from fuxian.align.alignment import align as run
    from fuxian.align.terminal import summary

    alignment = run(port, reference, **options)
    if alignment.verdict != "aligned":
        raise AssertionError(summary(alignment))


class _Callable(ModuleType):
    """``fuxian.align`` is this package and the function that it is named after."""

    def __call__(self, port: Any, reference: Any, **options: Any) -> Alignment:
        return align(port, reference, **options)


sys.modules[__name__].__class__ = _Callable
