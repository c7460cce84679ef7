"""The checklist as a whole: every line passes on a good submission, and each fails for its own reason."""

import shutil
import sys

import pytest

from fuxian.errors import InputError
from fuxian.submission.checklist import CHECKS, UNWAIVABLE, check

TORCH = "import torch.nn as nn\n"


def finding(folder, id):
    return next(line for line in check(folder) if line.id == id)


def test_a_good_submission_passes_every_line(submission):
    findings = check(submission)
    assert [line.id for line in findings] == list(CHECKS)
    assert {line.status for line in findings if line.id != "weights-origin"} == {"pass"}
    assert finding(submission, "weights-origin").status == "not_applicable"


def test_no_framework_is_imported(submission, run_python):
    code = f"""
from pathlib import Path
from fuxian.submission.checklist import check
check(Path({str(submission)!r}))
import sys
print([name for name in ("paddle", "torch", "scipy", "matplotlib") if name in sys.modules])
"""
    assert run_python(code) == "[]"


def test_no_code_of_the_submission_runs(submission):
    for name in ("tools/train.py", "mixer/model.py", "sitecustomize.py", "conftest.py"):
        (submission / name).write_text("raise SystemExit('ran')\n")
    check(submission)
    assert str(submission) not in sys.path


BREAKAGES = {
    "layout": ("README.md", None),
    "readme": ("README.md", "# Mixer\n## Introduction\n"),
    "requirements": ("requirements.txt", "numpy\ntorch\n"),
    "licence": ("LICENSE", "All rights reserved."),
    "headers": ("mixer/model.py", "import paddle\n"),
    "scripts": ("scripts/eval.sh", None),
    "commands": ("tools/train.py", None),
    "log": ("logs/train.log", "iter: 1, loss: 0.5\n"),
    "log-consistency": ("logs/train.log", None),
    "lite-data": ("lite_data/digits.csv", None),
    "tipc": ("test_tipc/configs/mixer/train_infer_python.txt", "model_name:mixer\n"),
    "port-code": ("mixer/model.py", TORCH),
    "secrets": ("tools/train.py", "key = 'AKIA" + "Q3EGTTQRHZLPWN2X'\n"),
    "pickles": ("mixer/cache.pkl", "anything"),
    "git": (".gitmodules", "[submodule]\n"),
    "leftovers": ("mixer/__pycache__/model.cpython-311.pyc", "x"),
}


@pytest.mark.parametrize("id", [name for name in BREAKAGES if name != "log-consistency"])
def test_each_line_fails_for_its_own_reason(submission, id):
    name, text = BREAKAGES[id]
    file = submission / name
    if text is None:
        file.unlink()
    else:
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    found = finding(submission, id)
    assert found.status == "fail"
    assert found.what and found.mend
    assert "\n" not in found.what


def test_without_a_log_its_consistency_is_not_asked(submission):
    (submission / "logs/train.log").unlink()
    assert finding(submission, "log").status == "fail"
    assert finding(submission, "log-consistency").status == "not_applicable"


def waive(folder, id, reason="the repository is older than this rule"):
    with (folder / "fuxian.toml").open("a") as file:
        file.write(f'\n[[waive]]\nid = "{id}"\nreason = "{reason}"\n')


def test_a_waiver_is_shown_with_its_reason(submission):
    shutil.rmtree(submission / "test_tipc")
    waive(submission, "tipc")
    found = finding(submission, "tipc")
    assert found.status == "waived"
    assert "older than this rule" in found.what


def test_a_waiver_of_what_passes_changes_nothing(submission):
    waive(submission, "tipc")
    assert finding(submission, "tipc").status == "pass"


@pytest.mark.parametrize("id", [*sorted(UNWAIVABLE), "no-such-line"])
def test_what_protects_the_receiver_is_not_waived(submission, id):
    waive(submission, id)
    with pytest.raises(InputError, match=id):
        check(submission)
