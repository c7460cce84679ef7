"""Trains a run's seed on several processes of this machine, under Paddle's launcher."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from fuxian.errors import InputError
from fuxian.training.launching import failing, launch

LOGS = "processes"
"""The folder of a run that holds what each process printed."""
_SCRIPT = """\
import sys
from pathlib import Path

from fuxian.papers.several_processes import train_share

train_share(Path(sys.argv[1]), workers=int(sys.argv[2]))
"""


def train_on_several(
    run: Path, processes: int, *, device: str, workers: int, progress: Callable[[int], None]
) -> None:
    """Trains the run folder of one seed, from where it stands, as its config.json says.

    ``progress`` hears of the last logged step a few times a second, and may raise to end the training. Raises
    InputError with the last words of the first process that failed.
    """
    logs = run / LOGS
    said = launch(
        _SCRIPT,
        [str(run.resolve()), str(workers)],
        processes,
        logs=logs,
        device=device,
        tick=lambda: progress(_last_step(run / "log.jsonl")),
    )
    if said is not None:
        raise InputError(
            f"training on {processes} processes ended: {said} (all that they printed is in {logs})."
        )


def train_share(run: Path, *, workers: int) -> None:
    """One process's part of ``train_on_several``."""
    from fuxian.training.machine import prepare

    prepare()

    def train() -> None:
        import paddle

        from fuxian.papers.reproduction import fit_seed, read_plan

        plan = read_plan(run)
        paddle.set_device(plan.device)
        fit_seed(plan, run, plan.seeds[0], workers=workers)

    failing(run / LOGS, train)


def _last_step(log: Path) -> int:
    """The step of the last whole line, 0 where there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 4096))
            lines = file.read().split(b"\n")[:-1]
        return next((int(json.loads(line)["step"]) for line in reversed(lines) if b'"step"' in line), 0)
    except (OSError, ValueError, KeyError, TypeError):
        return 0
