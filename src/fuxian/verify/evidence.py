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
from fuxian.paper import Claim
from fuxian.verdict import Measurements, rule
from fuxian.verify import signing
from fuxian.verify.source import file_digest, tree_digest

FILE_NAME = "evidence.json"
STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "urn:fuxian:verification:v1"
PAYLOAD = "application/vnd.in-toto+json"
LARGEST = 256 << 20


@dataclass(frozen=True)
class Checked:
    """What came of checking evidence: an empty ``wrong`` says that everything holds."""

    wrong: tuple[str, ...]
    """Sentences."""
    key: str
    """The id of the key that signed."""
    signer: str
    """The key's name in the reader's list of trusted keys, else ``self-signed``."""
    unchecked: tuple[str, ...]
    """Subjects whose files were not at hand."""
    predicate: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "valid": not self.wrong,
            "wrong": list(self.wrong),
            "key": self.key,
            "signer": self.signer,
            "unchecked": list(self.unchecked),
            "verdict": self.predicate.get("verdict"),
            "reason": self.predicate.get("reason"),
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
    wrong += found + _check_verdict(predicate)
    signer = signing.trusted_keys().get(key, "self-signed")
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


def _check_verdict(predicate: Mapping[str, Any]) -> list[str]:
    """The measurements and the claim in the statement must give the ruling in it."""
    if predicate.get("ruling") is None:
        return ["The statement accepts without a ruling."] if predicate.get("verdict") == "accepted" else []
    try:
        claim = Claim.model_validate(predicate["claim"])
        ruled = rule(claim, Measurements.from_dict(predicate["measured"])).as_dict()
    except (KeyError, TypeError, ValueError, InputError) as error:
        return [
            f"The claim and the measurements in the statement cannot be ruled on ({type(error).__name__})."
        ]
    if _canonical(ruled) != _canonical(predicate["ruling"]):
        return ["The measurements do not give the ruling in the statement."]
    if predicate.get("verdict") == "accepted" and ruled["verdict"] != "accepted":
        return ["The statement accepts what its ruling does not."]
    return []
