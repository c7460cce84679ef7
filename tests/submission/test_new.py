"""A new reproduction trains, aligns and passes the checklist at once. One is made for all tests of this file."""

import json
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fuxian.errors import InputError
from fuxian.paper import load_paper
from fuxian.submission.checklist import check
from fuxian.submission.manifest import load_manifest
from fuxian.submission.new import new
from fuxian.submission.package import package, run_recipe_command
from fuxian.submission.results import read_results
from fuxian.weights import load_tensors

fill_in = runpy.run_path(str(Path(__file__).with_name("fill_in.py")))["fill_in"]


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("new") / "demo"
    new(folder, "my-paper")
    return folder


def test_only_its_placeholders_fail_the_checklist(demo, tmp_path):
    lines = {line.id: line for line in check(demo) if line.status != "pass"}
    assert {id: line.status for id, line in lines.items()} == {
        "weights-origin": "not_applicable",
        "placeholders": "fail",
    }
    named = lines["placeholders"].what
    for field in ("title", "url", "venue", "year", "authors"):
        assert f"paper.{field}" in named
    assert "claim waveforms: notes" in named
    for field in ("name", "number", "repo", "email", "members"):
        assert f"team.{field}" in named


def test_once_they_are_filled_in_it_passes(demo, tmp_path):
    shutil.copytree(demo, tmp_path / "demo")
    fill_in(tmp_path / "demo")
    made = package(tmp_path / "demo", tmp_path / "package", execute=False)
    assert [line.id for line in made.findings if line.status == "fail"] == []
    (wheel,) = (tmp_path / "package/wheels").iterdir()
    assert wheel.name.startswith("fuxian-")
    for name, words in (
        ("README.md", ("Learning curve", "# model")),
        ("README_cn.md", ("学习曲线", "# 训练")),
    ):
        text = (tmp_path / "package" / name).read_text(encoding="utf-8")
        assert words[0] in text
        assert "results/waveforms/learning_curve.png" in text
    assert "# train" not in text, "comments are in the page's language"
    assert (tmp_path / "package/results/waveforms/learning_curve.png").read_bytes().startswith(b"\x89PNG")
    report = (tmp_path / "package/submission/system_report_zh.md").read_text(encoding="utf-8")
    assert "# 网络" in report and "# the network" not in report


def test_its_measurements_are_accepted_and_stand_in_the_readme(demo):
    (result,) = read_results(load_manifest(demo))
    assert result.verdict.verdict == "accepted"
    shown = result.claim.show(result.verdict.value)
    for name in ("README.md", "README_cn.md"):
        assert shown in (demo / name).read_text(encoding="utf-8")
    assert json.loads((demo / "results/waveforms/verdict.json").read_text())["verdict"] == "accepted"


def test_the_log_is_that_of_the_weights(demo):
    """Training again for some steps gives the logged losses."""
    run_recipe_command(demo, "train", "--reproducible", "--steps=3", "--out=again")

    def rows(file):
        found = [json.loads(line) for line in (demo / file).read_text().splitlines()]
        return [row for row in found if "loss" in row][:3]

    logged, again = rows("logs/waveforms.jsonl"), rows("again/log.jsonl")
    shutil.rmtree(demo / "again")
    assert [row["loss"] for row in logged] == [row["loss"] for row in again]
    assert load_tensors(demo / "weights/waveforms.safetensors")


def test_the_exported_network_predicts_the_same(demo, tmp_path):
    run_recipe_command(demo, "predict", f"--out={tmp_path / 'predicted'}")
    run_recipe_command(demo, "export", f"--out={tmp_path / 'exported'}")
    run_recipe_command(demo, "infer", f"--exported={tmp_path / 'exported'}", f"--out={tmp_path / 'inferred'}")
    predicted, inferred = (np.load(tmp_path / name / "predictions.npz") for name in ("predicted", "inferred"))
    assert predicted.files == inferred.files != []
    for name in predicted.files:
        np.testing.assert_allclose(inferred[name], predicted[name], atol=1e-4)


def test_it_aligns_with_its_reference(demo, tmp_path):
    pytest.importorskip("torch")
    code = f"""
from fuxian.align.alignment import align
made = align("recipe.py", "reference/recipe.py", folder={str(tmp_path)!r})
print(made.verdict)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=demo, capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "aligned"
    for recorded, side in (("port-float64", "port"), ("reference-float64", "reference")):
        shutil.copytree(tmp_path / recorded, demo / "alignment" / side)
    made = package(demo, tmp_path / "package", execute=False)
    shutil.rmtree(demo / "alignment")
    assert [line.id for line in made.findings if line.status == "fail"] == ["placeholders"]
    ours, theirs = (
        np.load(tmp_path / f"package/log_reprod/forward_{side}.npy", allow_pickle=True).tolist()
        for side in ("paddle", "torch")
    )
    assert ours.keys() == theirs.keys()
    for name, array in ours.items():
        assert np.abs(array - theirs[name]).mean() < 1e-6
    assert "aligned" in (tmp_path / "package/log_reprod/forward_diff.log").read_text()


def test_the_readme_names_the_tipc_configuration(demo):
    for name in ("README.md", "README_cn.md"):
        (path,) = re.findall(r"test_tipc/configs/\S+", (demo / name).read_text(encoding="utf-8"))
        assert (demo / path).is_file()


def test_each_tool_says_what_it_does(demo):
    said = []
    for tool in ("export.py", "infer.py"):
        command = [sys.executable, f"tools/{tool}", "--help"]
        done = subprocess.run(command, cwd=demo, capture_output=True, text=True, check=True)
        said.append(done.stdout.split("\n\n")[1])
    assert said == [
        "Exports the network as a static graph.",
        "Runs the exported network with Paddle Inference.",
    ]


def test_the_mail_names_a_commit_as_verify_wants_it(demo):
    for language in ("en", "zh"):
        mail = (demo / f"submission/mail_submission_{language}.txt").read_text(encoding="utf-8")
        assert "fuxian verify https://github.com/your-name/my-paper@COMMIT" in mail


def test_the_runs_of_the_reference_become_the_target(demo, tmp_path):
    pytest.importorskip("torch")
    shutil.copytree(demo, tmp_path / "demo")
    command = [sys.executable, "reference/run.py", "--seed", "7", "8", "--record=reference/runs.json"]
    done = subprocess.run(command, cwd=tmp_path / "demo", capture_output=True, text=True, check=True)
    file = tmp_path / "demo/paper.toml"
    file.write_text(file.read_text().replace("target = 0.92", 'reference = { file = "reference/runs.json" }'))
    printed = [float(line.split()[1]) for line in done.stdout.splitlines()]
    assert len(printed) == 2
    assert load_paper(file).claim("waveforms").reference.sample == pytest.approx(printed, abs=1e-4)


def test_its_code_is_clean(demo):
    rules = ["--isolated", "--select", "E,F,W,B,UP,C4,SIM", "--ignore", "E402", "--line-length", "120"]
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", *rules, str(demo)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_nothing_is_overwritten(demo):
    with pytest.raises(InputError, match="there already"):
        new(demo, "my-paper")


def test_an_id_is_plain(tmp_path):
    with pytest.raises(InputError, match="no id"):
        new(tmp_path / "x", "My Paper!")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nobody/claim", "reproduced no such paper, but .*maml"),
        ("maml/nothing", "has no claim 'nothing'"),
        ("maml/omniglot-5way-5shot", "fuxian reproduce maml/omniglot-5way-5shot"),
    ],
)
def test_a_reproduced_paper_that_is_not_there_is_one_sentence(tmp_path, name, says):
    with pytest.raises(InputError, match=says):
        new(tmp_path / "folder", name)
    assert not (tmp_path / "folder").exists()


def test_a_team_that_cannot_be_is_said_before_anything_is_written(tmp_path):
    with pytest.raises(InputError, match=r"the team's repo: "):
        new(tmp_path / "x", "x", {"repo": "github.com/mixers/mixer"})
    assert not (tmp_path / "x").exists()
