"""Checks on the files as such: links, names, sizes, git, leftovers, pickles."""

from __future__ import annotations

import zipfile
from fnmatch import fnmatch
from pathlib import PurePosixPath

from fuxian.errors import InputError
from fuxian.submission.checklist.finding import Result, counted, failed, listed, passed
from fuxian.submission.checklist.inert_npy import is_inert_npy
from fuxian.submission.checklist.submitted_files import DEEPEST, MOST_ENTRIES, SubmittedFiles
from fuxian.weights import storage

LARGEST_FILE = 100_000_000
"""Bytes; GitHub refuses more."""
LARGEST_TREE = 2_000_000_000
LONGEST_PATH = 240
"""Bytes of a relative path; beyond it a clone on Windows fails."""
PICKLES = (".pkl", ".pickle", ".joblib", ".dill", ".marshal")
LFS_POINTER = b"version https://git-lfs.github.com/spec/"
ELF = b"\x7fELF"
DATA = (".jpg", ".png", ".npy", ".csv", ".zip", ".tar", ".gz", ".log", ".jsonl")
WEIGHTS = (".safetensors", ".pdparams", ".pdopt", ".pt", ".pth", ".npz", ".npy")


def links(tree: SubmittedFiles) -> Result:
    """No symbolic link leads out of the submission."""
    top = tree.folder.resolve()
    for path, target in sorted(tree.links.items()):
        if path == ".git":
            continue  # the line on git says it
        inside = False
        if not PurePosixPath(target).is_absolute():
            try:
                inside = (tree.folder / path).resolve(strict=True).is_relative_to(top)
            except (OSError, RuntimeError):
                inside = False
        if not inside:
            return failed(
                f"leads out of the submission, or nowhere: {target[:80]}", "put the file itself there", path
            )
    return passed(
        f"{counted(len(tree.links), 'link')}, all within the submission" if tree.links else "no links"
    )


def names(tree: SubmittedFiles) -> Result:
    """Names that every system can hold, and plain files only."""
    mend = "rename it in short, printable UTF-8"
    for path in sorted({*tree.files, *tree.folders, *tree.links}):
        try:
            length = len(path.encode("utf-8"))
        except UnicodeEncodeError:
            return failed("the name is not UTF-8", mend, path)
        if not path.isprintable() or "\\" in path:
            return failed("the name holds control characters or a backslash", mend, path)
        if length > LONGEST_PATH:
            return failed(f"the path has {length} bytes, more than {LONGEST_PATH}", mend, path[:80])
    if tree.special:
        return failed("this is a device, a pipe or a socket", "remove it", tree.special[0])
    return passed("every name is printable UTF-8 of a usual length")


def limits(tree: SubmittedFiles) -> Result:
    """Files and their sum within the limits."""
    if not tree.whole:
        return failed(
            f"more than {MOST_ENTRIES} entries, deeper than {DEEPEST} folders, or a folder that cannot be read",
            "leave data sets and outputs out of the repository",
        )
    for path, size in sorted(tree.files.items(), key=lambda item: -item[1])[:1]:
        if size > LARGEST_FILE:
            return failed(
                f"{size / 1e6:.0f} MB, more than {LARGEST_FILE / 1e6:.0f} MB",
                "publish it as a release asset or on AI Studio, and name its URL and sha256 in the README",
                path,
            )
    total = sum(tree.files.values())
    if total > LARGEST_TREE:
        return failed(
            f"{total / 1e9:.1f} GB in all, more than {LARGEST_TREE / 1e9:.0f} GB", "leave data sets out"
        )
    return passed(f"{counted(len(tree.files), 'file')}, {total / 1e6:.1f} MB")


def contents(tree: SubmittedFiles) -> Result:
    """Files hold what their names promise: no pointers to a storage elsewhere, nothing empty, no programs of a machine.

    An archive made on a Mac holds ``._`` files, which no other system wants.
    """
    for path, size in sorted(tree.files.items()):
        name = PurePosixPath(path).name
        head = tree.content(path, 64)
        if head.startswith(LFS_POINTER):
            return failed(
                "a pointer of git LFS, not the file itself: what it points to is not in the repository",
                "commit the file itself, or publish it and name its URL and sha256 in the README",
                path,
                1,
            )
        if head.startswith(ELF):
            return failed("a program or library of one kind of machine", "hand in its source", path)
        if name.startswith("._"):
            return failed("left by a Mac's archiver", "delete it, and archive with COPYFILE_DISABLE=1", path)
        if size == 0 and PurePosixPath(path).suffix.lower() in (*WEIGHTS, *DATA, *PICKLES):
            return failed("the file is empty", "put its content there, or delete it", path)
    return passed("no pointers, empty files or compiled programs")


def git(tree: SubmittedFiles) -> Result:
    """One repository: no submodules, no repository within, .git itself a folder."""
    if ".git" in tree.links:
        return failed(".git is a link", "clone the repository anew and submit that", ".git")
    if ".git" in tree.files:
        return failed(".git is a file that leads to another place", "submit a clone, not a worktree", ".git")
    if ".gitmodules" in tree.files or ".gitmodules" in tree.links:
        return failed(
            "submodules are not fetched", "put the files themselves into the repository", ".gitmodules", 1
        )
    if tree.repositories:
        return failed(
            "a repository within the repository", "remove its .git folder", sorted(tree.repositories)[0]
        )
    return passed("one repository, no submodules")


def leftovers(tree: SubmittedFiles) -> Result:
    """Nothing that tools leave behind, except what .gitignore keeps out."""
    left = (
        "*.pyc",
        ".DS_Store",
        "Thumbs.db",
        "*.swp",
        "*.orig",
        "*~",
        ".idea",
        ".vscode",
        ".ipynb_checkpoints",
    )
    found = [*tree.leftovers]
    for path in (*tree.files, *tree.folders):
        if any(fnmatch(PurePosixPath(path).name, pattern) for pattern in left):
            found.append(path)
    kept = sorted(path for path in found if not _ignored(tree, path))
    if kept:
        return failed(
            f"does not belong into a repository: {listed(kept)}",
            "delete it, and name it in .gitignore",
            kept[0],
        )
    return passed("nothing that tools leave behind")


def _ignored(tree: SubmittedFiles, path: str) -> bool:
    parts = path.split("/")
    return any(fnmatch(part, line.strip("/")) for line in tree.ignored for part in parts)


def pickles(tree: SubmittedFiles) -> Result:
    """Weights that load without running code: a pickle is a program."""
    read = 0
    for path, size in sorted(tree.files.items()):
        ending = PurePosixPath(path).suffix.lower()
        head = tree.content(path, 2)
        bare = head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")
        if (size and ending in PICKLES) or (bare and ending not in WEIGHTS):
            # What it holds decides, not its name: arrays, numbers and text run no code.
            try:
                storage.read_inert_pickle(tree.folder / path)
            except InputError as error:
                why = str(error).removeprefix(f"{tree.folder / path}: ").rstrip(".")
                return failed(
                    f"as a pickle it may run code when it is loaded ({why})",
                    f"save it as .safetensors, .npz or JSON, as with `fuxian weights convert {path} OUT.npz`",
                    path,
                )
            read += 1
            continue
        archive = ending == ".bin" and size and zipfile.is_zipfile(tree.folder / path)
        if size and (ending in WEIGHTS or archive):
            read += 1
            try:
                held = storage.read(tree.folder / path)
                if held.objects:
                    raise InputError(f"it holds {held.objects[0]}, which opens only by running code.")
            except InputError as error:
                if ending == ".npy" and is_inert_npy(tree.content(path, LARGEST_FILE)):
                    continue
                why = str(error).removeprefix(f"{tree.folder / path}: ").rstrip(".")
                mend = f"save the bare weights: `fuxian weights convert {path} OUT.safetensors` saves those it can read"
                return failed(f"these weights cannot be read: {why}", mend, path)
    return passed(f"{counted(read, 'file')} of weights, none runs code" if read else "no pickles")
