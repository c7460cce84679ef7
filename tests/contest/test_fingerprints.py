"""Near-duplicate code is found whatever it is renamed to."""

import re
from pathlib import Path

from fuxian.contest import fingerprints, jobs
from fuxian.contest.fingerprints import Sketch, sketch

CODE = Path(jobs.__file__).read_text(encoding="utf-8")


def of(folder, text):
    folder.mkdir()
    (folder / "code.py").write_text(text, encoding="utf-8")
    return sketch(folder)


def test_renamed_code_is_alike_and_other_code_is_not(tmp_path):
    one = of(tmp_path / "one", CODE)
    renamed = of(tmp_path / "renamed", "# ours\n" + re.sub(r"\b(job|session|now)\b", r"my_\1", CODE))
    other = of(tmp_path / "other", Path(fingerprints.__file__).read_text(encoding="utf-8"))
    assert one.likeness(renamed) > 0.9
    assert one.likeness(other) < 0.5
    assert Sketch.from_hex(one.as_hex()) == one


def test_what_is_no_code_tells_nothing(tmp_path):
    assert of(tmp_path / "small", "x = 1\n") is None
    (tmp_path / "empty").mkdir()
    assert sketch(tmp_path / "empty") is None
