"""Downloads files over HTTP, or from a mounted disk: resumed where they stopped, checked before they get their name."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit
from urllib.request import url2pathname

import httpx

from fuxian.datasets import archive
from fuxian.datasets.catalogue import SCHEMES, File
from fuxian.errors import InputError, PlatformError

Report = Callable[[int, int | None], None]
"""Called with the bytes that are there so far and, if the server said it, the bytes of the whole."""

_TIMEOUT = httpx.Timeout(60.0, connect=20.0)
_ATTEMPTS = 5
_CHUNK = 1024**2
# A server may not fill the disk: nothing beyond this many times the published size is taken.
_TOO_LARGE = 2


@dataclass(frozen=True)
class Download:
    """A file that somebody offers at one address or more."""

    urls: tuple[str, ...]
    """https, http or file addresses, in the order in which they are tried."""
    target: Path
    bytes: int
    """Its size, as far as it is known: nothing beyond twice as much is taken."""
    check: Callable[[Path], None]
    """Raises InputError where a file is another than was published."""
    what: str
    """In words, for whoever gets it by hand: ``the archive elsewhere (500 files, about 44.6 MB)``."""
    folder_option: str = "set FUXIAN_DATA to a folder of yours"


def fetch(file: File, folder: Path, report: Report = lambda done, total: None) -> None:
    """Downloads ``file`` of a data set into ``folder``, as ``receive`` does.

    A mirror that ``FUXIAN_MIRROR`` names (an address or a folder, with DATASET/FILE below it) is tried first, then
    where the source publishes it, then its other mirrors.
    """
    receive(
        Download(
            urls=(*mirrored(f"{folder.name}/{file.name}"), file.url, *file.mirrors),
            target=folder / file.name,
            bytes=file.bytes,
            check=lambda part: archive.check(part, file.contents),
            what=f"the archive elsewhere ({file.contents.files} files, about {file.bytes / 1e6:.1f} MB)",
        ),
        report,
    )


def mirrored(path: str) -> tuple[str, ...]:
    """The address of a file on the mirror that ``FUXIAN_MIRROR`` names; none where it names none."""
    mirror = os.environ.get("FUXIAN_MIRROR", "").rstrip("/")
    if not mirror:
        return ()
    base = mirror if urlsplit(mirror).scheme in SCHEMES else Path(mirror).expanduser().absolute().as_uri()
    return (f"{base}/{quote(path)}",)


def receive(download: Download, report: Report = lambda done, total: None) -> None:
    """Gets a file from the first of its addresses that has it; what has its name is replaced only by a checked one.

    Bytes gather in ``<name>.part``, and whose they are with the server's validator (ETag or date) in
    ``<name>.part.json``. A later call goes on from there if the server still offers the same file and knows ranges,
    else it starts again.

    Raises:
        PlatformError: no address can be reached, all break off or send something else, or the folder cannot be
            written. It names every address with what was wrong there.
    """
    target = download.target
    part = target.with_name(f"{target.name}.part")
    by_hand = f"get {download.what} and put it at {target}"
    failures = []
    broken_off = False
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        for url in download.urls:
            try:
                _receive(url, download.bytes, part, report)
                download.check(part)
            except _NotReceived as error:
                failures.append(f"{url} could not be downloaded ({error})")
                broken_off = broken_off or part.exists()
            except InputError as error:
                _forget(part)
                # Its last part says to download again, which is what was just done.
                reason = str(error).rpartition(";")[0] or str(error)
                failures.append(f"{url} did not send the published archive ({reason})")
            else:
                part.replace(target)
                _forget(part)
                return
    except OSError as error:
        raise PlatformError(
            f"{target} cannot be written ({error}): free space, or {download.folder_option}."
        ) from error
    again = "run the command again, which goes on where this one stopped" if broken_off else "try again later"
    raise PlatformError(f"{'; '.join(failures)}: {again}, or {by_hand}.")


class _NotReceived(Exception):
    """Why the whole file did not come."""


def _receive(url: str, size: int, part: Path, report: Report) -> None:
    """Fills ``part``, asking for the rest again as long as each attempt brings some of it."""
    if urlsplit(url).scheme == "file":
        return _copy(url, size, part, report)
    with httpx.Client(timeout=_TIMEOUT, follow_redirects=True) as client:
        for _ in range(_ATTEMPTS):
            before = _size(part)
            try:
                return _stream(client, url, size, part, report)
            except httpx.HTTPStatusError as error:
                raise _NotReceived(f"the server answered {error.response.status_code}") from error
            except httpx.HTTPError as error:
                reason = _NotReceived(str(error) or type(error).__name__)
            if _size(part) <= before:
                break
        raise reason


def _copy(url: str, size: int, part: Path, report: Report) -> None:
    """A ``file://`` address: a disk of this machine or one that it mounts."""
    source = Path(url2pathname(urlsplit(url).path))
    try:
        if not source.is_file():
            raise _NotReceived("there is no such file")
        length = source.stat().st_size
        if length > _TOO_LARGE * size:
            raise _NotReceived(f"it has more than {_TOO_LARGE * size} bytes")
        content = source.open("rb")
    except OSError as error:
        raise _NotReceived(error.strerror or type(error).__name__) from error
    with content, part.open("wb") as out:
        done = 0
        while chunk := content.read(_CHUNK):
            out.write(chunk)
            done += len(chunk)
            report(done, length)


def _stream(client: httpx.Client, url: str, size: int, part: Path, report: Report) -> None:
    offset, validator = _size(part), _read_validator(part, url)
    # Stored bytes, as they are: a compressed answer would make offsets and lengths mean something else.
    headers = {"Accept-Encoding": "identity"}
    if offset and validator:
        headers |= {"Range": f"bytes={offset}-", "If-Range": validator}
    with client.stream("GET", url, headers=headers) as response:
        if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE and "Range" in headers:
            # Nothing is left to ask for: the bytes are all there, or too many. The caller's check decides.
            return
        response.raise_for_status()
        if response.status_code == httpx.codes.PARTIAL_CONTENT:
            if not response.headers.get("Content-Range", "").startswith(f"bytes {offset}-"):
                _forget(part)
                raise _NotReceived("the server sent another range than the one asked for")
        else:
            offset = 0
        length = response.headers.get("Content-Length", "")
        total = offset + int(length) if length.isdecimal() else None
        limit = _TOO_LARGE * size
        with part.open("ab" if offset else "wb") as out:
            _write_validator(part, url, response)
            report(offset, total)
            for chunk in response.iter_raw():
                offset += len(chunk)
                if offset > limit:
                    _forget(part)
                    raise _NotReceived(f"the server sends more than {limit} bytes")
                out.write(chunk)
                report(offset, total)


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _validator_path(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _write_validator(part: Path, url: str, response: httpx.Response) -> None:
    etag = response.headers.get("ETag", "")
    # A weak ETag promises the same meaning, not the same bytes.
    validator = etag if etag.startswith('"') else response.headers.get("Last-Modified")
    _validator_path(part).write_text(json.dumps({"validator": validator, "url": url}))


def _read_validator(part: Path, url: str) -> str | None:
    """The validator of what is there of ``url``; bytes of another address are never joined."""
    try:
        note = json.loads(_validator_path(part).read_text())
        validator = note["validator"] if note["url"] == url else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    usable = isinstance(validator, str) and validator.isascii() and validator.isprintable()
    return validator if usable else None


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _validator_path(part).unlink(missing_ok=True)
