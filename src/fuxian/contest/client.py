"""The command line's own client of the API."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from fuxian.contest.rules.refused import Refused
from fuxian.errors import InputError, PlatformError
from fuxian.verify.signing import config_folder

TOKENS = "contest-tokens.json"
SERVER, TOKEN = "FUXIAN_CONTEST", "FUXIAN_CONTEST_TOKEN"


class Client:
    """Calls one server. Raises Refused for what it refuses, and PlatformError where it does not answer."""

    def __init__(self, server: str | None, transport: httpx.BaseTransport | None = None) -> None:
        chosen = (server or os.environ.get(SERVER) or "").rstrip("/")
        if not chosen.startswith(("http://", "https://")):
            raise InputError(f"name the contest's server: --server https://..., or set {SERVER}.")
        self.server = chosen
        self._http = httpx.Client(base_url=f"{chosen}/api/v1", timeout=600, transport=transport)

    def call(self, method: str, path: str, **options: Any) -> Any:
        """The answer's JSON; None where it has none."""
        token = os.environ.get(TOKEN) or _tokens().get(self.server)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            answer = self._http.request(method, path, headers=headers, **options)
        except httpx.HTTPError as error:
            raise PlatformError(
                f"{self.server} does not answer ({type(error).__name__}); check the address, or try again later."
            ) from error
        try:
            found = answer.json() if answer.content else None
        except ValueError:
            found = answer.text
        if answer.is_success:
            return found
        said = found.get("error") if isinstance(found, dict) else None
        if not isinstance(said, dict):
            raise PlatformError(f"{self.server} answered {answer.status_code}; look at the server's log.")
        sentence = str(said.get("en"))
        if said.get("moment"):
            # The sentence has the contest's time; this machine's may be another.
            there = datetime.fromisoformat(str(said["moment"])).astimezone()
            sentence = f"{sentence.removesuffix('.')} (here: {there:%Y-%m-%d %H:%M %Z})."
        if answer.status_code >= 500:
            raise PlatformError(sentence)
        raise Refused(str(said.get("code")), en=sentence, zh=str(said.get("zh")))

    def keep_token(self, token: str) -> Path:
        """Remembers the token for this server, readable by this user alone."""
        file = config_folder() / TOKENS
        file.parent.mkdir(parents=True, exist_ok=True)
        known = {**_tokens(), self.server: token}
        draft = file.with_name(f".{file.name}.{os.getpid()}")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
            json.dump(known, out)
        draft.replace(file)
        return file

    def upload(self, paper: str, folder: Path) -> Any:
        """Bundles the folder's HEAD and submits it."""
        with tempfile.TemporaryDirectory(prefix="fuxian-contest-") as place:
            file = Path(place) / "submission.bundle"
            commit = _git(folder, "rev-parse", "HEAD").strip()
            _git(folder, "bundle", "create", "--quiet", str(file), "HEAD")
            with file.open("rb") as stream:
                return self.call(
                    "POST",
                    "/submissions/bundle",
                    params={"paper": paper, "commit": commit},
                    content=iter(lambda: stream.read(1 << 20), b""),
                )


def _tokens() -> dict[str, str]:
    file = config_folder() / TOKENS
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InputError(
            f"{file}: the kept tokens cannot be read; remove the file and log in again."
        ) from error
    return found if isinstance(found, dict) else {}


def _git(folder: Path, *words: str) -> str:
    try:
        return subprocess.run(  # noqa: S603 - a list of words
            ["git", "-C", str(folder.resolve()), *words],  # noqa: S607
            check=True,
            capture_output=True,
            text=True,
            timeout=600,
        ).stdout
    except (subprocess.CalledProcessError, OSError, subprocess.TimeoutExpired) as error:
        raise InputError(
            f"{folder}: this is no git repository with a commit; commit your work first."
        ) from error
