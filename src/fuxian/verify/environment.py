"""The Python environment of a submission, from wheels alone: nothing of the submission is run to make it.

``pip`` runs in Fuxian's own interpreter and never in the new environment, where an installed file could run at its
start. Fuxian itself is not installed: every command sees the very copy that judges it, read-only.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import re
import shutil
import sys
import tempfile
import venv
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

import fuxian
from fuxian.datasets.root import cache_folder
from fuxian.errors import PlatformError
from fuxian.json_files import write_json
from fuxian.printable import printable
from fuxian.sandbox import ReadOnly, python_runtime
from fuxian.submission.checklist.documents import FIND_LINKS
from fuxian.submission.manifest import Manifest
from fuxian.toml_files import read_text
from fuxian.tool import Ran, TooLong, run_tool
from fuxian.untrusted import parsed
from fuxian.verify.reasons import Failed, Reason

INSTALL_SECONDS = 1800
CHECK_SECONDS = 120
MOST_REQUIREMENTS = 200
LONGEST_REQUIREMENT = 1000
MOST_NAMED = 8
"""Requirements without wheels that are named; each takes pip some seconds to find."""
PYTHONS = ("3.11", "3.12", "3.13")
_NO_WHEEL = re.compile(r"satisfies the requirement (?P<asked>.+) \(from versions: (?P<versions>.*)\)")
ARCHIVES = "archives.json"
"""A file of an environment that was built here."""
AT_START = ("*.pth", "sitecustomize.py", "usercustomize.py")
"""What Python runs, or lets change its paths, before any program: of a wheel that could stand in for Fuxian."""
PACKAGE = "/fuxian"
"""Where a command finds Fuxian."""


@dataclass(frozen=True)
class Environment:
    """An interpreter with its packages."""

    python: Path
    lock: str
    """sha256 of what was asked for: the same requirements give the same environment."""
    made: str
    """``reused``: Fuxian's own environment has all that was asked for. ``built`` or ``cached`` otherwise."""
    packages: dict[str, str]
    """Version by name, of those that the submission asks for."""
    archives: dict[str, str] = field(default_factory=dict)
    """sha256 of every wheel that was installed, by name and version as in ``numpy==2.0.0``. An environment is built
    once and kept, so that what its packages were at the first receipt of such requirements stays what they are."""

    @property
    def mounts(self) -> list[ReadOnly]:
        package = Path(fuxian.__file__).parent
        return [*python_runtime(self.python), ReadOnly(package, f"{PACKAGE}/{package.name}")]

    @property
    def variables(self) -> dict[str, str]:
        return {
            "PATH": f"{self.python.parent}:/usr/local/bin:/usr/bin:/bin",
            "PYTHONPATH": PACKAGE,
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }


def environment_for(manifest: Manifest) -> Environment:
    """The environment that the manifest asks for, found or built.

    Raises Failed(ENV) where it cannot be had from wheels, and PlatformError where this machine has no such Python.
    """
    asked = requirements(manifest)
    lock = _lock(asked, manifest.environment.python)
    if _has_all(asked, manifest.environment.python):
        return Environment(Path(sys.executable), lock, "reused", _versions(asked, None))
    folder = cache_folder() / "environments" / lock
    made = "cached" if folder.is_dir() else "built"
    if made == "built":
        _build(folder, asked, manifest.environment.python)
    archives = json.loads((folder / ARCHIVES).read_text(encoding="utf-8"))
    return Environment(folder / "bin" / "python", lock, made, _versions(asked, folder), archives)


def requirements(manifest: Manifest) -> list[Requirement]:
    """The lines of the requirements file, and Fuxian's own where its recipes are run.

    Raises Failed(ENV) for a line that is more than a name with versions: such a line could fetch from anywhere, or
    run a build.
    """
    file = manifest.folder / manifest.environment.requirements
    if not file.is_file():
        raise Failed(
            Reason.ENV,
            f"{manifest.environment.requirements} is missing; list there what the commands import.",
        )
    found: list[Requirement] = []
    name = manifest.environment.requirements
    for number, text in parsed(_listed, file, what=name):
        if text is None:
            raise Failed(
                Reason.ENV,
                f"{name}, line {number}: this is no name with versions, as in numpy>=2.0; mend it, or name another"
                " file as requirements under [environment].",
            )
        requirement = Requirement(text)
        if requirement.url is not None:
            raise Failed(
                Reason.ENV,
                f"{name}, line {number}: packages come from the index alone; name a version, not an address.",
            )
        if canonicalize_name(requirement.name) == "paddlepaddle-gpu":
            # The sandbox has no GPU: the same Paddle, built for CPUs.
            requirement.name = "paddlepaddle"
        found.append(requirement)
    if len(found) > MOST_REQUIREMENTS:
        raise Failed(Reason.ENV, f"more than {MOST_REQUIREMENTS} requirements; list those that are imported.")
    others = [one for one in found if canonicalize_name(one.name) != "fuxian"]
    if len(others) < len(found) or manifest.recipe is not None:
        others += _own_requirements()
    names = {canonicalize_name(one.name) for one in others}
    if any(one.startswith("paddle") for one in names) and "setuptools" not in names:
        # Paddle imports it and does not ask for it.
        others.append(Requirement("setuptools"))
    return others


def _listed(file: Path) -> list[list[Any]]:
    """Number and text of each line that asks for something; None for a text that is no requirement."""
    found: list[list[Any]] = []
    for number, line in enumerate(read_text(file, "a file of requirements").splitlines(), 1):
        text = re.sub(r"(^|\s)#.*", "", line).strip()
        # Wheels that a submission carries are Fuxian's, which is never installed.
        if not text or FIND_LINKS.fullmatch(text):
            continue
        try:
            found.append([number, str(Requirement(text)) if len(text) <= LONGEST_REQUIREMENT else None])
        except (InvalidRequirement, RecursionError):
            found.append([number, None])
        if len(found) > MOST_REQUIREMENTS:
            break
    return found


def _own_requirements() -> list[Requirement]:
    listed = map(Requirement, importlib.metadata.requires("fuxian") or [])
    return [one for one in listed if one.marker is None or one.marker.evaluate({"extra": ""})]


def _lock(asked: Sequence[Requirement], python: str) -> str:
    text = "\n".join([ARCHIVES, python, platform.machine(), *sorted(map(str, asked))])
    return hashlib.sha256(text.encode()).hexdigest()


def _has_all(asked: Sequence[Requirement], python: str) -> bool:
    """Whether Fuxian's own environment is what was asked for: no package beyond Fuxian's own requirements."""
    own = {canonicalize_name(one.name) for one in _own_requirements()}
    if python != f"{sys.version_info.major}.{sys.version_info.minor}":
        return False
    for one in asked:
        if one.marker is not None and not one.marker.evaluate({"extra": ""}):
            continue
        if canonicalize_name(one.name) not in {*own, "setuptools"} or one.extras:
            return False
        try:
            version = importlib.metadata.version(one.name)
        except importlib.metadata.PackageNotFoundError:
            return False
        if not one.specifier.contains(version, prereleases=True):
            return False
    return True


def _build(folder: Path, asked: Sequence[Requirement], python: str) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    base = _interpreter(python)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".building-") as temporary:
        draft = Path(temporary) / "environment"
        if base == Path(sys.executable):
            venv.EnvBuilder(with_pip=False, symlinks=True).create(draft)
        else:
            command = [str(base), "-I", "-m", "venv", "--without-pip", "--symlinks", str(draft)]
            ran = run_tool(command, seconds=120, env=os.environ)
            if ran.code != 0:
                raise PlatformError(
                    f"{base} makes no virtual environment: install your system's python venv."
                )
        site = draft / "lib" / f"python{python}" / "site-packages"
        archives = _install(asked, python, site)
        write_json(draft / ARCHIVES, archives)
        for pattern in AT_START:
            for file in site.glob(pattern):
                file.unlink()
        try:
            draft.rename(folder)
        except OSError:
            # Another verification has built the same in the meantime.
            if not folder.is_dir():
                raise


def _interpreter(python: str) -> Path:
    if python == f"{sys.version_info.major}.{sys.version_info.minor}":
        return Path(sys.executable)
    if python not in PYTHONS:
        raise Failed(
            Reason.ENV,
            f"fuxian.toml asks for Python {python}, and submissions run on {', '.join(PYTHONS)}; name one of these as"
            " python under [environment], with requirements that have wheels for it.",
        )
    found = shutil.which(f"python{python}")
    if found is None:
        raise PlatformError(
            f"The submission asks for Python {python}, and python{python} is not installed; install it."
        )
    return Path(found)


def _install(asked: Sequence[Requirement], python: str, target: Path) -> dict[str, str]:
    """Installs, and returns the sha256 of each wheel."""
    report = target.parent / "report.json"
    try:
        ran = _pip(asked, python, target, INSTALL_SECONDS, "--report", str(report))
        if ran.code == 0:
            return _hashes(report)
        missing = _without_wheels(asked, python, target)
    except TooLong as error:
        raise Failed(Reason.ENV, f"installing took more than {INSTALL_SECONDS // 60} minutes.") from error
    if missing:
        raise Failed(
            Reason.ENV,
            f"for Python {python} on {platform.system()} {platform.machine()} there are no wheels of"
            f" {', '.join(missing)}; ask for versions that have some, or name another file as requirements under"
            " [environment].",
        )
    said = [line for line in _lines(ran.stderr) if line.startswith("ERROR")] or ["pip said nothing"]
    raise Failed(
        Reason.ENV, f"the requirements cannot be installed from wheels ({printable(said[0])[:300]})."
    )


def _hashes(report: Path) -> dict[str, str]:
    """From what pip says that it installed."""
    installed = json.loads(report.read_text(encoding="utf-8"))["install"]
    report.unlink()
    return {
        f"{canonicalize_name(one['metadata']['name'])}=={one['metadata']['version']}": str(
            one["download_info"]["archive_info"]["hashes"]["sha256"]
        )
        for one in installed
    }


def _pip(asked: Sequence[Requirement], python: str, target: Path, seconds: float, *options: str) -> Ran:
    listed = target.parent / "requirements.txt"
    listed.write_text("".join(f"{one}\n" for one in asked), encoding="utf-8")
    command = [sys.executable, "-I", "-m", "pip", "install", "--quiet", "--no-input", "--only-binary=:all:"]
    command += ["--no-compile", "--disable-pip-version-check", "--python-version", python, *options]
    command += ["--target", str(target), "--requirement", str(listed)]
    try:
        return run_tool(command, seconds=seconds, env=os.environ)
    finally:
        listed.unlink()


def _without_wheels(asked: Sequence[Requirement], python: str, target: Path) -> list[str]:
    """Those of the requirements that pip finds no wheel for, with the versions that it finds; pip itself names one at
    a time."""
    left = list(asked)
    missing: list[str] = []
    while left and len(missing) < MOST_NAMED:
        ran = _pip(left, python, target, CHECK_SECONDS, "--dry-run", "--no-deps")
        found = next(filter(None, map(_NO_WHEEL.search, _lines(ran.stderr))), None)
        if ran.code == 0 or found is None:
            break
        versions = [version for version in found["versions"].split(", ") if version != "none"]
        some = f" (there are {', '.join(versions[-3:])})" if versions else ""
        missing.append(f"{printable(found['asked'])}{some}")
        kept = [one for one in left if str(one).replace(" ", "") != found["asked"].replace(" ", "")]
        if len(kept) == len(left):
            break
        left = kept
    return missing


def _lines(said: bytes) -> list[str]:
    return [line[:10_000] for line in said.decode("utf-8", "replace").splitlines()]


def _versions(asked: Sequence[Requirement], folder: Path | None) -> dict[str, str]:
    path = sys.path if folder is None else [str(next(folder.glob("lib/python*/site-packages")))]
    found: dict[str, str] = {}
    for name in sorted({canonicalize_name(one.name) for one in asked}):
        for one in importlib.metadata.distributions(name=name, path=path):
            found.setdefault(name, one.version)
    return found
