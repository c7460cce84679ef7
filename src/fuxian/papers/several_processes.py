"""Trains a run's seed on several processes of this machine, under Paddle's launcher."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from fuxian.errors import InputError
from fuxian.temporary import temporary_folder

LOGS = "processes"
"""The folder of a run that holds what each process printed."""
FAILED = "failed.txt"
"""In it: what the first process that failed said."""
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
    failed = logs / FAILED
    failed.unlink(missing_ok=True)
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
        said = failed.read_text(encoding="utf-8").rstrip(".") if failed.is_file() else "none of them says why"
        raise InputError(
            f"training on {processes} processes ended: {said} (all that they printed is in {logs})."
        )


def train_share(run: Path, *, workers: int) -> None:
    """One process's part of ``train_on_several``; ends with 2 where that fails, and says why in ``FAILED``."""
    from fuxian.training.machine import prepare

    prepare()
    import paddle

    from fuxian.papers.reproduction import fit_seed, read_plan

    try:
        plan = read_plan(run)
        paddle.set_device(plan.device)
        fit_seed(plan, run, plan.seeds[0], workers=workers)
    except Exception as error:
        traceback.print_exc()
        said = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
        # What the others say follows from the first that failed.
        with suppress(FileExistsError), (run / LOGS / FAILED).open("x", encoding="utf-8") as file:
            file.write(said)
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
