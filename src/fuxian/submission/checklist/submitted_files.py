"""The submission's files, looked at without following a link or trusting a name."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from fuxian.submission.manifest import Manifest

MOST_ENTRIES = 20_000
DEEPEST = 40
LARGEST_TEXT = 2_000_000
"""Bytes of a text file that are read; what lies beyond is not looked at."""
LEFT_BY_TOOLS = frozenset({"__pycache__", ".venv", "node_modules"})
SKIPPED = frozenset({".venv", "node_modules"})
"""Too large to look into; each is a leftover unless .gitignore names it."""
CODE = (".py", ".sh")
TEXT = (
    ".py",
    ".sh",
    ".md",
    ".txt",
    ".toml",
    ".yml",
    ".yaml",
    ".json",
    ".jsonl",
    ".cfg",
    ".ini",
    ".ipynb",
    ".log",
    ".env",
)


@dataclass
class SubmittedFiles:
    """What lies in a submission's folder; paths are relative, with '/'."""

    folder: Path
    manifest: Manifest
    files: dict[str, int] = field(default_factory=dict)
    """Regular files and their sizes in bytes."""
    folders: set[str] = field(default_factory=set)
    links: dict[str, str] = field(default_factory=dict)
    """Symbolic links and where they say they lead."""
    special: list[str] = field(default_factory=list)
    """Devices, pipes and sockets."""
    leftovers: list[str] = field(default_factory=list)
    repositories: list[str] = field(default_factory=list)
    """Every ``.git`` below the top."""
    whole: bool = True
    """False where there was more than ``MOST_ENTRIES`` or deeper than ``DEEPEST``."""

    def text(self, path: str) -> str:
        """The beginning of a regular file as text; bytes that are not UTF-8 are replaced. Empty where unreadable."""
        return self.content(path).decode("utf-8", "replace")

    def content(self, path: str, most: int = LARGEST_TEXT) -> bytes:
        """The first ``most`` bytes of a regular file; empty where unreadable."""
        try:
            descriptor = os.open(self.folder / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return b""
        with os.fdopen(descriptor, "rb") as file:
            return file.read(most)

    def named(self, *endings: str) -> list[str]:
        """Files with one of these endings, sorted."""
        return sorted(path for path in self.files if path.lower().endswith(endings))

    def copy(self, paths: Iterable[str], out: Path) -> None:
        """Copies regular files into the folder ``out``, readable for everyone: a sandbox runs as another user."""
        out.mkdir(parents=True, exist_ok=True)
        for path in paths:
            target = out / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.folder / path, target, follow_symlinks=False)
            executable = (self.folder / path).lstat().st_mode & 0o100
            target.chmod(0o755 if executable else 0o644)

    @cached_property
    def ignored(self) -> list[str]:
        """The plain lines of the top .gitignore."""
        lines = self.text(".gitignore").splitlines() if ".gitignore" in self.files else []
        return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith(("#", "!"))]


def look(manifest: Manifest) -> SubmittedFiles:
    """Walks the folder once."""
    tree = SubmittedFiles(manifest.folder, manifest)
    waiting = [("", 0)]
    seen = 0
    while waiting:
        folder, depth = waiting.pop()
        try:
            entries = sorted(os.scandir(tree.folder / folder), key=lambda entry: entry.name)
        except OSError:
            tree.whole = False
            continue
        for entry in entries:
            seen += 1
            path = f"{folder}/{entry.name}" if folder else entry.name
            if seen > MOST_ENTRIES:
                tree.whole = False
                return tree
            _place(tree, path, entry, waiting, depth)
    return tree


def _place(
    tree: SubmittedFiles, path: str, entry: os.DirEntry[str], waiting: list[tuple[str, int]], depth: int
) -> None:
    try:
        about = entry.stat(follow_symlinks=False)
        if stat.S_ISLNK(about.st_mode):
            tree.links[path] = str(Path(entry.path).readlink())
            return
    except OSError:
        tree.special.append(path)
        return
    if entry.name == ".git":
        if path != ".git":
            tree.repositories.append(path)
        elif not stat.S_ISDIR(about.st_mode):
            tree.files[path] = about.st_size
    elif stat.S_ISDIR(about.st_mode):
        tree.folders.add(path)
        if entry.name in LEFT_BY_TOOLS:
            tree.leftovers.append(path)
        if depth >= DEEPEST:
            tree.whole = False
        elif entry.name not in SKIPPED:
            waiting.append((path, depth + 1))
    elif stat.S_ISREG(about.st_mode):
        tree.files[path] = about.st_size
    else:
        tree.special.append(path)
