"""Runs the reference implementation's own evaluation or prediction, as the manifest's [reference] names it."""

from __future__ import annotations

import sys
from pathlib import Path

from fuxian.sandbox import MIB, Limits, Outcome, ReadOnly, Scratch, run
from fuxian.submission.checklist.submitted_files import look
from fuxian.submission.manifest import Manifest, ReferenceCommand
from fuxian.verify.commands import DATA, OUT, WORK, Allowance, data_folder, let_others_read
from fuxian.verify.environment import Environment, environment_for

ROOM = 2048 * MIB
"""Bytes that it may write in its copy of the submission, with what is there already."""
ROOM_OUT = 512 * MIB


def run_in_sandbox(
    manifest: Manifest, reference: ReferenceCommand, place: Path, allow_unsandboxed: bool
) -> Outcome:
    """Runs the command on a copy of the submission; what it wrote is kept in ``place``, in ``work`` and ``out``.

    Without requirements of its own it runs in Fuxian's environment. Raises Failed(ENV) where these cannot be
    installed, and PlatformError where data or a sandbox is missing.
    """
    tree = look(manifest)
    tree.copy(tree.files, place / "copy")
    let_others_read(place / "copy")
    environment = Environment(Path(sys.executable), "", "reused", {})
    if reference.requirements is not None:
        own = manifest.environment.model_copy(update={"requirements": reference.requirements})
        environment = environment_for(manifest.model_copy(update={"environment": own}))
    needed = manifest.claim().data
    mounts = [ReadOnly(data_folder(name), f"{WORK}/{path}") for name, path in manifest.data.items()]
    mounts += [ReadOnly(data_folder(name), f"{DATA}/{name}") for name in needed]
    return run(
        [text.replace("{out}", OUT) for text in reference.run],
        mounts=[
            *environment.mounts,
            *mounts,
            Scratch(WORK, ROOM, source=place / "copy", save_to=place / "work"),
            Scratch(OUT, ROOM_OUT, save_to=place / "out"),
        ],
        limits=Limits(wall=60 * reference.minutes, memory=Allowance.memory),
        env={**environment.variables, **({"FUXIAN_DATA": DATA} if needed else {})},
        cwd=WORK,
        allow_unsandboxed=allow_unsandboxed,
    )
