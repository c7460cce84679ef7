"""Places verifications on an existing Ray cluster, by processors, cards and memory.

The database stays the only truth: a worker here holds the job's lease and sends its heartbeats, while an actor on some
node verifies. A node that is lost is a failure of the platform, and the job is done again. Nothing of a submission
reaches the cluster itself: it runs in the sandbox, which has no network.
"""

from __future__ import annotations

import io
import socket
import tarfile
import tempfile
import threading
import time
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fuxian.contest.evaluation import Evaluate, Progress, Result, Work, by_fuxian, packed
from fuxian.errors import InputError, PlatformError
from fuxian.extras import need

TICK = 0.5
NODE_WAITS = 3600.0
"""Seconds that a verification waits for a node with room before it is given back as the platform's failure."""
ANSWERS = 10.0
"""Seconds within which a cluster's head takes a connection."""
LARGEST_TERMS = 64 << 20
"""Bytes, packed, of the terms with what they name."""


@dataclass(frozen=True)
class Room:
    """What one verification takes of a node."""

    cpus: float = 2.0
    gpus: float = 0.0
    memory: float = 8.0
    """GiB"""


def on_ray(address: str, room: Room, evaluate: Evaluate = by_fuxian) -> Evaluate:
    """``evaluate`` on the cluster at ``address`` ("auto": the one that this machine is a node of).

    Raises InputError where Ray is not installed or no cluster answers.
    """
    need("cluster", ["ray"], "--engine ray")
    import ray

    if not ray.is_initialized():
        try:
            if ":" in address:
                # Ray itself asks for minutes.
                host, _, port = address.removeprefix("ray://").rpartition(":")
                socket.create_connection((host, int(port)), timeout=ANSWERS).close()
            ray.init(address=address, log_to_driver=False, namespace="fuxian", logging_level="ERROR")
        except (OSError, ValueError, RuntimeError) as error:
            said = str(error).splitlines()[0]
            raise InputError(
                f"no Ray cluster answers at {address} ({said}); start one with `ray start --head`."
            ) from error
    actor = ray.remote(_Verifier).options(
        num_cpus=room.cpus,
        num_gpus=room.gpus,
        memory=int(room.memory * 2**30),
        max_concurrency=2,
        max_restarts=0,
    )

    def placed(work: Work, results: Path, cancel: threading.Event, progress: Progress) -> Result:
        verifier = actor.remote(work, Path(work.bundle).read_bytes(), _terms(work), evaluate)
        running = verifier.run.remote()
        began, said, asked = time.monotonic(), None, False
        try:
            progress("waiting for a node of the cluster")
            while not ray.wait([running], timeout=TICK)[0]:
                if cancel.is_set() and not asked:
                    asked = True
                    if said is None:  # no node has begun
                        return Result("inconclusive", "CANCELLED", "", cancelled=True)
                    verifier.cancel.remote()
                said = _said(ray, verifier, progress) or said
                if said is None and time.monotonic() - began > NODE_WAITS:
                    raise PlatformError(
                        f"no node of the cluster had {room.cpus:g} processors, {room.gpus:g} cards and {room.memory:g}"
                        f" GiB free within {NODE_WAITS / 60:g} minutes; add nodes, or ask for less."
                    )
            result, packed = ray.get(running)
        except ray.exceptions.RayError as error:
            raise PlatformError(f"the cluster lost the verification: {str(error).splitlines()[0]}") from error
        finally:
            ray.kill(verifier)
        if packed is None:
            return result
        _unpack(packed, results)
        return replace(result, evidence=results)

    return placed


def _said(ray: Any, verifier: Any, progress: Progress) -> str | None:
    """What the verification is doing, passed on; None while it has not begun."""
    asked = verifier.doing.remote()
    if not ray.wait([asked], timeout=TICK)[0]:
        return None
    what = ray.get(asked)
    progress(what)
    return str(what)


class _Verifier:
    """On a node: one verification, with what it needs of this machine."""

    def __init__(self, work: Work, bundle: bytes, terms: bytes | None, evaluate: Evaluate) -> None:
        self._given = work, bundle, terms, evaluate
        self._cancel = threading.Event()
        self._doing = "beginning"

    def doing(self) -> str:
        return self._doing

    def cancel(self) -> None:
        self._cancel.set()

    def run(self) -> tuple[Result, bytes | None]:
        work, bundle, terms, evaluate = self._given
        with tempfile.TemporaryDirectory(prefix="fuxian-contest-") as folder:
            place = Path(folder)
            (place / "submission.bundle").write_bytes(bundle)
            here = replace(work, bundle=str(place / "submission.bundle"))
            if terms is not None and work.terms is not None:
                _unpack(terms, place / "terms")
                here = replace(here, terms=str(place / "terms" / Path(work.terms).name))
            result = evaluate(here, place / "evidence", self._cancel, self._say)
            if result.evidence is None or not result.evidence.is_dir():
                return replace(result, evidence=None), None
            return replace(result, evidence=None), packed(result.evidence).read_bytes()

    def _say(self, what: str) -> None:
        self._doing = what


def _terms(work: Work) -> bytes | None:
    """The terms file with what it names beside it: the organiser's paper, an overlay, known weights."""
    if work.terms is None:
        return None
    file = Path(work.terms)
    try:
        terms = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PlatformError(f"{file}: these terms cannot be read ({error}); mend the file.") from error
    named = [terms.get("paper"), terms.get("overlay"), *terms.get("known_weights", [])]
    beside = [name for name in named if isinstance(name, str) and (file.parent / name).exists()]
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w:gz") as archive:
        for name in (file.name, *beside):
            archive.add(file.parent / name, arcname=name)
    if held.tell() > LARGEST_TERMS:
        raise PlatformError(
            f"{file}: what these terms name has {held.tell() / 1e6:.0f} MB packed, and {LARGEST_TERMS / 1e6:.0f} MB may"
            " be sent to a node; keep large files out of the paper's folder."
        )
    return held.getvalue()


def _unpack(packed: bytes, folder: Path) -> None:
    folder.mkdir(parents=True)
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as archive:
        archive.extractall(folder, filter="data")
