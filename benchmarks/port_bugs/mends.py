"""Asks ``align`` for a mend of a wrong port, applies it, and measures without any tool what the port then does."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from fuxian.align import align
from fuxian.align.alignment import Alignment
from fuxian.align.mend import mend
from fuxian.align.mend.mend import Mend
from fuxian.align.stage_names import STAGES
from fuxian.recipe import load_recipe
from port_bugs.catalogue import Faithful
from port_bugs.measure import ORDER, bound, observe

HERE = Path(__file__).resolve().parent
SIDE = """from port_bugs.architectures import {architecture}
from port_bugs.catalogue import BUGS, FAITHFUL

CASE = next(case for case in [*BUGS, *FAITHFUL] if case.name == "{name}")


def recipe():
    return {architecture}.{side}(**CASE.{change})
"""


def mended(case: Faithful, dtype: str) -> tuple[Alignment, Mend, str]:
    """What ``align`` says, its mend, and what the mended port is: ``right``, ``wrong: ...``, nothing without a mend.

    The port is a folder of its own: a recipe file beside a copy of this catalogue.
    """
    with tempfile.TemporaryDirectory(prefix="port-bugs-") as temporary:
        folder = Path(temporary).resolve() / "port"
        shutil.copytree(HERE, folder / "port_bugs", ignore=shutil.ignore_patterns("__pycache__"))
        for side, change in (("port", "change"), ("reference", "reference_change")):
            text = SIDE.format(architecture=case.architecture, name=case.name, side=side, change=change)
            (folder / f"{side}.py").write_text(text)
        port, reference = str(folder / "port.py"), str(folder / "reference.py")
        found = align(port, reference, dtype=dtype, folder=Path(temporary) / "recordings")
        made = mend(port, found, stages=STAGES)
        if not made.diff:
            return found, made, ""
        for name, text in made.texts.items():
            (folder / name).write_text(text)
        try:
            gaps = observe(load_recipe(port), load_recipe(reference))
        except (ValueError, RuntimeError, TypeError) as error:
            return found, made, f"wrong: it raises {type(error).__name__}"
        beyond = {s: gaps[s] for s in ORDER if gaps.get(s, 0.0) > bound(case.architecture, s)}
        return found, made, f"wrong: {beyond}" if beyond else "right"
