"""Trains a run's seed on several processes of this machine, under Paddle's launcher."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from fuxian.errors import InputError
from fuxian.temporary import temporary_folder

LOGS = "processes"
"""The folder of a run that holds what each process printed."""
_TICK = 0.5
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

    ``progress`` hears of the last logged step about twice a second, and may raise to end the training. Raises
    InputError with the last words of the first process that failed.
    """
    logs = run / LOGS
    share = (
        ["--nproc_per_node", str(processes)]
        if device == "cpu"
        else ["--devices", ",".join(map(str, range(processes)))]
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PADDLE_")}
    with temporary_folder("launch") as folder:
        script = folder / "train.py"
        script.write_text(_SCRIPT)
        command = [sys.executable, "-m", "paddle.distributed.launch", *share, "--log_dir", str(logs)]
        launched = subprocess.Popen(  # noqa: S603 - a list of words
            [*command, str(script), str(run.resolve()), str(workers)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            while launched.poll() is None:
                progress(_last_step(run / "log.jsonl"))
                time.sleep(_TICK)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(launched.pid, signal.SIGKILL)
            launched.wait()
    if launched.returncode:
        raise InputError(
            f"training on {processes} processes ended: {_last_words(logs)} (all that they printed is in {logs})."
        )


def train_share(run: Path, *, workers: int) -> None:
    """One process's part of ``train_on_several``; ends with 2 and one sentence on stderr where that fails."""
    from fuxian.training.machine import prepare

    prepare()
    import paddle

    from fuxian.papers.reproduction import fit_seed, read_plan

    try:
        plan = read_plan(run)
        paddle.set_device(plan.device)
        fit_seed(plan, run, plan.seeds[0], workers=workers)
    except InputError as error:
        print(error, file=sys.stderr, flush=True)
        # Not sys.exit: the other processes may wait for this one for ever, and the launcher ends them when it is gone.
        os._exit(2)


def _last_step(log: Path) -> int:
    """The step of the last whole line, 0 where there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 4096))
            lines = file.read().split(b"\n")[:-1]
        return next((int(json.loads(line)["step"]) for line in reversed(lines) if b'"step"' in line), 0)
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def _last_words(logs: Path) -> str:
    """The last line that a process printed, of the first that printed any."""
    for file in sorted(logs.glob("workerlog.*")):
        with suppress(OSError):
            words = [line.strip() for line in file.read_text(errors="replace").splitlines() if line.strip()]
            said = [line for line in words if not line.startswith(("LAUNCH", "I1", "I0", "W1", "W0"))]
            if said:
                return said[-1].rstrip(".")
    return "they printed nothing"
