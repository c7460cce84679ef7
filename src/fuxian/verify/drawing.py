"""The drawn test of a ruling: which one it is follows from a secret that was committed to before the commit was known.

The seed is a hash of the secret, the submission's commit and the number of the attempt. The organiser publishes the
secret's hash beforehand; the evidence opens the secret. So nobody could choose the test after seeing the submission,
nobody could know it before handing in, and anyone can draw the same afterwards.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Any

from fuxian.errors import InputError

LENGTH = 32
"""Bytes of a secret."""
BITS = 63
"""Of a seed: every library takes such a number."""


@dataclass(frozen=True)
class Draw:
    """What fixes a ruling's draws."""

    secret: bytes
    commit: str
    """The commit, or where there is none the digest of the submission's files."""
    attempt: int

    @property
    def commitment(self) -> str:
        """What is published before the submission is known."""
        return commitment(self.secret)

    def seed(self, what: str) -> int:
        """The seed of one of the ruling's draws, such as ``test`` or ``intervals``; each has its own."""
        message = "\0".join(("fuxian draw 1", what, self.commit, str(self.attempt))).encode()
        digest = hmac.new(self.secret, message, hashlib.sha256).digest()
        return int.from_bytes(digest[:8], "big") >> (64 - BITS)

    def as_dict(self, opened: bool) -> dict[str, Any]:
        """Ready for JSON. ``opened`` gives the secret away: only of a ruling after which it draws nothing more."""
        told = {"commitment": self.commitment, "commit": self.commit, "attempt": self.attempt}
        return {**told, "secret": self.secret.hex(), "seed": self.seed("test")} if opened else told

    @classmethod
    def from_dict(cls, data: Any) -> Draw | None:
        """The inverse of an opened ``as_dict``; None for one that is not opened.

        Raises InputError where secret, commitment and seed do not belong together.
        """
        if data is None or "secret" not in data:
            return None
        try:
            draw = cls(bytes.fromhex(data["secret"]), str(data["commit"]), int(data["attempt"]))
            fits = (draw.commitment, draw.seed("test")) == (data["commitment"], data["seed"])
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"the draw is malformed ({type(error).__name__}); restore it.") from error
        if not fits:
            raise InputError(
                "the draw's secret is not the one that was committed to, or its seed not the drawn one."
            )
        return draw


def new_secret() -> bytes:
    """A secret that nobody can guess."""
    return secrets.token_bytes(LENGTH)


def commitment(secret: bytes) -> str:
    """The hash of a secret, in hexadecimal."""
    return hashlib.sha256(b"fuxian secret 1\0" + secret).hexdigest()
