"""The hash of a data set, whose files are read again only where they have changed since: data sets are large."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from fuxian.datasets.root import cache_folder
from fuxian.verify.source import digest_of_files, file_digest, regular_files


def data_digest(folder: Path) -> str:
    """As ``tree_digest``; a file of the same path, size and time of change is not read again."""
    place = str(folder.resolve())
    kept = cache_folder() / "digests" / f"{hashlib.sha256(place.encode()).hexdigest()}.json"
    known = _read(kept)
    found: dict[str, dict[str, Any]] = {}
    for file in regular_files(folder):
        about = file.stat()
        stamp = [about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino]
        name = file.relative_to(folder).as_posix()
        before = known.get(name, {})
        unchanged = before.get("stamp") == stamp and isinstance(before.get("sha256"), str)
        found[name] = {"stamp": stamp, "sha256": before["sha256"] if unchanged else file_digest(file)}
    if found != known:
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(found), encoding="utf-8")
    return digest_of_files({name: one["sha256"] for name, one in found.items()})


def _read(file: Path) -> dict[str, dict[str, Any]]:
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    is_kept = isinstance(document, dict) and all(isinstance(one, dict) for one in document.values())
    return document if is_kept else {}
