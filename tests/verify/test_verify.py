"""The whole acceptance of a submission: accepted as it is, rejected for the right reason otherwise."""

import json
import py_compile
import re
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest

from fuxian.errors import InputError, PlatformError
from fuxian.sandbox import launch
from fuxian.submission.package import package
from fuxian.verify.reasons import Reason
from fuxian.verify.verify import verify


def edit(file, old, new):
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def steps_of(done):
    return {step.name: step.status for step in done.steps}


def test_a_good_submission_is_accepted(accepted):
    assert (accepted.verdict, accepted.reason) == ("accepted", Reason.OK)
    assert accepted.headline == "would be accepted under these terms, the submission's own"
    names = ["prepare", "check", "environment", "evaluate", "rule", "control", "replay", "chain"]
    assert steps_of(accepted) == dict.fromkeys(names, "pass")
    document = json.loads(json.dumps(accepted.as_dict(), allow_nan=False))
    assert {"verdict", "reason", "checks", "measured", "evidence"} <= set(document)
    assert document["measured"]["how"] == "per-example outputs"
    assert document["measured"]["labels"] == "public labels"
    assert document["measured"]["value"] == pytest.approx(0.92, abs=0.02)
    assert document["sandboxed"]
    replayed = next(step for step in document["checks"] if step["name"] == "replay")
    assert [step["step"] for step in replayed["steps"]] == list(range(1, 11))
    chain = next(step for step in document["checks"] if step["name"] == "chain")
    assert chain["compared"] == 6000


def test_its_evidence_holds_what_package_takes(accepted, trained, tmp_path):
    made = package(trained, tmp_path / "package", run=accepted.evidence.parent, execute=False)
    stored = json.loads((made.folder / "results/blobs/measurements.json").read_text())
    assert stored["runs"][0]["value"] == accepted.as_dict()["measured"]["value"]
    assert "python" in json.loads((made.folder / "results/blobs/environment.json").read_text())


def test_an_evaluation_that_has_run_is_read_anew(toy, verified, tmp_path):
    edit(toy / "fuxian.toml", 'file = "measurements.json"', 'file = "measurement.json"')
    lost = verified()
    assert (lost.verdict, lost.reason) == ("rejected", Reason.METRIC_MISSING)
    edit(toy / "fuxian.toml", 'file = "measurement.json"', 'file = "measurements.json"')
    kept = tmp_path / "results"
    done = verify(str(toy), tmp_path / "again", again=kept)
    assert (done.verdict, done.reason) == ("accepted", Reason.OK), done.detail
    assert "evaluate" not in [one.name for one in done.commands]
    assert done.as_dict()["measured"]["value"] == pytest.approx(0.92, abs=0.02)
    step = next(step for step in done.steps if step.name == "evaluate")
    assert "that was kept" in step.detail

    np.savez(toy / "weights/model.npz", w=np.zeros((2, 3)), b=np.zeros(3))
    with pytest.raises(InputError, match="files of the submission changed"):
        verify(str(toy), tmp_path / "changed", again=kept)
    with pytest.raises(InputError, match="no evaluation was kept"):
        verify(str(toy), tmp_path / "nothing", again=tmp_path / "keys")


def test_a_compiled_file_does_not_run_in_the_place_of_its_source(toy, verified):
    place = toy / "tools" / "__pycache__"
    place.mkdir()
    changed = toy / "changed.py"
    changed.write_text("raise SystemExit('another program than the one that was read')")
    py_compile.compile(
        str(changed),
        cfile=str(place / f"blobs.{sys.implementation.cache_tag}.pyc"),
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )
    changed.unlink()
    (toy / ".gitignore").write_text("__pycache__/\n")
    for words in (["init", "-q"], ["add", "--all", "--force"], ["commit", "-qm", "x"]):
        named = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        subprocess.run(["git", "-C", str(toy), *named, *words], check=True, capture_output=True)
    assert (
        "another program"
        in subprocess.run(
            [sys.executable, "tools/eval.py"], cwd=toy, capture_output=True, text=True, check=False
        ).stderr
    )
    done = verified()
    assert (done.verdict, done.reason) == ("accepted", Reason.OK), done.detail


def test_a_forged_log_is_rejected_by_the_replay(toy, verified):
    log = toy / "logs/log.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    lines[4]["loss"] *= 0.99
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = verified()
    assert (done.verdict, done.reason) == ("rejected", Reason.REPLAY_MISMATCH)
    assert "step 5" in done.detail
    assert "chain" not in steps_of(done)


def test_weights_that_do_not_give_the_figure_are_rejected(toy, verified):
    np.savez(toy / "weights/model.npz", w=np.zeros((2, 3)), b=np.zeros(3))
    done = verified()
    assert (done.verdict, done.reason) == ("rejected", Reason.METRIC_SHORT)
    assert done.as_dict()["measured"]["value"] < 0.5


@pytest.mark.parametrize(
    "figures", ["np.arange(2000) < 1900", "np.random.default_rng(id(x)).random(2000) < 0.95"]
)
def test_figures_that_do_not_come_from_the_weights_are_rejected(toy, verified, figures):
    edit(toy / "tools/eval.py", ".astype(float)\n", f".astype(float)\nright[:] = {figures}\n")
    done = verified()
    assert (done.verdict, done.reason) == ("rejected", Reason.METRIC_FIXED)
    assert "shuffled" in done.detail


def test_a_figure_a_tenth_below_the_margin_is_rejected(toy, verified):
    figure = 0.9 - 0.03 - 0.1
    edit(
        toy / "tools/eval.py",
        ".astype(float)\n",
        f".astype(float)\nright[:] = np.arange(len(right)) < {figure} * len(right)\n",
    )
    done = verified()
    assert (done.verdict, done.reason) == ("rejected", Reason.METRIC_SHORT)
    assert done.as_dict()["measured"]["value"] == pytest.approx(figure, abs=1e-3)


def test_a_figure_at_the_margin_is_undecided(toy, verified):
    edit(
        toy / "tools/eval.py",
        ".astype(float)\n",
        ".astype(float)\nright[:] = np.arange(2000) < 0.87 * 2000\n",
    )
    done = verified()
    assert (done.verdict, done.reason) == ("inconclusive", Reason.UNDECIDED)


def test_a_failing_line_of_the_checklist_stops_before_anything_is_run(toy, verified):
    (toy / "LICENSE").unlink()
    done = verified()
    assert (done.verdict, done.reason, done.commands) == ("rejected", Reason.LAYOUT, [])
    assert "LICENSE" in done.detail


def test_an_export_of_other_weights_breaks_the_chain(toy, verified):
    edit(toy / "tools/export.py", "array.tolist()", "(1.001 * array).tolist()")
    done = verified()
    assert (done.verdict, done.reason) == ("rejected", Reason.CHAIN_MISMATCH)


def test_a_repository_is_verified_at_its_commit(toy, verified):
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(toy)]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "all"]):
        subprocess.run([*git, *command], check=True)
    head = subprocess.run(
        [*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True
    ).stdout.strip()
    # What is not committed is not submitted.
    np.savez(toy / "weights/model.npz", w=np.zeros((2, 3)), b=np.zeros(3))
    edit(toy / "fuxian.toml", "infer = {", "# infer = {")
    done = verified(replay_steps=2)
    assert (done.verdict, done.commit) == ("accepted", head)
    assert (done.evidence.parent / "submission.bundle").exists()
    assert "2 files differ from commit" in done.steps[0].detail


def test_a_defect_of_fuxian_is_not_the_submissions_fault(toy, verified, monkeypatch):
    def defect(*_):
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr("fuxian.verify.self_check.evaluate", defect)
    done = verified()
    assert (done.verdict, done.reason) == ("inconclusive", Reason.INTERNAL)
    assert "a defect" in (done.evidence.parent / "traceback.txt").read_text()
    assert "a defect" not in json.dumps(done.as_dict())


def test_without_a_sandbox_it_refuses_or_says_so(toy, tmp_path, monkeypatch):
    found = launch.tool

    def tool(name):
        if name == "bwrap":
            raise PlatformError("there is no bwrap")
        return found(name)

    monkeypatch.setattr(launch, "tool", tool)
    refused = verify(str(toy), tmp_path / "refused")
    assert (refused.verdict, refused.reason) == ("inconclusive", Reason.INTERNAL)
    assert "no bwrap" in refused.detail
    done = verify(str(toy), tmp_path / "results", allow_unsandboxed=True, replay_steps=2)
    assert (done.verdict, done.as_dict()["sandboxed"]) == ("accepted", False)


def test_a_cancelled_verification_rules_nothing(toy, verified):
    cancel = threading.Event()
    cancel.set()
    done = verified(cancel=cancel)
    assert (done.verdict, done.reason) == ("inconclusive", Reason.CANCELLED)


def test_seeds_of_a_procedure_are_trained_anew(toy, verified):
    edit(toy / "fuxian.toml", 'subject = "weights"', 'subject = "procedure"')
    edit(toy / "fuxian.toml", "seeds = [3]", "seeds = [3, 4, 5]")
    edit(toy / "fuxian.toml", "export = ", "# ")
    # Were the stored weights evaluated, all seeds would give the same figure.
    done = verified(seeds=3, replay_steps=2)
    runs = done.as_dict()["measured"]["runs"]
    assert [run["seed"] for run in runs] == [3, 4, 5]
    assert len({run["value"] for run in runs}) > 1
    assert done.verdict == "accepted"


def test_bad_input_is_one_sentence(toy, verified, tmp_path):
    with pytest.raises(InputError, match="no folder"):
        verified(tmp_path / "nowhere")
    with pytest.raises(InputError, match=f"^{re.escape(str(toy))}: .*blobs"):
        verified(claim_id="other")
    with pytest.raises(InputError, match="leave --seeds out"):
        verified(seeds=2)
    shutil.rmtree(toy)
    toy.mkdir()
    with pytest.raises(InputError, match=f"^{re.escape(str(toy))}: there is no fuxian\\.toml"):
        verified()


def test_a_manifest_that_is_not_committed_is_one_sentence(toy, verified):
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(toy)]
    for command in (["init", "-q"], ["add", "README.md"], ["commit", "-qm", "all"]):
        subprocess.run([*git, *command], check=True)
    with pytest.raises(InputError, match=r"fuxian\.toml is not committed"):
        verified()
