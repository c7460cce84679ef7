"""Evidence: whatever is changed afterwards is found, and the key is named."""

import json
import random
import shutil

import pytest

from fuxian.errors import InputError
from fuxian.verify import evidence, signing
from fuxian.verify.verification import Verification


@pytest.fixture
def written(tmp_path):
    """Evidence about a folder, with one file beside it."""
    submission = tmp_path / "submission"
    submission.mkdir()
    (submission / "weights.npz").write_bytes(b"weights")
    folder = tmp_path / "results"
    (folder / "logs").mkdir(parents=True)
    (folder / "logs/stdout.txt").write_text("accuracy: 0.93")
    subjects = [
        {"name": "code:submission", "digest": {"sha256": evidence.tree_digest(submission)}},
        {
            "name": "weights:weights.npz",
            "digest": {"sha256": evidence.file_digest(submission / "weights.npz")},
        },
    ]
    return evidence.write(
        folder,
        subjects,
        {
            "verdict": "rejected",
            "reason": "CRASH",
            "ruling": None,
            "time": "2026-01-01T00:00:00+00:00",
            "nonce": "ab",
        },
    ), submission


def test_untouched_evidence_holds_and_names_its_key(written, keys):
    file, submission = written
    checked = evidence.check(file, submission)
    assert (checked.wrong, checked.signer, checked.unchecked) == ((), evidence.OWN, ())
    assert checked.key == signing.key_id(signing.public_bytes(signing.own_key()))
    (keys / "trusted-keys.txt").write_text(f"# the organisers\n{checked.key} The Organisers\n")
    assert evidence.check(file).signer == "The Organisers"
    assert set(evidence.check(file).unchecked) == {"code:submission", "weights:weights.npz"}


def test_any_changed_byte_of_the_evidence_is_found(written):
    file, _ = written
    content = file.read_bytes()
    drawn = random.Random(0)
    places = {*range(20), *range(len(content) - 230, len(content)), *drawn.sample(range(len(content)), 150)}
    for place in sorted(places):
        changed = bytearray(content)
        changed[place] ^= 1 << drawn.randrange(7)
        file.write_bytes(bytes(changed))
        try:
            wrong = evidence.check(file).wrong
        except InputError:
            continue
        assert wrong, f"byte {place}: {content[place]:#x} to {changed[place]:#x}"
    for changed in (content + b" ", content[:-1], content.replace(b" ", b"", 1)):
        file.write_bytes(changed)
        assert evidence.check(file).wrong


def test_any_changed_file_is_found(written):
    file, submission = written
    log = file.parent / "logs/stdout.txt"
    log.write_text("accuracy: 0.94")
    assert "stdout.txt was changed" in evidence.check(file).wrong[0]
    log.unlink()
    assert "missing" in evidence.check(file).wrong[0]
    log.symlink_to("/etc/passwd")
    assert evidence.check(file).wrong
    log.unlink()
    log.write_text("accuracy: 0.93")
    (file.parent / "more.txt").write_text("")
    assert "not part" in evidence.check(file).wrong[0]
    (file.parent / "more.txt").unlink()
    assert not evidence.check(file, submission).wrong
    (submission / "weights.npz").write_bytes(b"Weights")
    assert len(evidence.check(file, submission).wrong) == 2
    (submission / "weights.npz").write_bytes(b"weights")
    (submission / "added.py").write_text("")
    assert len(evidence.check(file, submission).wrong) == 1


def test_another_key_can_sign_but_is_another_key(written, keys):
    file, _ = written
    mine = evidence.check(file).key
    (keys / "trusted-keys.txt").write_text(f"{mine} me\n")
    document = json.loads(file.read_bytes())
    payload = evidence.base64.b64decode(document["payload"])
    shutil.move(keys / signing.KEY_FILE, keys / "old.pem")
    file.write_bytes(evidence._signed(payload, signing.own_key()))
    forged = evidence.check(file)
    # It is their own key as long as they are the one who looks.
    assert (forged.wrong, forged.signer, forged.known) == ((), evidence.OWN, True)
    shutil.move(keys / "old.pem", keys / signing.KEY_FILE)
    forged = evidence.check(file)
    assert (forged.wrong, forged.signer, forged.known) == ((), evidence.STRANGER, False)
    assert forged.key != mine


def test_a_statement_whose_measurements_do_not_give_its_verdict_is_refused(accepted, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(accepted.evidence.parent, folder)
    document = json.loads((folder / "evidence.json").read_bytes())
    statement = json.loads(evidence.base64.b64decode(document["payload"]))
    assert evidence.check(folder / "evidence.json").wrong == ()
    names = {one["name"].partition(":")[0] for one in statement["subject"]}
    assert names == {"code", "weights", "file"}
    run = statement["predicate"]["measured"]["runs"][0]
    run["examples"] = [0.0] * 2000
    run["value"] = 0.0
    # Signed anew, as who holds a key could.
    (folder / "evidence.json").write_bytes(
        evidence._signed(evidence._canonical(statement), signing.own_key())
    )
    assert "measurements" in evidence.check(folder / "evidence.json").wrong[0]


def test_an_acceptance_needs_a_ruling_that_accepts(tmp_path):
    (tmp_path / "results").mkdir()
    file = evidence.write(tmp_path / "results", [], {"verdict": "accepted", "ruling": None, "use": "ruling"})
    assert evidence.check(file).wrong == (
        "The statement has no time.",
        "The statement has no nonce.",
        "The statement accepts and names no submission.",
        "The statement is a ruling without terms.",
        "The statement accepts without a ruling.",
    )


def test_modes_links_and_empty_folders_are_in_the_digest(tmp_path):
    (tmp_path / "a").write_text("a")
    seen = {evidence.tree_digest(tmp_path)}
    for change in (
        lambda: (tmp_path / "a").chmod(0o755),
        (tmp_path / "empty").mkdir,
        lambda: (tmp_path / "link").symlink_to("a"),
        (tmp_path / "empty").rmdir,
    ):
        change()
        seen.add(evidence.tree_digest(tmp_path))
    assert len(seen) == 5


def test_a_stored_verification_is_read_back_and_ruled_on_again(accepted):
    document = json.loads((accepted.evidence).read_bytes())
    predicate = json.loads(evidence.base64.b64decode(document["payload"]))["predicate"]
    stored = Verification.from_dict(predicate)
    assert (stored.verdict, stored.reason, stored.use) == ("accepted", accepted.reason, "self-check")
    assert stored.rule_again() == accepted.ruling == stored.ruling
    assert [step.name for step in stored.steps] == [step.name for step in accepted.steps]
    assert stored.findings == accepted.findings
    assert stored.as_dict()["measured"] == accepted.as_dict()["measured"]
    for field in ("claim", "measured", "reason", "checks"):
        with pytest.raises(InputError, match=r"no stored verification|malformed"):
            Verification.from_dict({**predicate, field: {"runs": 3}})


def test_escape_sequences_of_a_stranger_steer_nothing(tmp_path):
    (tmp_path / "results").mkdir()
    predicate = {"verdict": "\x1b[2Jaccepted", "reason": "\x1b]0;x\x07", "time": "\r", "nonce": "1"}
    file = evidence.write(tmp_path / "results", [{"name": "\x1b[1A", "digest": {"sha256": "0"}}], predicate)
    told = json.dumps(evidence.check(file).as_dict(), ensure_ascii=False)
    assert told.isprintable()


def test_a_key_is_made_once_and_private(keys):
    first = signing.public_bytes(signing.own_key())
    assert signing.public_bytes(signing.own_key()) == first
    assert (keys / signing.KEY_FILE).stat().st_mode & 0o077 == 0
    assert [path.name for path in keys.iterdir()] == [signing.KEY_FILE]


@pytest.mark.parametrize("text", ["zz\n", "a" * 64 + "\n", "A" * 64 + " name\n"])
def test_a_bad_line_of_trusted_keys_is_named(keys, text):
    keys.mkdir()
    (keys / "trusted-keys.txt").write_text("# fine\n" + text)
    with pytest.raises(InputError, match="line 2"):
        signing.trusted_keys()


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b"[" * 100_000, b'{"payload": 3, "signatures": []}', b"\xff"]
)
def test_what_is_no_evidence_is_one_sentence(tmp_path, content):
    file = tmp_path / "evidence.json"
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"no signed evidence"):
        evidence.check(file)
    with pytest.raises(InputError, match="cannot be read"):
        evidence.check(tmp_path / "absent.json")
