"""Zip archives that nobody trusts: what is in them, and unpacking them safely.

An archive's *contents* are its files' names and bytes. Two archives with the same contents may differ in
their own bytes (another compressor, other dates), so the contents are what is checked.
"""

import hashlib
import re
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fuxian.errors import InputError, PlatformError

MAX_FILES = 1_000_000
MAX_BYTES = 64 * 1024**3
# Bytes unpacked per byte of archive. Deflate can reach 1032, and more where entries overlap; data does not.
MAX_RATIO = 200
# Below this many bytes no ratio does harm.
_RATIO_FROM = 1024**2

_CHUNK = 1024**2
# All that zipfile raises on damaged archives.
_BROKEN = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, RuntimeError, OSError, ValueError)
_DEVICE_NAME = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


@dataclass(frozen=True)
class Contents:
    """What an archive holds, whoever packed it.

    ``sha256`` is taken over one line ``<sha256 of the file's bytes>  <name>\\n`` per file, sorted by name
    as UTF-8 bytes (the output of ``sha256sum``). Folders and macOS' ``__MACOSX/`` and ``.DS_Store`` do not
    count.
    """

    files: int
    bytes: int
    sha256: str


def contents(path: Path) -> Contents:
    """Reads every file of the zip archive at ``path`` and says what it holds.

    Raises:
        InputError: not a zip archive, damaged, or unsafe (see ``safe_members``).
    """
    with opened(path) as archive:
        return _contents(archive, safe_members(archive))


def check(path: Path, expected: Contents) -> None:
    """Compares the archive at ``path`` with what its source publishes.

    Raises:
        InputError: the archive is damaged, unsafe, or holds something else.
    """
    with opened(path) as archive:
        members = safe_members(archive)
        # The table of contents is enough to refuse a wrong archive before any of it is decompressed.
        files, size = len(members), sum(m.file_size for m in members)
        if (files, size) != (expected.files, expected.bytes):
            raise InputError(
                f"{path} holds {files} files of {size} bytes where {expected.files} files of "
                f"{expected.bytes} bytes were expected; remove it and download it again."
            )
        found = _contents(archive, members)
    if found != expected:
        raise InputError(
            f"{path} has the right number of files and bytes, but not the published ones (sha256 of the "
            f"contents {found.sha256[:12]}, expected {expected.sha256[:12]}); "
            "remove it and download it again."
        )


def unpack(paths: Iterable[Path], folder: Path) -> None:
    """Unpacks zip archives together into ``folder``, which must be absent or empty.

    All or nothing: ``folder`` appears only after every file was written and its CRC-32 held. Permissions and
    dates in the archives are ignored.

    Raises:
        InputError: ``folder`` is not empty, or an archive is damaged or unsafe.
        PlatformError: the files cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} is not an empty folder; name a new one to unpack into.")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
            inside = Path(temporary) / "contents"
            inside.mkdir()
            for path in paths:
                with opened(path) as archive:
                    for member in safe_members(archive):
                        target = inside.joinpath(*member.filename.split("/"))
                        target.parent.mkdir(parents=True, exist_ok=True)
                        # "x": two archives that hold the same file are an error, not a question of order.
                        with target.open("xb") as out:
                            out.writelines(chunks(archive, member))
            inside.replace(folder)
    except OSError as error:
        raise PlatformError(
            f"{folder} cannot be written ({error}); name another folder or free space."
        ) from error


@contextmanager
def opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """The zip archive at ``path``, open for reading.

    Raises:
        InputError: it is absent or not a zip archive.
    """
    if not path.is_file():
        raise InputError(f"{path} is not there; download it or put it there by hand.")
    try:
        archive = zipfile.ZipFile(path)
    except _BROKEN as error:
        raise _broken(path, error) from error
    with archive:
        yield archive


def chunks(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Iterator[bytes]:
    """The bytes of one file of ``archive``, never more than it declares, checked by CRC-32 at the end.

    Raises:
        InputError: the file is damaged.
    """
    try:
        with archive.open(member) as file:
            while chunk := file.read(_CHUNK):
                yield chunk
    except _BROKEN as error:
        raise _broken(archive.filename, error) from error


def safe_members(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The files that count in ``archive``, in its order, after none of its entries was found unsafe.

    Raises:
        InputError: an entry has an absolute path, ``..``, a drive, a control character, a name reserved by
            Windows, appears twice (letter case aside), is also a folder of another, is a link or a device,
            is encrypted or not compressed by deflate, or the sizes are those of a bomb.
    """
    where = Path(str(archive.filename))
    entries = archive.infolist()
    if len(entries) > MAX_FILES:
        raise InputError(f"{where} lists {len(entries)} entries, and {MAX_FILES} are allowed; do not use it.")
    for entry in entries:
        if reason := _unsafe(entry):
            raise _refused(where, entry.filename, reason)
    files = [e for e in entries if not e.is_dir()]
    limit = min(MAX_BYTES, max(_RATIO_FROM, MAX_RATIO * where.stat().st_size))
    if (total := sum(e.file_size for e in files)) > limit:
        raise InputError(f"{where} would unpack to {total} bytes, and {limit} are allowed; do not use it.")
    names: set[str] = set()
    for entry in files:
        name = entry.filename.casefold()
        if name in names:
            raise _refused(where, entry.filename, "appears twice (letter case aside)")
        names.add(name)
    folders = {str(parent) for name in names for parent in PurePosixPath(name).parents}
    if both := names & folders:
        raise _refused(where, min(both), "is both a file and a folder")
    return [e for e in files if not _is_litter(e.filename)]


def _unsafe(entry: zipfile.ZipInfo) -> str | None:
    # zipfile itself cuts a name at its first NUL and, on Windows, turns backslashes into slashes.
    name = entry.orig_filename
    parts = name.rstrip("/").split("/")
    if name.startswith("/") or "\\" in name or ":" in name:
        return "is not a relative path"
    if any(part in ("", ".", "..") for part in parts):
        return "leads out of its folder or has an empty part"
    if any(ord(c) < 32 or ord(c) == 127 for c in name):
        return "has a control character in its name"
    if any(_DEVICE_NAME.fullmatch(part) or part != part.rstrip(". ") for part in parts):
        return "has a name that some systems reserve"
    if any(len(part.encode(errors="replace")) > 255 for part in parts) or len(name) > 1024:
        return "has a name that is too long"
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFDIR if entry.is_dir() else stat.S_IFREG):
        return "is a link, a device or another special file"
    if entry.flag_bits & 0x1:
        return "is encrypted"
    # LZMA and bzip2 can ask for gigabytes of memory, and no data set we read is packed with them.
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "is compressed by another method than deflate"
    return None


def _is_litter(name: str) -> bool:
    return name.startswith("__MACOSX/") or name.rsplit("/", 1)[-1] == ".DS_Store"


def _contents(archive: zipfile.ZipFile, members: list[zipfile.ZipInfo]) -> Contents:
    lines = {}
    for member in members:
        digest = hashlib.sha256()
        for chunk in chunks(archive, member):
            digest.update(chunk)
        lines[member.filename] = digest.hexdigest()
    total = hashlib.sha256()
    for name in sorted(lines, key=str.encode):
        total.update(f"{lines[name]}  {name}\n".encode())
    return Contents(files=len(members), bytes=sum(m.file_size for m in members), sha256=total.hexdigest())


def _broken(path: Path | str | None, error: Exception) -> InputError:
    return InputError(f"{path} is not a whole zip archive ({error}); remove it and download it again.")


def _refused(path: Path, entry: str, reason: str) -> InputError:
    return InputError(f"{path} is unsafe: its entry {entry[:200]!r} {reason}; do not use it.")
