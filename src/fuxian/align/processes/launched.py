"""Runs a recipe on several processes, each watched as ``run`` watches one."""

from __future__ import annotations

import pickle
import time
from pathlib import Path

from fuxian.align.processes.run import Given, Run
from fuxian.training.launching import failing, launch

_SCRIPT = """\
import sys
from pathlib import Path

from fuxian.align.processes.launched import run_share

run_share(Path(sys.argv[1]))
"""
_PLAN = "plan.pickle"
SHORTEST, TIMES = 180.0, 30.0
"""The processes may take so many seconds, or so many times what one process took."""


class FailedError(Exception):
    """A process raised; the message is its own."""


def run_on_several(plans: list[tuple[str, Given]], size: int, folder: Path, alone: float) -> list[list[Run]]:
    """What each of ``size`` processes did with each recipe, by its name, on its share of the joint batches.

    ``alone``: the seconds that one process took. Raises FailedError where a process raises, or where they wait for each
    other for good.
    """
    (folder / _PLAN).write_bytes(pickle.dumps(plans))
    logs = folder / "processes"
    ends = time.monotonic() + max(SHORTEST, TIMES * alone)

    def tick() -> None:
        if time.monotonic() > ends:
            raise FailedError(
                "the processes did not end; where one alone calls a collective operation (all_reduce, barrier,"
                " broadcast), it waits for the others for ever"
            )

    said = launch(_SCRIPT, [str(folder.resolve())], size, logs=logs, device="cpu", tick=tick)
    if said is not None:
        raise FailedError(said)
    ranks = [pickle.loads((folder / f"runs-{rank}.pickle").read_bytes()) for rank in range(size)]  # noqa: S301 - ours
    return [list(runs) for runs in zip(*ranks, strict=True)]


def run_share(folder: Path) -> None:
    """One process's part of ``run_on_several``."""
    from fuxian.training.machine import prepare

    prepare()

    def watch() -> None:
        import paddle

        from fuxian.align.processes.run import ready, run
        from fuxian.recipe import load_recipe
        from fuxian.training.distributed import world

        paddle.set_device("cpu")
        rank, size = world()
        plans = pickle.loads((folder / _PLAN).read_bytes())  # noqa: S301 - written by what launched this
        with ready():
            runs = [run(load_recipe(source), given, size=size, rank=rank) for source, given in plans]
        (folder / f"runs-{rank}.pickle").write_bytes(pickle.dumps(runs))

    failing(folder / "processes", watch)
