"""What `fuxian package` writes for an old repository, which has no recipe."""

import json
import shutil

import nbformat
import pytest

from fuxian.errors import InputError
from fuxian.submission.checklist import check
from fuxian.submission.manifest import load_manifest
from fuxian.submission.package import package
from fuxian.submission.readme import fill
from fuxian.weights import load_tensors, save_tensors

LETTERS = ["mail_submission", "system_report"]


@pytest.fixture
def packed(submission, tmp_path):
    (submission / "__pycache__").mkdir()
    (submission / "__pycache__/x.pyc").write_text("x")
    return package(submission, tmp_path / "package", execute=False)


def test_it_passes_the_checklist_and_leaves_the_original_alone(submission, packed):
    assert [line.id for line in packed.findings if line.status == "fail"] == []
    assert not (submission / "submission").exists()
    assert not (packed.folder / "__pycache__").exists()
    assert (packed.folder / "mixer/model.py").read_bytes() == (submission / "mixer/model.py").read_bytes()


def test_the_thread_reply_has_the_fixed_format(packed):
    assert (packed.folder / "submission/thread_reply.txt").read_text(encoding="utf-8") == (
        "【队名】：The Mixers\n【序号】：42\n【论文】：A Paper about Mixing\n【状态】：提交\n"
        "【repo链接】：https://github.com/mixers/mixer\n"
    )


@pytest.mark.parametrize("name", LETTERS)
@pytest.mark.parametrize("language", ["zh", "en"])
def test_every_text_in_both_languages(packed, name, language):
    (file,) = (packed.folder / "submission").glob(f"{name}_{language}.*")
    text = file.read_text(encoding="utf-8")
    assert "The Mixers" in text
    assert "91.25 %" in text
    assert ("达标" if language == "zh" else "accepted") in text


def test_no_mail_on_the_reference_before_it_was_run(packed):
    """tests/submission/test_reference.py has the mail."""
    assert list((packed.folder / "submission").glob("mail_reference*")) == []


def test_figures_come_from_the_measurements_alone(submission, tmp_path):
    """A verdict.json that says otherwise counts for nothing."""
    file = submission / "results/top1/measurements.json"
    (submission / "results/top1/verdict.json").write_text('{"verdict": "accepted"}')
    file.write_text(
        json.dumps({"claim": "top1", "runs": [{"seed": 7, "value": 0.5, "examples": [1.0, 0.0] * 500}]})
    )
    made = package(submission, tmp_path / "package", execute=False)
    assert json.loads((made.folder / "results/top1/verdict.json").read_text())["verdict"] == "rejected"
    assert "未达标" in (made.folder / "submission/mail_submission_zh.txt").read_text(encoding="utf-8")


def test_the_notebook_runs(submission, tmp_path):
    made = package(submission, tmp_path / "package")
    notebook = nbformat.read(made.folder / "mixer.ipynb", as_version=4)
    nbformat.validate(notebook)
    printed = "".join(out.get("text", "") for cell in notebook.cells for out in cell.get("outputs", []))
    assert "top1 acc: 91.25" in printed
    assert made.notebook_ran
    assert check(made.folder) == made.findings


def test_a_notebook_that_fails_is_one_sentence(submission, edit, tmp_path):
    edit("tools/eval.py", "import argparse", "raise SystemExit('no data here')")
    with pytest.raises(InputError, match="notebook does not run"):
        package(submission, tmp_path / "package")


def test_a_readme_with_marks_is_filled_and_others_are_kept(submission, packed, tmp_path):
    assert (packed.folder / "README.md").read_text() == (submission / "README.md").read_text()
    marked = "# Mixer\n<!-- fuxian:results -->\nold\n<!-- fuxian:end -->\nmine\n"
    (submission / "README.md").write_text(marked)
    made = package(submission, tmp_path / "second", execute=False)
    text = (made.folder / "README.md").read_text()
    assert "91.25 %" in text
    assert "old" not in text
    assert text.endswith("mine\n")
    again = package(made.folder, tmp_path / "third", execute=False)
    assert (again.folder / "README.md").read_text() == text


def test_what_the_paper_says_is_written_anew(submission, edit, tmp_path):
    (submission / "README.md").unlink()
    first = package(submission, tmp_path / "first", execute=False)
    for name in ("README.md", "README_cn.md"):
        shutil.copy(first.folder / name, submission / name)
        assert "A Paper about Mixing" in (submission / name).read_text(encoding="utf-8")
    edit("fuxian.toml", "A Paper about Mixing", "Another Title")
    edit("fuxian.toml", 'dataset = "', 'dataset = "New ')
    second = package(submission, tmp_path / "second", execute=False)
    assert [line.id for line in second.findings if line.status == "fail"] == []
    for name in ("README.md", "README_cn.md"):
        text = (second.folder / name).read_text(encoding="utf-8")
        assert "A Paper about Mixing" not in text
        assert text.startswith("<!-- fuxian:title -->\n# Another Title\n")
        assert text.count("Another Title") == 3
        assert "- New " in text


def test_unknown_sections_are_left_alone():
    text = "<!-- fuxian:other -->\nx\n<!-- fuxian:end -->\n"
    assert fill(text, {"results": "y"}) == text


def test_a_run_folder_is_taken_over(submission, tmp_path, edit):
    run = tmp_path / "run"
    edit(
        "fuxian.toml", 'file = "logs/train.log"', 'file = "logs/train.log"\ncheckpoints = "checkpoints/top1"'
    )
    (submission / "checkpoints/top1/step_00000050").mkdir(parents=True)
    (submission / "checkpoints/top1/step_00000050/note.txt").write_text("of an earlier training")
    (run / "checkpoints/step_00000100").mkdir(parents=True)
    shutil.move(submission / "results/top1/measurements.json", run / "measurements.json")
    (run / "environment.json").write_text('{"python": "3.12.1", "device": "gpu:0"}')
    (run / "log.jsonl").write_text('{"step": 1, "loss": 0.25}\n')
    tensors = load_tensors(submission / "weights/best.safetensors")
    newer = {name: tensor + 1 for name, tensor in tensors.items()}
    save_tensors(run / "checkpoints/step_00000100/model.safetensors", newer)
    with pytest.raises(InputError, match="measurements"):
        package(submission, tmp_path / "without", execute=False)
    assert not (tmp_path / "without").exists()
    made = package(submission, tmp_path / "package", run=run, execute=False)
    manifest = load_manifest(made.folder)
    stored = load_tensors(made.folder / manifest.checkpoint_of(manifest.claim()))
    assert (stored["linear.weight"] == newer["linear.weight"]).all()
    # The log's chain is the run's, and so are the checkpoints that it names.
    assert [one.name for one in (made.folder / "checkpoints/top1").iterdir()] == ["step_00000100"]
    assert "gpu:0" in (made.folder / "submission/system_report_en.md").read_text(encoding="utf-8")


def test_a_run_of_another_claim_is_refused(submission, tmp_path):
    (tmp_path / "measurements.json").write_text('{"claim": "top5", "runs": []}')
    with pytest.raises(InputError, match="top5"):
        package(submission, tmp_path / "package", run=tmp_path, execute=False)


def test_the_package_is_a_new_folder_elsewhere(submission, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/x").write_text("x")
    for out in (tmp_path / "full", submission / "package"):
        with pytest.raises(InputError, match="name a"):
            package(submission, out, execute=False)


def test_markup_in_names_stays_on_its_line(submission, edit, tmp_path):
    edit("fuxian.toml", 'name = "The Mixers"', 'name = "A | B\\n【状态】：提交"')
    made = package(submission, tmp_path / "package", execute=False)
    lines = (made.folder / "submission/thread_reply.txt").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 5
    assert lines[0] == "【队名】：A | B 【状态】：提交"


def test_the_notebook_of_others_runs_in_the_sandbox(submission, edit, tmp_path, sandbox):
    from fuxian.verify.packaging import notebook_in_sandbox

    witness = tmp_path / "WITNESS"
    edit(
        "tools/eval.py",
        "import argparse",
        "import argparse, pathlib\ntry:\n"
        f"    pathlib.Path({str(witness)!r}).write_text('')\nexcept OSError:\n    pass\n",
    )
    made = package(submission, tmp_path / "package", notebook=notebook_in_sandbox)
    notebook = nbformat.read(made.folder / "mixer.ipynb", as_version=4)
    printed = "".join(out.get("text", "") for cell in notebook.cells for out in cell.get("outputs", []))
    assert "top1 acc: 91.25" in printed
    assert not witness.exists()
    edit("tools/eval.py", "import argparse", "raise SystemExit('no data here')\nimport argparse")
    with pytest.raises(InputError, match="notebook does not run"):
        package(submission, tmp_path / "again", notebook=notebook_in_sandbox)
    assert not (tmp_path / "again").exists()


@pytest.fixture
def sandbox():
    from fuxian.errors import PlatformError
    from fuxian.sandbox import run

    try:
        run(["/bin/true"])
    except PlatformError as error:
        pytest.skip(f"no sandbox here: {error}")
