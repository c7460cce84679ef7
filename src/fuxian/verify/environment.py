"""The Python environment of a submission, from wheels alone: nothing of the submission is run to make it.

``pip`` runs in Fuxian's own interpreter and never in the new environment, where an installed file could run at its
start. Fuxian itself is not installed: every command sees the very copy that judges it, read-only.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

import fuxian
from fuxian.datasets.root import cache_folder
from fuxian.errors import PlatformError
from fuxian.sandbox import ReadOnly, python_runtime
from fuxian.submission.manifest import Manifest
from fuxian.verify.reasons import Failed, Reason

INSTALL_SECONDS = 1800
MOST_REQUIREMENTS = 200
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
    return Environment(folder / "bin" / "python", lock, made, _versions(asked, folder))


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
    for number, line in enumerate(file.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        text = re.sub(r"(^|\s)#.*", "", line).strip()
        if not text:
            continue
        place = f"{manifest.environment.requirements}, line {number}"
        try:
            requirement = Requirement(text)
        except InvalidRequirement as error:
            raise Failed(
                Reason.ENV, f"{place}: this is no name with versions, as in numpy>=2.0; mend it."
            ) from error
        if requirement.url is not None:
            raise Failed(
                Reason.ENV, f"{place}: packages come from the index alone; name a version, not an address."
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
    return others


def _own_requirements() -> list[Requirement]:
    listed = map(Requirement, importlib.metadata.requires("fuxian") or [])
    return [one for one in listed if one.marker is None or one.marker.evaluate({"extra": ""})]


def _lock(asked: Sequence[Requirement], python: str) -> str:
    text = "\n".join([python, platform.machine(), *sorted(map(str, asked))])
    return hashlib.sha256(text.encode()).hexdigest()


def _has_all(asked: Sequence[Requirement], python: str) -> bool:
    """Whether Fuxian's own environment is what was asked for: no package beyond Fuxian's own requirements."""
    own = {canonicalize_name(one.name) for one in _own_requirements()}
    if python != f"{sys.version_info.major}.{sys.version_info.minor}":
        return False
    for one in asked:
        if one.marker is not None and not one.marker.evaluate({"extra": ""}):
            continue
        if canonicalize_name(one.name) not in own or one.extras:
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
            subprocess.run(  # noqa: S603 - an interpreter of this machine
                [str(base), "-I", "-m", "venv", "--without-pip", "--symlinks", str(draft)],
                check=True,
                capture_output=True,
                timeout=120,
            )
        _install(asked, python, draft / "lib" / f"python{python}" / "site-packages")
        try:
            draft.rename(folder)
        except OSError:
            # Another verification has built the same in the meantime.
            if not folder.is_dir():
                raise


def _interpreter(python: str) -> Path:
    if python == f"{sys.version_info.major}.{sys.version_info.minor}":
        return Path(sys.executable)
    found = shutil.which(f"python{python}")
    if found is None:
        raise PlatformError(
            f"The submission asks for Python {python}, and python{python} is not installed; install it."
        )
    return Path(found)


def _install(asked: Sequence[Requirement], python: str, target: Path) -> None:
    listed = target.parent / "requirements.txt"
    listed.write_text("".join(f"{one}\n" for one in asked), encoding="utf-8")
    command = [sys.executable, "-I", "-m", "pip", "install", "--quiet", "--no-input", "--only-binary=:all:"]
    command += ["--no-compile", "--disable-pip-version-check", "--python-version", python]
    command += ["--target", str(target), "--requirement", str(listed)]
    try:
        done = subprocess.run(  # noqa: S603 - a list of words
            command,
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS,
            check=False,
            env=dict(os.environ),
        )
    except subprocess.TimeoutExpired as error:
        raise Failed(Reason.ENV, f"installing took more than {INSTALL_SECONDS // 60} minutes.") from error
    finally:
        listed.unlink()
    if done.returncode != 0:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["pip said nothing"]
        sentence = "".join(c for c in said[0] if c.isprintable())[:300]
        raise Failed(Reason.ENV, f"the requirements cannot be installed from wheels ({sentence}).")


def _versions(asked: Sequence[Requirement], folder: Path | None) -> dict[str, str]:
    path = sys.path if folder is None else [str(next(folder.glob("lib/python*/site-packages")))]
    found: dict[str, str] = {}
    for name in sorted({canonicalize_name(one.name) for one in asked}):
        for one in importlib.metadata.distributions(name=name, path=path):
            found.setdefault(name, one.version)
    return found
