"""Bundles and evidence: files by name, in the contest's folder or in an object store."""

from __future__ import annotations

import shutil
from pathlib import Path

import fsspec

from fuxian.errors import InputError, PlatformError


class Artifacts:
    """A place for files, named by an fsspec address such as ``/srv/contest/artifacts`` or ``s3://bucket/contest``."""

    def __init__(self, url: str) -> None:
        self.url = url
        try:
            self._files, self._root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise InputError(f"ARTIFACTS_URL {url}: {error}; install what it needs, or mend it.") from error

    def put(self, name: str, file: Path) -> None:
        """Keeps a copy. What is there already is written over: names come from what a file holds, or from its job."""
        with self._files_or_error(name), file.open("rb") as source:
            to = f"{self._root}/{name}"
            self._files.makedirs(to.rpartition("/")[0], exist_ok=True)
            # No reader may meet half a file: a rename puts it there whole; object stores show whole ones only.
            draft = f"{to}.draft" if self._is_local else to
            with self._files.open(draft, "wb") as out:
                shutil.copyfileobj(source, out)
            if self._is_local:
                self._files.mv(draft, to)

    def get(self, name: str, file: Path) -> None:
        """Writes a copy to ``file``. Raises PlatformError where there is none."""
        with (
            self._files_or_error(name),
            self._files.open(f"{self._root}/{name}", "rb") as source,
            file.open("wb") as out,
        ):
            shutil.copyfileobj(source, out)

    def has(self, name: str) -> bool:
        with self._files_or_error(name):
            return bool(self._files.exists(f"{self._root}/{name}"))

    @property
    def _is_local(self) -> bool:
        return "file" in self._files.protocol or "local" in self._files.protocol

    def _files_or_error(self, name: str) -> _Errors:
        return _Errors(f"{self.url}/{name}")


class _Errors:
    """Whatever the store raises becomes a failure of the platform, with the place."""

    def __init__(self, place: str) -> None:
        self.place = place

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception):
            raise PlatformError(
                f"{self.place}: {type(error).__name__}: {error}; look at the store."
            ) from error
