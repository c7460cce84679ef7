"""``fuxian doctor``: what this machine can and cannot do, and how to mend it."""

from __future__ import annotations

import importlib.util
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass

import typer
from rich.console import Console
from rich.table import Column, Table

from fuxian.cli.options import AsJson, print_json
from fuxian.invocation import command


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's list. ``needed`` says whether the main job depends on it."""

    what: str
    ok: bool
    found: str
    mend: str = ""
    needed: bool = True


def doctor(as_json: AsJson = False) -> None:
    """Check Python, Paddle, data, disk and the optional tools; exits with 4 where the main job cannot run.

    Example: fuxian doctor
    """
    findings = [finding for check in CHECKS for finding in check()]
    able = all(finding.ok for finding in findings if finding.needed)
    if as_json:
        print_json({"able": able, "findings": [asdict(finding) for finding in findings]})
    else:
        table = Table("", "what", Column("found", overflow="fold"), Column("mend", overflow="fold"))
        for finding in findings:
            mark = "✓ ok" if finding.ok else ("✗ missing" if finding.needed else "– optional")
            table.add_row(mark, finding.what, finding.found, "" if finding.ok else finding.mend)
        Console().print(table)
    raise typer.Exit(0 if able else 4)


def _python() -> list[Finding]:
    supported = (3, 11) <= sys.version_info[:2] <= (3, 13)
    return [
        Finding("Python 3.11 to 3.13", supported, platform.python_version(), "install one of these versions")
    ]


def _paddle() -> list[Finding]:
    if importlib.util.find_spec("paddle") is None:
        return [Finding("PaddlePaddle", False, "not installed", "pip install paddlepaddle==3.3.1")]
    import paddle

    from fuxian.training.environment import describe

    facts = describe()
    gpus = paddle.device.cuda.device_count() if paddle.is_compiled_with_cuda() else 0
    threads = f"{facts['cores']} cores, MKL threads {facts.get('MKL_NUM_THREADS', 'not set')}"
    return [
        Finding("PaddlePaddle", True, paddle.__version__),
        Finding("processor", True, f"{facts['processor']}; {threads}"),
        Finding(
            "GPU", gpus > 0, f"{gpus}", "install paddlepaddle-gpu on a machine that has one", needed=False
        ),
    ]


def _torch() -> list[Finding]:
    there = importlib.util.find_spec("torch") is not None
    mend = "pip install torch==2.13.0, for live references of alignment"
    return [Finding("PyTorch", there, "installed" if there else "not installed", mend, needed=False)]


def _data() -> list[Finding]:
    from fuxian.datasets.catalogue import CATALOGUE
    from fuxian.datasets.root import find_root

    root = find_root()
    findings = []
    for name, dataset in CATALOGUE.items():
        absent = [file.name for file in dataset.files if not (root / name / file.name).is_file()]
        found = f"{root / name}" if not absent else f"{', '.join(absent)} not in {root / name}"
        findings.append(
            Finding(f"data set {name}", not absent, found, command("data", "get", name), needed=False)
        )
    return findings


def _sandbox() -> list[Finding]:
    from fuxian.sandbox.doctor import examine

    return [Finding(f"sandbox: {row.name}", row.ok, row.found, row.mend, needed=False) for row in examine()]


def _contest() -> list[Finding]:
    absent = [
        name
        for name in ("fastapi", "sqlalchemy", "alembic", "argon2", "psycopg")
        if not importlib.util.find_spec(name)
    ]
    git = shutil.which("git")
    return [
        Finding(
            "contest: packages",
            not absent,
            f"without {', '.join(absent)}" if absent else "installed",
            "pip install -e '.[contest]' in Fuxian's folder",
            needed=False,
        ),
        Finding("contest: git", git is not None, git or "not found", "install the package git", needed=False),
    ]


def _disk() -> list[Finding]:
    free = shutil.disk_usage(".").free
    return [Finding("disk", free > 1e9, f"{free / 1e9:.1f} GB free here", "free at least 1 GB for runs")]


CHECKS: tuple[Callable[[], list[Finding]], ...] = (_python, _paddle, _torch, _data, _sandbox, _contest, _disk)
