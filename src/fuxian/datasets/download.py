"""Downloads archives over HTTP: resumed where they stopped, checked before they get their name."""

import json
from collections.abc import Callable
from pathlib import Path

import httpx

from fuxian.datasets import archive
from fuxian.datasets.catalogue import File
from fuxian.errors import InputError, PlatformError

Report = Callable[[int, int | None], None]
"""Called with the bytes that are there so far and, if the server said it, the bytes of the whole."""

_TIMEOUT = httpx.Timeout(60.0, connect=20.0)
_ATTEMPTS = 5
# A server may not fill the disk: nothing beyond this many times the published size is taken.
_TOO_LARGE = 2


def fetch(file: File, folder: Path, report: Report = lambda done, total: None) -> None:
    """Downloads ``file`` into ``folder``; what has its name there is replaced only by a checked archive.

    Bytes gather in ``<name>.part``, and the server's validator (ETag or date) in ``<name>.part.json``. A
    later call goes on from there if the server still offers the same file and knows ranges, else it starts
    again.

    Raises:
        PlatformError: the server cannot be reached, breaks off or sends something else, or the folder cannot
            be written.
    """
    target, part = folder / file.name, folder / f"{file.name}.part"
    by_hand = (
        f"get the archive elsewhere ({file.contents.files} files, about {file.bytes / 1e6:.1f} MB) "
        f"and put it at {target}"
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _receive(file, part, report)
        archive.check(part, file.contents)
        part.replace(target)
        _forget(part)
    except _NotReceived as error:
        raise PlatformError(
            f"{file.url} could not be downloaded ({error}): run the command again, which goes on where this "
            f"one stopped, or {by_hand}."
        ) from error
    except InputError as error:
        _forget(part)
        # Its last part says to download again, which is what was just done.
        reason = str(error).rpartition(";")[0]
        raise PlatformError(
            f"{file.url} did not send the published archive ({reason}): try again later, or {by_hand}."
        ) from error
    except OSError as error:
        raise PlatformError(
            f"{target} cannot be written ({error}): free space, or set FUXIAN_DATA to a folder of yours."
        ) from error


class _NotReceived(Exception):
    """Why the whole file did not come."""


def _receive(file: File, part: Path, report: Report) -> None:
    """Fills ``part``, asking for the rest again as long as each attempt brings some of it."""
    with httpx.Client(timeout=_TIMEOUT, follow_redirects=True) as client:
        for _ in range(_ATTEMPTS):
            before = _size(part)
            try:
                return _stream(client, file, part, report)
            except httpx.HTTPStatusError as error:
                raise _NotReceived(f"the server answered {error.response.status_code}") from error
            except httpx.HTTPError as error:
                reason = _NotReceived(str(error) or type(error).__name__)
            if _size(part) <= before:
                break
        raise reason


def _stream(client: httpx.Client, file: File, part: Path, report: Report) -> None:
    offset, validator = _size(part), _read_validator(part)
    # Stored bytes, as they are: a compressed answer would make offsets and lengths mean something else.
    headers = {"Accept-Encoding": "identity"}
    if offset and validator:
        headers |= {"Range": f"bytes={offset}-", "If-Range": validator}
    with client.stream("GET", file.url, headers=headers) as response:
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
        limit = _TOO_LARGE * file.bytes
        with part.open("ab" if offset else "wb") as out:
            _write_validator(part, response)
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


def _write_validator(part: Path, response: httpx.Response) -> None:
    etag = response.headers.get("ETag", "")
    # A weak ETag promises the same meaning, not the same bytes.
    validator = etag if etag.startswith('"') else response.headers.get("Last-Modified")
    _validator_path(part).write_text(json.dumps({"validator": validator}))


def _read_validator(part: Path) -> str | None:
    try:
        validator = json.loads(_validator_path(part).read_text())["validator"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    usable = isinstance(validator, str) and validator.isascii() and validator.isprintable()
    return validator if usable else None


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _validator_path(part).unlink(missing_ok=True)
