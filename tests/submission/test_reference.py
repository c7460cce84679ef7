"""The record of what the reference gives."""

import json

import pytest

from fuxian.errors import InputError
from fuxian.submission.manifest import load_manifest
from fuxian.submission.package import package
from fuxian.submission.reference import record_reference, reference_of

REFERENCE = """
[reference]
run = ["python", "reference/eval.py"]
pattern = 'acc=(?P<accuracy>[0-9.]+)'
scale = 0.01
output = "predictions.csv"
"""


@pytest.fixture
def manifest(submission):
    with (submission / "fuxian.toml").open("a") as file:
        file.write(REFERENCE)
    return load_manifest(submission)


def test_figure_and_predictions_are_recorded_and_packaged(manifest, tmp_path):
    (tmp_path / "predictions.csv").write_text("1\n2\n")
    record = record_reference(manifest, "acc=89.5\n", tmp_path, {"sandboxed": True})
    assert record["figure"] == pytest.approx(0.895)
    assert json.loads((manifest.folder / "results/reference.json").read_text()) == record
    assert (manifest.folder / record["predictions"]["file"]).read_text() == "1\n2\n"
    made = package(manifest.folder, tmp_path / "package", execute=False)
    for name in ("mail_reference_zh.txt", "mail_reference_en.txt", "system_report_en.md"):
        assert "89.50 %" in (made.folder / "submission" / name).read_text(encoding="utf-8")


def test_what_is_not_there_is_said(manifest, tmp_path):
    with pytest.raises(InputError, match="pattern"):
        record_reference(manifest, "nothing", tmp_path, {})
    with pytest.raises(InputError, match="did not write"):
        record_reference(manifest, "acc=1", tmp_path, {})
    (tmp_path / "predictions.csv").symlink_to("/etc/passwd")
    with pytest.raises(InputError, match="did not write"):
        record_reference(manifest, "acc=1", tmp_path, {})


def test_without_a_reference(submission):
    with pytest.raises(InputError, match="no \\[reference\\]"):
        reference_of(load_manifest(submission))
    with (submission / "fuxian.toml").open("a") as file:
        file.write('[reference]\nrun = ["python", "x.py"]\n')
    with pytest.raises(InputError, match="pattern or output"):
        reference_of(load_manifest(submission))
