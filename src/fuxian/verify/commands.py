"""Runs one command of a manifest in the sandbox, on a fresh copy of the submission."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fuxian import deadline
from fuxian.datasets.root import find_root
from fuxian.errors import PlatformError
from fuxian.paper import Claim
from fuxian.sandbox import MIB, Limits, Outcome, ReadOnly, SaveLimits, Scratch, run
from fuxian.submission.manifest import CommandName, Manifest
from fuxian.verify.environment import Environment
from fuxian.verify.reasons import require_ok

WORK, OUT, DATA, GIVEN = "/work", "/out", "/data", "/given"
GIB = 1024 * MIB
COMPILED = ("__pycache__", "*.pyc", "*.pyo")
ROOM = MOST_SAVED = 512 * MIB
"""Bytes that a command may write, in its folder and in {out} each."""


@dataclass(frozen=True)
class Allowance:
    """What any one command of a submission may use; its own wall clock limit comes from the manifest."""

    seconds: float = 24 * 3600.0
    memory: int = 6 * GIB
    cpus: float = 2.0
    pids: int = 512
    output: int = 64 * MIB


@dataclass
class Workspace:
    """A pinned submission with all that its commands need."""

    manifest: Manifest
    claim: Claim
    environment: Environment
    place: Path
    """An existing folder for what the commands make; each gets one of its own in it."""
    allowance: Allowance = field(default_factory=Allowance)
    allow_unsandboxed: bool = False
    cancel: threading.Event | None = None
    done: list[Done] = field(default_factory=list)
    """Every command that was run, in order."""
    copies: tuple[str, ...] = ()
    """Files of the submission that hold the trained weights once more; see ``copies_of_weights``."""
    begins: Callable[[str], None] = lambda label: None
    """Hears the label of each command before it runs."""


@dataclass(frozen=True)
class Done:
    """A command that was run."""

    name: str
    outcome: Outcome
    made: Path
    """What it wrote: ``out/`` and, where it was asked for, ``work/``."""

    def as_dict(self) -> dict[str, Any]:
        """For the evidence: everything that was measured of it, and its whole output's hash."""
        outcome = self.outcome
        return {
            "name": self.name,
            "command": list(outcome.command),
            "reason": outcome.reason,
            "exit_code": outcome.exit_code,
            "signal": outcome.signal,
            "seconds": round(outcome.wall, 3),
            "cpu_seconds": round(outcome.cpu, 3),
            "peak_memory": outcome.peak_memory,
            "sandboxed": outcome.sandboxed,
            "mechanisms": outcome.mechanisms,
            "refused": [list(one) for saved in outcome.saved for one in saved.refused],
        }


def run_command(
    at: Workspace,
    name: CommandName,
    label: str,
    *,
    seed: int | None = None,
    steps: int | None = None,
    checkpoint: Path | None = None,
    exported: Path | None = None,
    threads: int | None = None,
    seconds: float | None = None,
    before: Sequence[str] = (),
    without: Sequence[str] = (),
    instead: Mapping[str, Path] | None = None,
    inputs: Path | None = None,
    bare: bool = False,
    data: bool | None = None,
    arguments: Sequence[str] | None = None,
    variables: Mapping[str, str] | None = None,
) -> Done:
    """Runs a command of the manifest and keeps what it made under ``at.place / label``.

    ``checkpoint`` and ``exported`` are what an earlier command made; ``before`` is put before the command;
    ``without`` names files that are taken out of its copy of the submission, ``instead`` some that others stand for.
    ``inputs`` is a folder of drawn batches. A ``bare`` run sees no data set, and neither the submission's checkpoint,
    in any copy, nor its log: all that it is given lies where every such run is given it. ``data``: whether it sees data
    sets all the same. ``arguments`` stand for the manifest's, ``variables`` are more of the environment.

    Raises Failed where it does not end with exit code 0 within its limits.
    """
    at.begins(label)
    made = at.place / label
    made.mkdir()
    of_training = (at.manifest.checkpoint_of, at.manifest.log_of, at.manifest.checkpoints_of)
    own = [path for path in (where(at.claim) for where in of_training) if path]
    copy = _copy(at, made, [*without, *own, *at.copies] if bare else without)
    for path, file in (instead or {}).items():
        shutil.copyfile(file, copy / path)
    given = []
    if checkpoint is not None:
        given.append(ReadOnly(checkpoint, f"{GIVEN}/{checkpoint.name}"))
    if exported is not None:
        given.append(ReadOnly(exported, f"{GIVEN}/exported"))
    if inputs is not None:
        given.append(ReadOnly(inputs, f"{GIVEN}/inputs"))
    command = arguments or at.manifest.arguments(
        name,
        out=OUT,
        claim=at.claim.id,
        seed=seed,
        steps=steps,
        checkpoint=f"{GIVEN}/{checkpoint.name}" if checkpoint is not None else None,
        exported=f"{GIVEN}/exported",
        inputs=f"{GIVEN}/inputs" if inputs is not None else "",
    )
    room = _size(copy) + ROOM
    keeps_work = output_place(at.manifest, name) == "work"
    saved = SaveLimits(size=room, entries=20_000)
    threads = threads or max(1, int(at.allowance.cpus))
    limits = Limits(
        wall=deadline.left(min(at.manifest.seconds(name), at.allowance.seconds, seconds or float("inf"))),
        cpus=at.allowance.cpus,
        memory=at.allowance.memory,
        pids=at.allowance.pids,
        output=at.allowance.output,
    )
    mounted, named = _data(at) if (not bare if data is None else data) else ([], {})
    outcome = run(
        [*before, *command],
        mounts=[
            *at.environment.mounts,
            *mounted,
            *given,
            Scratch(WORK, room, source=copy, save_to=made / "work" if keeps_work else None, save=saved),
            Scratch(OUT, ROOM, save_to=made / "out", save=saved),
        ],
        limits=limits,
        env={
            **at.environment.variables,
            **named,
            **{name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")},
            **(variables or {}),
        },
        cwd=WORK,
        cancel=at.cancel,
        allow_unsandboxed=at.allow_unsandboxed,
    )
    (made / "stdout.txt").write_bytes(outcome.stdout)
    (made / "stderr.txt").write_bytes(outcome.stderr)
    shutil.rmtree(copy)
    done = Done(label, outcome, made)
    at.done.append(done)
    require_ok(label, outcome)
    return done


def output_place(manifest: Manifest, name: CommandName) -> str:
    """``out`` where an argument of the command names {out}, else ``work``: there its output paths begin."""
    return "out" if any("{out}" in text for text in manifest.commands[name].run) else "work"


def _copy(at: Workspace, made: Path, without: Sequence[str]) -> Path:
    copy = made / "copy"
    # Python would run a compiled file in the place of the source that people read.
    shutil.copytree(at.manifest.folder, copy, symlinks=True, ignore=shutil.ignore_patterns(*COMPILED))
    let_others_read(copy)
    for path in [*without, *at.manifest.data.values()]:
        target = copy / path
        if target.is_dir():
            shutil.rmtree(target)
        else:
            target.unlink(missing_ok=True)
    return copy


def let_others_read(folder: Path) -> None:
    """The sandbox's user is another than ours, and our umask may keep others out of what we copy."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | (0o555 if path.is_dir() or mode & 0o100 else 0o444))


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*"))


def _data(at: Workspace) -> tuple[list[ReadOnly], dict[str, str]]:
    """The data sets, read-only: where the manifest says, and under FUXIAN_DATA for Fuxian's own readers."""
    mounts = [ReadOnly(data_folder(name), f"{WORK}/{path}") for name, path in at.manifest.data.items()]
    mounts += [ReadOnly(data_folder(name), f"{DATA}/{name}") for name in at.claim.data]
    return mounts, {"FUXIAN_DATA": DATA} if at.claim.data else {}


def data_folder(name: str) -> Path:
    """The folder of a data set on this machine. Raises PlatformError where it is not there."""
    folder = find_root() / name
    if not folder.is_dir():
        raise PlatformError(
            f"The data set {name!r} is not at {folder}: get it with `fuxian data get {name}`, or put it there."
        )
    return folder
