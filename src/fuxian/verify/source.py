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
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from fuxian import deadline
from fuxian.errors import InputError, PlatformError
from fuxian.printable import printable
from fuxian.tool import TooLong, TooMuch, run_tool
from fuxian.verify.reasons import Failed, Reason

MOST_BYTES = 4 << 30
MOST_ENTRIES = 20_000
LONGEST_PATH = 512
DEEPEST = 64
MOST_GIT_FILES = 200_000
MOST_LISTED = MOST_ENTRIES * (LONGEST_PATH + 100)
GIT_SECONDS = 600
GIT_MEMORY = 2 << 30
_PIECE = 1 << 20
_REMOTE = re.compile(r"https://[A-Za-z0-9][A-Za-z0-9.-]*(?::\d+)?/[A-Za-z0-9._~/+-]+")
_AT_COMMIT = re.compile(r"(?P<repo>.+)@(?P<commit>[0-9a-f]{40})(?:#(?P<below>.+))?", re.DOTALL)
_NO_ANSWER = re.compile(
    r"unable to access (?!.*returned error: (?:401|403|404|410))|RPC failed|early EOF|unexpected disconnect|hung up"
)
"""What git says where the network or the server fails, and not where a server answers that there is no such thing."""
_DAMAGED = re.compile(
    r"corruption on the remote side|(?:remote: |^)fatal: (?:unable to read|bad object|missing)\b"
)
"""What git says where the repository lacks objects: it has them no more the next time."""
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
    """Copies a folder, or a repository at a commit, into the empty folder ``place``.

    A repository is ``https://...@COMMIT``, ``file:///...@COMMIT``, ``DIR@COMMIT`` or ``FILE.bundle@COMMIT``, with 40
    digits; a ``#FOLDER`` after it names a folder of the repository that is the submission. A folder that is itself a
    git repository (it has a .git of its own) is taken at its HEAD, as the organiser will receive it.

    Raises InputError where there is no such submission, Failed where it must not be copied, and PlatformError where
    the network or the server did not answer.
    """
    work = place / "work"
    work.mkdir(parents=True)
    asked = _AT_COMMIT.fullmatch(submission)
    if asked:
        below = _below(submission, asked["below"])
        repository = asked["repo"]
        if repository.endswith(".bundle") and Path(repository).is_file():
            commit, bundle = fetch_bundle(Path(repository), asked["commit"], place)
        else:
            if not _REMOTE.fullmatch(repository):
                repository = str(_local_repository(repository.removeprefix("file://")))
            commit, bundle = _fetch(repository, asked["commit"], place)
        _export(place / "repository.git", commit, below, work)
        return Source(asked["repo"], work, commit, bundle)
    folder = Path(submission)
    if not folder.is_dir():
        raise InputError(
            f"{printable(submission)}: this is no folder, and no https://...@COMMIT, file:///...@COMMIT or DIR@COMMIT"
            " with a commit of 40 digits; name a submission."
        )
    git = folder / ".git"
    if git.is_symlink() or (git.exists() and not git.is_dir()):
        raise Failed(
            Reason.UNSAFE, ".git is a link or a file that leads elsewhere; submit the repository itself."
        )
    if git.is_dir():
        commit, bundle = _fetch(str(_local_repository(submission)), None, place)
        _export(place / "repository.git", commit, "", work)
        differing = _differing(place / "repository.git", folder.resolve())
        return Source(folder.resolve().name, work, commit, bundle, differing)
    _copy(folder, work)
    return Source(folder.resolve().name, work, None, None)


def _below(submission: str, below: str | None) -> str:
    parts = PurePosixPath(below or "").parts
    if below and (below.startswith("/") or ".." in parts or not below.isprintable()):
        raise InputError(f"{printable(submission)}: '#' is followed by no folder of the repository; mend it.")
    return "/".join(parts)


def _local_repository(named: str) -> Path:
    """The repository at a path. Raises Failed where it takes objects from elsewhere: another's files would come with
    it."""
    folder = Path(named).resolve()
    inner = folder / ".git"
    if inner.is_symlink() or (inner.exists() and not inner.is_dir()):
        raise Failed(
            Reason.UNSAFE, ".git is a link or a file that leads elsewhere; submit the repository itself."
        )
    git = inner if inner.is_dir() else folder
    if not (git / "objects").is_dir():
        raise InputError(f"{printable(named)}: there is no git repository; name a submission.")
    for path in ("objects/info/alternates", "objects/info/http-alternates", "commondir"):
        if os.path.lexists(git / path):
            raise Failed(
                Reason.UNSAFE,
                f"its git folder borrows from another repository ({path}); clone it anew, without --shared.",
            )
    entries = 0
    for at, folders, files in os.walk(git):
        for name in (*folders, *files):
            entries += 1
            if (Path(at) / name).is_symlink():
                where = (Path(at) / name).relative_to(git)
                raise Failed(
                    Reason.UNSAFE, f"{printable(str(where))} in its git folder is a link; clone it anew."
                )
        if entries > MOST_GIT_FILES:
            raise Failed(Reason.LAYOUT, f"its git folder holds more than {MOST_GIT_FILES} files; run git gc.")
        deadline.check()
    return folder


def _git(*arguments: str, timeout: float = GIT_SECONDS, most: int = MOST_LISTED) -> bytes:
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
        "pack.threads": "1",
    }
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    try:
        ran = run_tool(
            ["git", *options, *arguments],
            seconds=timeout,
            env=environment,
            memory=GIT_MEMORY,
            file_size=MOST_BYTES,
            most=most,
        )
    except TooLong as error:
        raise Failed(Reason.TIMEOUT, f"git took more than {timeout:.0f} s on the repository.") from error
    except TooMuch as error:
        raise Failed(Reason.LAYOUT, "git finds more files in the repository than may be listed.") from error
    if ran.code == 0:
        return ran.stdout
    said = ran.stderr.decode("utf-8", "replace").strip().splitlines() or [f"it ended with {ran.code}"]
    damage = [line for line in said[-100:] if _DAMAGED.search(line[:2000])]
    if damage:
        sentence = printable(min(damage, key=lambda line: "unable to read" not in line).strip())[:200]
        raise Failed(
            Reason.LAYOUT,
            f"the repository is damaged or incomplete ({sentence}); push it whole, and clone it anew to see.",
        )
    sentence = printable(said[-1])[:200]
    if any(_NO_ANSWER.search(line[:2000]) for line in said[-100:]):
        raise PlatformError(f"the repository cannot be fetched ({sentence}); try again later.")
    raise Failed(Reason.LAYOUT, f"git cannot read the repository ({sentence}).")


def fetch_remote(repository: str, commit: str | None, place: Path) -> tuple[str, Path]:
    """The commit (the head where none is named) of an https repository, and a bundle of it in the folder ``place``.

    Raises Failed where the repository does not have it, and PlatformError where the network did not answer.
    """
    if not _REMOTE.fullmatch(repository):
        raise Failed(
            Reason.LAYOUT, "the repository's address is no https address; name one that anybody can read."
        )
    return _fetch(repository, commit, place)


def fetch_bundle(file: Path, commit: str, place: Path) -> tuple[str, Path]:
    """The same out of a git bundle, one of whose heads must be the commit."""
    heads = _git("bundle", "list-heads", str(file.resolve())).decode("utf-8", "replace").splitlines()
    refs = [ref for head, _, ref in (line.partition(" ") for line in heads) if head == commit]
    if not refs:
        raise Failed(Reason.LAYOUT, f"no head of the bundle is {commit}; bundle that commit.")
    return _fetch(str(file.resolve()), commit, place, ref=refs[0])


def _fetch(repository: str, commit: str | None, place: Path, ref: str | None = None) -> tuple[str, Path]:
    """A bare copy of one commit with its history, and a bundle of it."""
    bare = place / "repository.git"
    _git("init", "--bare", "--quiet", "--template=", str(bare))
    # Both words come from a pattern or are an absolute path: neither can be taken for an option.
    _git(
        f"--git-dir={bare}",
        "fetch",
        # A commit that no branch ends in may be asked for as well.
        "--upload-pack=git -c uploadpack.allowAnySHA1InWant=true upload-pack",
        "--quiet",
        "--no-tags",
        "--no-recurse-submodules",
        "--no-write-fetch-head",
        repository,
        f"{ref or commit or 'HEAD'}:refs/heads/submission",
    )
    found = _git(f"--git-dir={bare}", "rev-parse", "refs/heads/submission^{commit}").decode().strip()
    if commit is not None and found != commit:
        raise Failed(Reason.LAYOUT, f"the repository gave commit {found} for {commit}.")
    bundle = place / "submission.bundle"
    _git(f"--git-dir={bare}", "bundle", "create", "--quiet", str(bundle), "refs/heads/submission")
    return found, bundle


def _check_tree(bare: Path, commit: str, below: str) -> str:
    """The tree to be exported, once it is known how much it holds: a tree can name itself in every folder."""
    tree = f"{commit}:{below}" if below else f"{commit}^{{tree}}"
    listed = _git(f"--git-dir={bare}", "ls-tree", "-r", "-t", "-l", "-z", "--full-tree", tree)
    size = 0
    for number, entry in enumerate(filter(None, listed.split(b"\0")), start=1):
        about, _, path = entry.partition(b"\t")
        length = about.split()[-1]
        size += int(length) if length.isdigit() else 0
        _check_entry(os.fsdecode(path), number, size)
    return tree


def _export(bare: Path, commit: str, below: str, folder: Path) -> None:
    (bare / "info").mkdir(exist_ok=True)
    (bare / "info" / "attributes").write_text(_ATTRIBUTES, encoding="utf-8")
    with tempfile.TemporaryDirectory(dir=bare) as temporary:
        archive = Path(temporary) / "tree.tar"
        tree = _check_tree(bare, commit, below)
        _git(f"--git-dir={bare}", "archive", "--format=tar", f"--output={archive}", tree)
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
    links: dict[str, str] = {}
    copied = _Copied(target, links)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _copy_folder(descriptor, PurePosixPath(), copied)
    finally:
        os.close(descriptor)
    _replace_links(target, links)


@dataclass
class _Copied:
    target: Path
    links: dict[str, str]
    entries: int = 0
    size: int = 0


def _copy_folder(descriptor: int, below: PurePosixPath, to: _Copied) -> None:
    try:
        for name in sorted(os.listdir(descriptor)):
            if name in SKIPPED:
                continue
            deadline.check()
            path = below / name
            about = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            to.entries += 1
            to.size += about.st_size * stat.S_ISREG(about.st_mode)
            _check_entry(str(path), to.entries, to.size)
            if stat.S_ISDIR(about.st_mode):
                (to.target / path).mkdir()
                inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=descriptor)
                try:
                    _copy_folder(inner, path, to)
                finally:
                    os.close(inner)
            elif stat.S_ISREG(about.st_mode):
                flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
                with (
                    os.fdopen(os.open(name, flags, dir_fd=descriptor), "rb") as source,
                    (to.target / path).open("xb") as out,
                ):
                    _copy_bytes(source, out, about.st_size)
                (to.target / path).chmod(0o755 if about.st_mode & 0o100 else 0o644)
            elif stat.S_ISLNK(about.st_mode):
                to.links[str(path)] = os.readlink(name, dir_fd=descriptor)
            else:
                raise Failed(
                    Reason.UNSAFE, f"{printable(str(path))} is neither a file nor a folder; remove it."
                )
    except OSError as error:
        raise Failed(Reason.UNSAFE, f"{printable(str(below))} cannot be read ({error.strerror}).") from error


def _copy_bytes(source: IO[bytes], out: IO[bytes], size: int) -> None:
    """So many bytes at most: the file may grow while it is copied."""
    while size > 0 and (piece := source.read(min(size, _PIECE))):
        deadline.check()
        out.write(piece)
        size -= len(piece)


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
        or len(parts) > DEEPEST
        or path.startswith("/")
        or ".." in parts
        or ".git" in map(str.lower, parts)
        or not path.isprintable()
    ):
        raise Failed(
            Reason.UNSAFE, f"{printable(path[:80])!r} is no path that a submission may hold; rename it."
        )


def tree_digest(folder: Path, without: str | None = None) -> str:
    """The sha256 of everything below, in the order of its path: a line ``<kind> <sha256> <path>`` for each, but for
    the path ``without``.

    Kinds are git's: 100644 a file, 100755 a program, 120000 a link (the hash of where it leads), 040000 a folder with
    nothing in it (the hash of nothing).
    """
    lines = {}
    for at, folders, files in os.walk(folder):
        place = Path(at)
        for name in (*folders, *files):
            path = place / name
            mode = path.lstat().st_mode
            shown = path.relative_to(folder).as_posix()
            if stat.S_ISLNK(mode):
                lines[shown] = f"120000 {hashlib.sha256(os.fsencode(path.readlink())).hexdigest()}"
            elif stat.S_ISREG(mode):
                lines[shown] = f"{'100755' if mode & 0o100 else '100644'} {file_digest(path)}"
            elif stat.S_ISDIR(mode) and not any(path.iterdir()):
                lines[shown] = f"040000 {hashlib.sha256().hexdigest()}"
    whole = "".join(f"{lines[path]} {path}\n" for path in sorted(lines) if path != without)
    return hashlib.sha256(whole.encode("utf-8", "surrogateescape")).hexdigest()


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
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            deadline.check()
            digest.update(piece)
    return digest.hexdigest()
