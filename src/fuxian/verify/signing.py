"""Keys: the one that signs this user's evidence, and those that this user trusts."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from platformdirs import user_config_path

from fuxian.errors import InputError

KEY_FILE = "signing-key.pem"
TRUSTED_FILE = "trusted-keys.txt"
_TRUSTED = re.compile(r"(?P<key>[0-9a-f]{64})\s+(?P<name>\S.*)")


def config_folder() -> Path:
    """The user's folder of keys: ``FUXIAN_CONFIG`` if it is set, else the system's usual place."""
    chosen = os.environ.get("FUXIAN_CONFIG")
    return Path(chosen) if chosen else user_config_path("fuxian", appauthor=False)


def own_key() -> Ed25519PrivateKey:
    """This user's signing key, made when it is first needed."""
    return key_at(config_folder() / KEY_FILE)


def key_at(file: Path) -> Ed25519PrivateKey:
    """The signing key in a file, made when it is first needed, readable by this user alone.

    Raises InputError where the file holds no such key.
    """
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        made = Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        draft = file.with_name(f".{file.name}.{os.getpid()}")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            out.write(made)
        try:
            # Not replace(): of two processes that make a key at once, both must go on with the first.
            file.hardlink_to(draft)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    try:
        key = serialization.load_pem_private_key(file.read_bytes(), password=None)
    except (ValueError, TypeError) as error:
        raise InputError(f"{file}: this is no private key; remove it, and a new one is made.") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise InputError(f"{file}: this is no ed25519 key; remove it, and a new one is made.")
    return key


def own_id() -> str | None:
    """The id of this user's key; None where none has been made."""
    return key_id(public_bytes(own_key())) if (config_folder() / KEY_FILE).exists() else None


def public_bytes(key: Ed25519PrivateKey) -> bytes:
    """The public half, 32 bytes."""
    return key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def key_id(public: bytes) -> str:
    """The sha256 of the public key's 32 bytes, in hexadecimal."""
    return hashlib.sha256(public).hexdigest()


def is_signature(public: bytes, signature: bytes, message: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def trusted_keys() -> dict[str, str]:
    """Names by key id, from the lines ``<key id> <name>`` of trusted-keys.txt.

    Raises InputError for a line that is none.
    """
    file = config_folder() / TRUSTED_FILE
    if not file.exists():
        return {}
    found = {}
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        match = _TRUSTED.fullmatch(text)
        if match is None:
            raise InputError(f"{file}, line {number}: give a key's 64 digits, a space and its owner's name.")
        found[match["key"]] = match["name"]
    return found
