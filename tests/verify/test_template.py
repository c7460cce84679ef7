"""`fuxian new`'s own paper under the default terms: the whole of a ruling, the training included."""

import json
import runpy
import shutil
from pathlib import Path

from fuxian.submission.new import new
from fuxian.submission.package import package
from fuxian.verify.terms import STEPS, load_terms
from fuxian.verify.verify import verify


def test_the_template_is_accepted_on_a_drawn_test_with_its_training_shown(sandbox, tmp_path):
    made = new(tmp_path / "demo", "demo")
    assert [one.id for one in made.findings if one.status == "fail"] == ["placeholders"]
    runpy.run_path(str(Path(__file__).parents[1] / "submission/fill_in.py"))["fill_in"](made.folder)
    package(made.folder, tmp_path / "package", execute=False)
    shutil.copytree(tmp_path / "package", made.folder, dirs_exist_ok=True)
    terms = load_terms(str(made.folder / "paper.toml"))
    assert terms.must_pass == STEPS
    done = verify(str(made.folder), tmp_path / "results", terms=terms)
    assert (done.verdict, done.rung) == ("accepted", 1), done.detail
    assert done.not_applicable == []
    training = next(step for step in done.as_dict()["checks"] if step["name"] == "training")
    assert (training["replayed"], training["chance"]) == ([[0, 100], [100, 200]], 1.0)
    json.dumps(done.as_dict(), allow_nan=False)
