"""Files that were made to hang, crash or fill whoever reads them, through the doors that read them."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from fuxian.errors import InputError
from fuxian.submission.checklist import CHECKS, check
from fuxian.submission.manifest import load_manifest
from fuxian.verify.entrant_output import shown
from fuxian.verify.entrant_weights import read_weights
from fuxian.verify.environment import requirements
from fuxian.verify.numbers import read_json, read_numbers
from fuxian.verify.reasons import Failed
from fuxian.verify.source import pin


def _load(name):
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


hostile = _load("hostile_submissions")
LONGEST = 3000
LARGEST = 1 << 30


def plain(sentence):
    """One line that a terminal shows as it is."""
    assert sentence.isprintable(), ascii(sentence[:200])
    assert len(sentence) < LONGEST


def checked(folder):
    """The findings of `check`, or the sentence that it ends with; anything else than these fails."""
    try:
        findings = check(folder)
    except InputError as error:
        plain(str(error))
        return str(error)
    assert [finding.id for finding in findings] == list(CHECKS)
    for finding in findings:
        plain(f"{finding.file or ''}{finding.what}")
    return findings


def failing(found):
    return [] if isinstance(found, str) else [finding.id for finding in found if finding.status == "fail"]


@pytest.fixture
def folder(tmp_path):
    return hostile.write_honest(tmp_path / "submission")


def test_the_honest_one_is_read(folder):
    found = checked(folder)
    assert not isinstance(found, str)
    assert not {"pickles", "links", "git", "names", "limits", "secrets", "commands"} & set(failing(found))


HARMLESS = {"reason with escapes", "float without end"}


@pytest.mark.parametrize("kind", hostile.MANIFESTS)
def test_manifests(folder, kind):
    hostile.MANIFESTS[kind](folder)
    found = checked(folder)
    assert isinstance(found, str) or kind in HARMLESS or "python" in kind or "pattern" in kind


@pytest.mark.parametrize("kind", hostile.WEIGHTS)
def test_weights(folder, kind):
    name, content = hostile.WEIGHTS[kind]
    (folder / "w.npz").unlink()
    (folder / name).write_bytes(content())
    text = (folder / "fuxian.toml").read_text().replace('"w.npz"', f'"{name}"')
    (folder / "fuxian.toml").write_text(text)
    try:
        stored = read_weights(folder / name)
    except InputError as error:
        plain(str(error).replace(str(folder), ""))
    else:
        assert all(array.dtype.kind in "biufc" for array in stored.tensors.values())
        assert sum(array.nbytes for array in stored.tensors.values()) < LARGEST
    checked(folder)
    assert not Path("/tmp/fuxian-witness").exists()  # noqa: S108


@pytest.mark.parametrize("kind", hostile.FILES)
def test_files(folder, kind):
    hostile.FILES[kind](folder)
    checked(folder)


@pytest.mark.parametrize("kind", ["a link to the root", "a pipe", "a name with a colour", "a git folder that is a file",
                                  "20,001 files", "a link to a device", "a name that runs backwards"])  # fmt: skip
def test_files_that_must_not_be_received(folder, tmp_path, kind):
    hostile.FILES[kind](folder)
    with pytest.raises(Failed) as caught:
        pin(str(folder), tmp_path / "place")
    plain(caught.value.sentence)


@pytest.mark.parametrize("kind", [kind for kind in hostile.FILES if kind.startswith("requirements")])
def test_requirements(folder, kind):
    hostile.FILES[kind](folder)
    with pytest.raises((Failed, InputError)) as caught:
        requirements(load_manifest(folder))
    plain(str(caught.value))


OUTPUTS = {
    "nested.json": lambda: "[" * 200_000 + "]" * 200_000,
    "digits.json": lambda: "9" * 1_000_000,
    "ragged.json": lambda: "[[1, 2], [3]]",
    "text.json": lambda: '{"a": "b"}',
    "twice.json": lambda: '{"a": [1], "a": [2]}',
    "many.json": lambda: "{" + ",".join(f'"{n}": 1' for n in range(200_000)) + "}",
    "infinite.json": lambda: "[1e999, -1e999, NaN]",
    "cut.json": lambda: '{"a": [1, 2',
    "empty.json": lambda: "",
    "quotes.csv": lambda: '"' + "a" * 400_000,
    "columns.csv": lambda: ",".join("a" for _ in range(200_000)) + "\n1\n",
    "ragged.csv": lambda: "1,2\n3\n",
    "words.csv": lambda: "a,b\nc,d\n",
    "nul.csv": lambda: "1,\0\n",
    "empty.csv": lambda: "",
}


@pytest.mark.parametrize("name", OUTPUTS)
def test_what_commands_write(tmp_path, name):
    file = tmp_path / name
    file.write_text(OUTPUTS[name]())
    try:
        found = read_numbers(file)
    except InputError as error:
        plain(str(error))
    else:
        assert all(array.dtype == np.float64 for array in found.values())
    if name.endswith(".json"):
        try:
            read_json(file)
        except InputError as error:
            plain(str(error))


def test_predictions_that_unfold_are_not_read(tmp_path):
    (tmp_path / "e.npz").write_bytes(hostile.bomb(1200))
    with pytest.raises(InputError, match=r"unfolds|memory"):
        read_numbers(tmp_path / "e.npz")


@pytest.mark.parametrize(
    "output",
    [
        b"1" * 80_000,
        b"1 " * 40_000,
        b"1.1.1.1." * 10_000,
        b"1e1e1e1e" * 10_000,
        b"\x1b[" * 40_000,
        b"\x1b]" + b"a" * 80_000,
        b"\xff" * 80_000,
        b"[[[[((((" * 10_000,
        "\u202e\u2066".encode() * 20_000,
    ],
    ids=["digits", "numbers", "dots", "exponents", "escapes", "titles", "no text", "brackets", "directions"],
)
def test_what_commands_print(output):
    text = shown(output)
    assert len(text) <= 4000
    assert all(c.isprintable() or c in "\n\t" for c in text)


def test_random_submissions_end_in_a_reading_or_a_sentence(tmp_path):
    """200 of them; benchmarks/fuzz_submissions.py makes 2,000."""
    fuzz = _load("fuzz_submissions")
    outcomes = [
        (door, fuzz.take(door, example, tmp_path / "fuzz"), example) for door, example in fuzz.draw(200, 0)
    ]
    assert [one for one in outcomes if one[1] not in ("read", "refused")] == []
    assert {outcome for _, outcome, _ in outcomes} == {"read", "refused"}
    assert len(outcomes) >= 150
