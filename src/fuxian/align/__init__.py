"""Proves that a port equals its reference, and names where and why it does not.

Light to import: what needs a framework is imported when it is called.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from fuxian.align.stage_names import STAGES
from fuxian.events import Listener, Progress

if TYPE_CHECKING:
    from fuxian.align.alignment import Alignment
    from fuxian.weights import Overrides

__all__ = ["STAGES", "align", "assert_aligned"]


def align(
    port: Any,
    reference: Any,
    *,
    stages: Sequence[str] = STAGES,
    dtype: str | None = None,
    oracle: bool = True,
    folder: Path | str | None = None,
    overrides: Overrides | None = None,
    listener: Listener | None = None,
    cancel: threading.Event | None = None,
) -> Alignment:
    """Compare a port with its reference, as ``fuxian align run`` does.

    Args:
        port: a ``fuxian.Recipe``, a recipe file or ``module:attribute``.
        reference: likewise, or a recording's folder.
        stages: those that are compared.
        dtype: "float64" or "float32"; by default that of the recording if one is given, else float64.
        oracle: run a second precision, to tell rounding from mistakes.
        folder: where the recordings are kept; nowhere if absent.
        overrides: weights that belong together (``fuxian.weights.load_overrides``).
        listener: hears an event before each recording and comparison.
        cancel: once it is set, the next of them raises ``fuxian.errors.Stopped``.

    Returns:
        The alignment; its ``as_dict()`` is the document of ``--json``.

    Raises InputError as ``fuxian.align.alignment.align`` does.
    """
    from fuxian.align.alignment import align as run

    return run(
        port,
        reference,
        stages=stages,
        dtype=dtype,
        oracle=oracle,
        folder=folder,
        overrides=overrides,
        progress=Progress(listener, cancel),
    )


def assert_aligned(port: Any, reference: Any, **options: Any) -> None:
    """For test suites: raises AssertionError, with the first divergence and its cause, unless aligned.

    Takes what ``align`` takes. Not being able to tell fails too.
    """
    from fuxian.align.terminal import summary

    alignment = align(port, reference, **options)
    if alignment.verdict != "aligned":
        raise AssertionError(summary(alignment))


class _Callable(ModuleType):
    """``fuxian.align`` is this package and the function that it is named after."""

    def __call__(self, port: Any, reference: Any, **options: Any) -> Alignment:
        return align(port, reference, **options)


sys.modules[__name__].__class__ = _Callable
