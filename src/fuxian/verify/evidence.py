"""Evidence: an in-toto statement of a verification, signed with ed25519 in a DSSE envelope.

The envelope is written in one canonical form, and only that form is accepted: any changed byte of the file is found,
even one that means nothing. The files beside it are named in the statement with their sha256.

- https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md
- https://github.com/secure-systems-lab/dsse/blob/master/envelope.md
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fuxian.errors import InputError
from fuxian.printable import printable
from fuxian.verify import signing
from fuxian.verify.source import file_digest, tree_digest
from fuxian.verify.verification import Verification
from fuxian.weights import load_tensors

FILE_NAME = "evidence.json"
STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "urn:fuxian:verification:v1"
PAYLOAD = "application/vnd.in-toto+json"
LARGEST = 256 << 20
LONGEST = 500
"""Characters of a text that somebody else may have written."""
OWN, STRANGER = "this user's own key", "a stranger's key"


@dataclass(frozen=True)
class Checked:
    """What came of checking evidence: an empty ``wrong`` says that everything holds."""

    wrong: tuple[str, ...]
    """Sentences."""
    key: str
    """The id of the key that signed."""
    signer: str
    """Whose key it is: ``OWN``, the name in the reader's list of trusted keys, or ``STRANGER``."""
    unchecked: tuple[str, ...]
    """Subjects whose files were not at hand."""
    predicate: dict[str, Any]

    @property
    def known(self) -> bool:
        """Whether the reader's own key signed, or one that the reader trusts."""
        return self.signer != STRANGER

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON; nothing in it steers a terminal."""
        said = {
            name: printable(str(self.predicate.get(name)))[:LONGEST]
            for name in ("verdict", "reason", "headline", "time")
        }
        return {
            "valid": not self.wrong,
            "wrong": [printable(sentence)[:LONGEST] for sentence in self.wrong],
            "key": self.key,
            "signer": printable(self.signer),
            "known_key": self.known,
            "unchecked": [printable(name)[:LONGEST] for name in self.unchecked],
            **said,
        }


def write(folder: Path, subjects: Sequence[Mapping[str, Any]], predicate: dict[str, Any]) -> Path:
    """Signs a statement about ``subjects`` and every file of the folder, and writes evidence.json there."""
    files = [
        {"name": f"file:{path.relative_to(folder).as_posix()}", "digest": {"sha256": file_digest(path)}}
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != FILE_NAME
    ]
    statement = {
        "_type": STATEMENT,
        "subject": [*map(dict, subjects), *files],
        "predicateType": PREDICATE,
        "predicate": predicate,
    }
    file = folder / FILE_NAME
    file.write_bytes(_signed(_canonical(statement), signing.own_key()))
    return file


def _canonical(document: Any) -> bytes:
    return json.dumps(
        document, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    ).encode()


def _to_sign(payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding."""
    return b"DSSEv1 %d %b %d %b" % (len(PAYLOAD), PAYLOAD.encode(), len(payload), payload)


def _signed(payload: bytes, key: Ed25519PrivateKey) -> bytes:
    return _envelope(payload, signing.public_bytes(key), key.sign(_to_sign(payload)))


def _envelope(payload: bytes, public: bytes, signature: bytes) -> bytes:
    document = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": PAYLOAD,
        "signatures": [
            {
                "keyid": signing.key_id(public),
                "publicKey": base64.b64encode(public).decode(),
                "sig": base64.b64encode(signature).decode(),
            }
        ],
    }
    return json.dumps(document, indent=1).encode() + b"\n"


def check(file: Path, submission: Path | None = None) -> Checked:
    """Checks the signature, every hash of what is at hand, and that the measurements give the verdict.

    At hand are the files beside ``file``, and where it is given the pinned ``submission``.

    Raises InputError where the file cannot be read as evidence at all.
    """
    payload, public, signature, content = _read(file)
    wrong = []
    if not signing.is_signature(public, signature, _to_sign(payload)):
        wrong.append("The signature is not this key's over this statement.")
    if content != _envelope(payload, public, signature):
        wrong.append("The envelope was changed after it was written.")
    key = signing.key_id(public)
    try:
        statement = json.loads(payload)
        subjects, predicate = list(statement["subject"]), dict(statement["predicate"])
        named = {str(one["name"]): str(one["digest"]["sha256"]) for one in subjects}
        if statement["_type"] != STATEMENT or statement["predicateType"] != PREDICATE:
            raise ValueError("another kind of statement")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(
            f"{file}: the statement in it is not one of `fuxian verify`; make it again."
        ) from error
    found, unchecked = _check_subjects(file.parent, submission, named)
    wrong += found + _missing(predicate, named) + _check_verdict(predicate, file.parent)
    signer = signing.trusted_keys().get(key) or (OWN if key == signing.own_id() else STRANGER)
    return Checked(tuple(wrong), key, signer, tuple(unchecked), predicate)


def _read(file: Path) -> tuple[bytes, bytes, bytes, bytes]:
    """Payload, public key, signature, and the whole file."""
    try:
        if file.stat().st_size > LARGEST:
            raise InputError(f"{file}: {file.stat().st_size / 1e6:.0f} MB are too much for evidence.")
        content = file.read_bytes()
        document = json.loads(content)
        (one,) = document["signatures"]
        parts = [
            base64.b64decode(text, validate=True)
            for text in (document["payload"], one["publicKey"], one["sig"])
        ]
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror}); name an evidence.json.") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(
            f"{file}: this is no signed evidence, or it is damaged; name an evidence.json."
        ) from error
    return parts[0], parts[1], parts[2], content


def _check_subjects(
    folder: Path, submission: Path | None, named: Mapping[str, str]
) -> tuple[list[str], list[str]]:
    wrong, unchecked = [], []
    for name, digest in named.items():
        kind, _, path = name.partition(":")
        if kind == "file":
            target = folder / path
            inside = target.resolve().is_relative_to(folder.resolve())
            if not inside or not target.is_file():
                wrong.append(f"{path} is missing beside the evidence.")
            elif file_digest(target) != digest:
                wrong.append(f"{path} was changed.")
        elif submission is not None and kind == "code":
            if tree_digest(submission) != digest:
                wrong.append("The submission's files are not those that were verified.")
        elif submission is not None and kind == "weights":
            target = submission / path
            if not target.is_file() or file_digest(target) != digest:
                wrong.append(f"The weights {path} are not those that were verified.")
        else:
            unchecked.append(name)
    known = {f"file:{path.relative_to(folder).as_posix()}" for path in folder.rglob("*") if path.is_file()}
    wrong += [
        f"{name.removeprefix('file:')} is not part of the evidence."
        for name in sorted(known - named.keys() - {f"file:{FILE_NAME}"})
    ]
    return wrong, unchecked


def _missing(predicate: Mapping[str, Any], named: Mapping[str, str]) -> list[str]:
    """What a statement must be about: without it, a verdict on one thing could be shown for another."""
    wrong = [f"The statement has no {field}." for field in ("time", "nonce") if not predicate.get(field)]
    if predicate.get("verdict") != "accepted":
        return wrong
    kinds = {name.partition(":")[0] for name in named}
    claim = predicate.get("claim")
    needs_weights = isinstance(claim, dict) and claim.get("subject") == "weights"
    if "code" not in kinds:
        wrong.append("The statement accepts and names no submission.")
    if needs_weights and predicate.get("use") == "ruling" and "weights" not in kinds:
        wrong.append("The statement accepts weights and names none.")
    if predicate.get("use") == "ruling" and not predicate.get("terms"):
        wrong.append("The statement is a ruling without terms.")
    return wrong


def _check_verdict(predicate: Mapping[str, Any], folder: Path) -> list[str]:
    """The measurements and the claim in the statement must give the ruling in it, and the draw what it says."""
    if predicate.get("ruling") is None:
        return ["The statement accepts without a ruling."] if predicate.get("verdict") == "accepted" else []
    try:
        stored = Verification.from_dict(predicate, _arrays(folder))
        ruled = stored.rule_again()
    except (KeyError, TypeError, ValueError, AttributeError, InputError) as error:
        return [
            f"What is stated cannot be ruled on again ({type(error).__name__}: {printable(str(error))[:200]})."
        ]
    if ruled is None or _canonical(ruled.as_dict()) != _canonical(predicate["ruling"]):
        return ["The measurements do not give the ruling in the statement."]
    if stored.verdict == "accepted" and ruled.verdict != "accepted":
        return ["The statement accepts what its ruling does not."]
    return []


def _arrays(folder: Path) -> dict[str, Any]:
    """What the units of the measurements contributed, where that lies beside the statement, as it names it."""
    file = folder / "measurements.safetensors"
    return load_tensors(file) if file.is_file() else {}
