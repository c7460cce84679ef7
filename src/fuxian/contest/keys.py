"""Signed receipts: what a team got for its submission, and anybody can check."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fuxian.contest.store.log import canonical
from fuxian.verify import signing

KEY_FILE = "contest-key.pem"


@dataclass(frozen=True)
class Signer:
    """The contest's own key, kept in its folder."""

    key: Ed25519PrivateKey

    @classmethod
    def of(cls, folder: Path) -> Signer:
        """The folder's key, made when it is first needed."""
        return cls(signing.key_at(folder / KEY_FILE))

    @property
    def public(self) -> str:
        """The public key, 64 hexadecimal digits."""
        return signing.public_bytes(self.key).hex()

    def sign(self, document: dict[str, Any]) -> dict[str, Any]:
        """The document with the key that signed it and the signature over all of that."""
        body = {**document, "key": self.public}
        return {**body, "signature": base64.b64encode(self.key.sign(canonical(body).encode())).decode()}


def holds(receipt: dict[str, Any], public: str) -> bool:
    """Whether the receipt was signed with this key and not changed since."""
    body = {name: value for name, value in receipt.items() if name != "signature"}
    try:
        signature = base64.b64decode(receipt["signature"], validate=True)
        key = bytes.fromhex(public)
    except (KeyError, ValueError, TypeError):
        return False
    return body.get("key") == public and signing.is_signature(key, signature, canonical(body).encode())
