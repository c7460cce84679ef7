"""A progress bar with an ETA on stderr, for trainings and evaluations."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars

from fuxian.events import Event, Progress

EVERY = 10
"""Without a terminal, one line for each tenth of the work."""


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Yields the progress that long work reports to; each of its commands is a bar of its own."""
    console = Console(file=sys.stderr)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}"),
    )
    with Bars(*columns, console=console, refresh_per_second=4, disable=not console.is_terminal) as bars:
        tasks: dict[str, TaskID] = {}
        shown: dict[str, int] = {}

        def report(event: Event) -> None:
            label, done, total, figures = event.command, event.done, event.total, event.figures
            if label not in tasks:
                # Started at what a resumed run has behind it, the ETA is of the steps still to do.
                tasks[label] = bars.add_task(label, total=total or None, completed=done - 1, figures="")
            text = "  ".join(f"{name} {figures[name]:.4g}" for name in ("loss", "ips") if name in figures)
            bars.update(tasks[label], completed=done)
            if text:
                bars.update(tasks[label], figures=text)
            tenth = done * EVERY // total if total else 0
            if not console.is_terminal and tenth > shown.get(label, 0):
                shown[label] = tenth
                print(f"{label}: {done} of {total} {text}".rstrip(), file=sys.stderr, flush=True)

        yield Progress(report)


@contextmanager
def download_bar() -> Iterator[Callable[[int, int | None], None]]:
    """Yields ``report(bytes done, bytes in all or None)``, shown on a terminal."""
    console = Console(stderr=True)
    columns = (BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Bars(*columns, console=console, disable=not console.is_terminal) as bars:
        task = bars.add_task("", total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)
