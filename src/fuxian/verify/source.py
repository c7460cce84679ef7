"""The submission as it is received: a folder, or a repository at a commit, pinned and copied without running any of it.

Git is told to read no configuration but its own, to run no hook, filter or helper, and to fetch no submodule; and it
never works inside the entrant's repository, whose configuration could name programs.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
import shutil
import stat
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fuxian.errors import InputError, PlatformError
from fuxian.printable import printable
from fuxian.verify.reasons import Failed, Reason

MOST_BYTES = 4 << 30
MOST_ENTRIES = 20_000
LONGEST_PATH = 512
GIT_SECONDS = 600
_REMOTE = re.compile(
    r"(?P<repo>https://[A-Za-z0-9][A-Za-z0-9.-]*(?::\d+)?/[A-Za-z0-9._~/+-]+)@(?P<commit>[0-9a-f]{40})"
)
_NO_ANSWER = re.compile(
    r"unable to access (?!.*returned error: (?:401|403|404|410))|RPC failed|early EOF|unexpected disconnect|hung up"
)
"""What git says where the network or the server fails, and not where a server answers that there is no such thing."""
# The highest precedence: nothing in the entrant's .gitattributes changes a byte, or leaves a file out.
_ATTRIBUTES = "* -text -eol -ident -filter -export-ignore -export-subst -working-tree-encoding\n"


@dataclass(frozen=True)
class Source:
    """A pinned submission. ``folder`` holds plain files and folders only, and belongs to nobody but us."""

    name: str
    folder: Path
    commit: str | None
    bundle: Path | None
    """A git bundle of the commit with its history, to be kept: repositories get rewritten and deleted."""
    differing: tuple[str, ...] = ()
    """Files of the entrant's folder that are not as in the commit, or not in it; .gitignore's are left out."""


def pin(submission: str, place: Path) -> Source:
    """Copies ``DIR`` or ``https://...@COMMIT`` into the empty folder ``place``.

    A folder that is itself a git repository (it has a .git of its own) is taken at its HEAD, as the organiser will
    receive it.

    Raises InputError where there is no such submission, Failed where it must not be copied, and PlatformError where
    the network or the server did not answer.
    """
    work = place / "work"
    work.mkdir(parents=True)
    remote = _REMOTE.fullmatch(submission)
    if remote:
        commit, bundle = _fetch(remote["repo"], remote["commit"], place)
        _export(place / "repository.git", commit, work)
        return Source(remote["repo"], work, commit, bundle)
    folder = Path(submission)
    if not folder.is_dir():
        raise InputError(
            f"{submission}: this is no folder and no https://...@COMMIT of 40 digits; name a submission."
        )
    git = folder / ".git"
    if git.is_symlink() or (git.exists() and not git.is_dir()):
        raise Failed(
            Reason.UNSAFE, ".git is a link or a file that leads elsewhere; submit the repository itself."
        )
    if git.is_dir():
        commit, bundle = _fetch(str(folder.resolve()), None, place)
        _export(place / "repository.git", commit, work)
        differing = _differing(place / "repository.git", folder.resolve())
        return Source(folder.resolve().name, work, commit, bundle, differing)
    _copy(folder, work)
    return Source(folder.resolve().name, work, None, None)


def _git(*arguments: str, timeout: float = GIT_SECONDS) -> bytes:
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": "/nonexistent",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": "https:file",
        "GIT_LFS_SKIP_SMUDGE": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "LC_ALL": "C",
    } | {name: os.environ[name] for name in ("https_proxy", "HTTPS_PROXY", "no_proxy") if name in os.environ}
    settings = {
        "core.hooksPath": os.devnull,
        "core.fsmonitor": "false",
        "core.symlinks": "false",
        "credential.helper": "",
        "protocol.ext.allow": "never",
        "submodule.recurse": "false",
        "fetch.recurseSubmodules": "false",
        "fetch.fsckObjects": "true",
        "transfer.fsckObjects": "true",
        "safe.directory": "*",
        "gc.auto": "0",
    }
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    try:
        return subprocess.run(  # noqa: S603 - a list of words
            ["git", *options, *arguments],  # noqa: S607
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout,
            check=True,
        ).stdout
    except subprocess.TimeoutExpired as error:
        raise Failed(Reason.TIMEOUT, f"git {arguments[0]} took more than {timeout:.0f} s.") from error
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode("utf-8", "replace").strip().splitlines() or ["it said nothing"]
        sentence = "".join(c for c in said[-1] if c.isprintable())[:200]
        if any(_NO_ANSWER.search(line) for line in said):
            raise PlatformError(f"the repository cannot be fetched ({sentence}); try again later.") from error
        raise Failed(Reason.LAYOUT, f"git cannot read the repository ({sentence}).") from error


def _fetch(repository: str, commit: str | None, place: Path) -> tuple[str, Path]:
    """A bare copy of one commit with its history, and a bundle of it."""
    bare = place / "repository.git"
    _git("init", "--bare", "--quiet", "--template=", str(bare))
    # Both words come from a pattern or are an absolute path: neither can be taken for an option.
    _git(
        f"--git-dir={bare}",
        "fetch",
        "--quiet",
        "--no-tags",
        "--no-recurse-submodules",
        "--no-write-fetch-head",
        repository,
        f"{commit or 'HEAD'}:refs/heads/submission",
    )
    found = _git(f"--git-dir={bare}", "rev-parse", "refs/heads/submission^{commit}").decode().strip()
    if commit is not None and found != commit:
        raise Failed(Reason.LAYOUT, f"the repository gave commit {found} for {commit}.")
    bundle = place / "submission.bundle"
    _git(f"--git-dir={bare}", "bundle", "create", "--quiet", str(bundle), "refs/heads/submission")
    return found, bundle


def _export(bare: Path, commit: str, folder: Path) -> None:
    (bare / "info").mkdir(exist_ok=True)
    (bare / "info" / "attributes").write_text(_ATTRIBUTES, encoding="utf-8")
    with tempfile.TemporaryDirectory(dir=bare) as temporary:
        archive = Path(temporary) / "tree.tar"
        _git(f"--git-dir={bare}", "archive", "--format=tar", f"--output={archive}", commit)
        try:
            _unpack(archive, folder)
        except (tarfile.TarError, UnicodeError, ValueError) as error:
            raise Failed(Reason.UNSAFE, f"the commit cannot be unpacked ({type(error).__name__}).") from error


def _differing(bare: Path, folder: Path) -> tuple[str, ...]:
    """What differs between the exported commit and the entrant's folder; none of the folder's configuration is read."""
    _git(f"--git-dir={bare}", "symbolic-ref", "HEAD", "refs/heads/submission")
    _git(f"--git-dir={bare}", "read-tree", "HEAD")
    listed = _git(
        f"--git-dir={bare}",
        f"--work-tree={folder}",
        "status",
        "--porcelain=v1",
        "-z",
        "--no-renames",
        "--untracked-files=all",
        "--ignore-submodules=all",
    )
    paths = [printable(os.fsdecode(entry[3:])) for entry in listed.split(b"\0") if entry]
    return tuple(path for path in paths if not SKIPPED & set(path.split("/")))


def _unpack(archive: Path, folder: Path) -> None:
    """Regular files and folders only: a link could lead what is written after it out of the folder."""
    size = entries = 0
    links: dict[str, str] = {}
    with tarfile.open(archive, "r:") as members:
        for member in members:
            entries, size = entries + 1, size + member.size
            _check_entry(member.name, entries, size)
            target = folder / member.name
            if member.isdir():
                target.mkdir(parents=True, exist_ok=True)
            elif member.isreg():
                target.parent.mkdir(parents=True, exist_ok=True)
                source = members.extractfile(member)
                assert source is not None  # noqa: S101 - a regular file has content
                with target.open("xb") as out:
                    shutil.copyfileobj(source, out)
                target.chmod(0o755 if member.mode & 0o100 else 0o644)
            elif member.issym():
                links[member.name] = member.linkname
            else:
                raise Failed(
                    Reason.UNSAFE, f"{printable(member.name)} is neither a file nor a folder; remove it."
                )
    _replace_links(folder, links)


def _copy(folder: Path, target: Path) -> None:
    """As ``_unpack``, from a folder that may change or mislead while it is read: nothing is followed."""
    size = entries = 0
    links: dict[str, str] = {}
    waiting = [(os.open(folder, os.O_RDONLY | os.O_DIRECTORY), PurePosixPath())]
    while waiting:
        descriptor, below = waiting.pop()
        try:
            for name in sorted(os.listdir(descriptor)):  # noqa: PTH208 - a descriptor, not a path
                if name in SKIPPED:
                    continue
                path = below / name
                about = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                entries, size = entries + 1, size + about.st_size * stat.S_ISREG(about.st_mode)
                _check_entry(str(path), entries, size)
                if stat.S_ISDIR(about.st_mode):
                    (target / path).mkdir()
                    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
                    waiting.append((os.open(name, flags, dir_fd=descriptor), path))
                elif stat.S_ISREG(about.st_mode):
                    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
                    with (
                        os.fdopen(os.open(name, flags, dir_fd=descriptor), "rb") as source,
                        (target / path).open("xb") as out,
                    ):
                        shutil.copyfileobj(source, out)
                    (target / path).chmod(0o755 if about.st_mode & 0o100 else 0o644)
                elif stat.S_ISLNK(about.st_mode):
                    links[str(path)] = os.readlink(name, dir_fd=descriptor)
                else:
                    raise Failed(
                        Reason.UNSAFE, f"{printable(str(path))} is neither a file nor a folder; remove it."
                    )
        except OSError as error:
            raise Failed(
                Reason.UNSAFE, f"{printable(str(below))} cannot be read ({error.strerror})."
            ) from error
        finally:
            os.close(descriptor)
    _replace_links(target, links)


def _replace_links(folder: Path, links: dict[str, str]) -> None:
    """Puts a copy of the file in place of each link to one; the folder itself holds no link."""
    for path, leads in links.items():
        inside = posixpath.normpath(posixpath.join(posixpath.dirname(path), leads))
        if (
            leads.startswith("/")
            or "\0" in leads
            or inside.startswith("..")
            or not (folder / inside).is_file()
        ):
            raise Failed(
                Reason.UNSAFE,
                f"{printable(path)} is a link that leads to no file of the submission; put the file itself there.",
            )
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / inside, folder / path)


SKIPPED = frozenset({"__pycache__", ".venv", "node_modules", ".pytest_cache", ".ruff_cache", ".mypy_cache"})
"""What tools leave in a working folder; a repository's commit is taken whole."""


def _check_entry(path: str, entries: int, size: int) -> None:
    if entries > MOST_ENTRIES or size > MOST_BYTES:
        raise Failed(
            Reason.LAYOUT,
            f"it has more than {MOST_ENTRIES} files or {MOST_BYTES >> 30} GB; leave out what is not needed.",
        )
    try:
        too_long = len(path.encode()) > LONGEST_PATH
    except UnicodeEncodeError:
        too_long = True
    parts = PurePosixPath(path).parts
    if (
        too_long
        or path.startswith("/")
        or ".." in parts
        or ".git" in map(str.lower, parts)
        or not path.isprintable()
    ):
        raise Failed(
            Reason.UNSAFE, f"{printable(path[:80])!r} is no path that a submission may hold; rename it."
        )


def tree_digest(folder: Path) -> str:
    """The sha256 of the sorted lines ``<sha256> <path>`` of every regular file below."""
    return digest_of_files(
        {path.relative_to(folder).as_posix(): file_digest(path) for path in regular_files(folder)}
    )


def digest_of_files(digests: dict[str, str]) -> str:
    """Of the sha256 of each file, by its path with '/'."""
    lines = [f"{digests[path]} {path}\n" for path in sorted(digests)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def regular_files(folder: Path) -> Iterator[Path]:
    """Every regular file below, in the order of its path; links are neither followed nor given."""
    found = [
        Path(at) / name
        for at, _, names in os.walk(folder)
        for name in names
        if stat.S_ISREG((Path(at) / name).lstat().st_mode)
    ]
    yield from sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
