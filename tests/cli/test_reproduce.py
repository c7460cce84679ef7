"""``fuxian papers``, ``reproduce``, ``train`` and ``evaluate`` as a user types them."""

import json
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fuxian.weights import load_tensors, save_tensors

SINUSOID = "maml/sinusoid-10shot"


def command(*arguments):
    return [sys.executable, "-m", "fuxian.cli.main", *map(str, arguments)]


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """A real ``reproduce --quick``: its process's exit code, stdout and stderr."""
    out = tmp_path_factory.mktemp("runs")
    arguments = command("reproduce", SINUSOID, "--quick", "--iterations", 60, "--json", "--out", out)
    return subprocess.run(arguments, capture_output=True, text=True, timeout=300, check=False)


def test_reproduce_quick_ends_with_one_json_document(smoke):
    assert smoke.returncode == 0, smoke.stderr
    assert smoke.stdout.count("\n") == 1
    document = json.loads(smoke.stdout)
    wanted = {"paper", "claim", "scope", "measured", "published", "target", "margin", "verdict", "run"}
    assert set(document) >= wanted
    assert (document["paper"], document["claim"], document["scope"]) == ("maml", "sinusoid-10shot", "paper")
    assert document["verdict"] == "smoke"
    assert set(document["measured"]) == {"value", "low", "high", "n"}
    assert document["measured"]["value"] > 0
    assert document["target"] > 0 and document["margin"] > 0
    assert "rules on no claim" in smoke.stderr
    assert "Traceback" not in smoke.stderr


def test_a_run_folder_is_whole(smoke):
    run = Path(json.loads(smoke.stdout)["run"])
    names = {"config.json", "environment.json", "log.jsonl", "vdl", "checkpoints", "measurements.json"}
    assert {file.name for file in run.iterdir()} == names | {"verdict.json", "report.html", "pictures"}
    config = json.loads((run / "config.json").read_text())
    assert (config["iterations"], config["seeds"], config["quick"]) == (60, [0], True)
    assert config["command"].startswith(f"fuxian reproduce {SINUSOID}")
    environment = json.loads((run / "environment.json").read_text())
    assert {"paddlepaddle", "python", "git_commit", "flags", "cores", "MKL_NUM_THREADS"} <= set(environment)
    assert json.loads((run / "verdict.json").read_text()) == json.loads(smoke.stdout)
    assert len(json.loads((run / "measurements.json").read_text())["runs"][0]["examples"]) == 600
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == 60
    assert all(
        {"loss", "lr", "reader_cost", "batch_cost", "ips"} <= set(line)
        for line in lines
        if not {"eval", "chain"} & set(line)
    )
    assert [line["step"] for line in lines if "eval" in line] == [60]
    page = (run / "report.html").read_text()
    assert 'src="data:image/png;base64,' in page, "the predictions are shown"
    assert "<html" in page and "https://" not in page.replace("https://arxiv.org/abs/1703.03400", "").replace(
        "https://github.com/cbfinn/maml", ""
    ), "the report loads nothing"


def test_evaluate_a_run_again_gives_the_same_figure(fuxian, smoke):
    before = json.loads(smoke.stdout)
    code, out, _ = fuxian("evaluate", SINUSOID, "--run", before["run"], "--json")
    after = json.loads(out)
    assert (code, after["measured"]["value"]) == (0, before["measured"]["value"])
    assert after["verdict"] == "smoke"


def test_the_reports_of_one_training_and_of_its_weights_miss_nothing(fuxian, smoke):
    run = Path(json.loads(smoke.stdout)["run"])
    (weights,) = run.glob("checkpoints/step_00000060/model.safetensors")
    _, out, _ = fuxian("evaluate", SINUSOID, "--weights", weights, "--json")
    for page in (run / "report.html", Path(json.loads(out)["report"])):
        text = page.read_text()
        assert "There is no log.jsonl" not in text
        assert "not there" not in text


def test_evaluate_weights_gives_the_same_figure_and_rules(fuxian, smoke):
    before = json.loads(smoke.stdout)
    (weights,) = Path(before["run"]).glob("checkpoints/step_00000060/model.safetensors")
    code, out, _ = fuxian("evaluate", SINUSOID, "--weights", weights, "--json")
    after = json.loads(out)
    assert after["measured"]["value"] == before["measured"]["value"]
    assert after["verdict"] in ("rejected", "inconclusive")
    assert code == {"rejected": 1, "inconclusive": 3}[after["verdict"]]


def test_evaluate_and_report_speak_chinese(fuxian, smoke):
    run = json.loads(smoke.stdout)["run"]
    code, out, _ = fuxian("evaluate", SINUSOID, "--run", run, "--lang", "zh")
    assert code == 0 and any("\u4e00" <= letter <= "\u9fff" for letter in out)
    page = (Path(run) / "report_zh.html").read_text()
    assert 'lang="zh' in page
    assert 'lang="en' in (Path(run) / "report.html").read_text(), "the English report is still there"
    for english in (
        "rules on no claim",
        "Sinusoid regression",
        "inner steps",
        "PyTorch reference,",
        "a fifth of",
    ):
        assert english not in page
        assert english not in out
    assert "正弦回归" in page and "内更新步数" in page and "不对任何指标作出判定" in out


def test_train_then_resume_does_nothing_more(fuxian, tmp_path):
    code, out, err = fuxian("train", SINUSOID, "--iterations", 12, "--seeds", 2, "--json")
    assert "Margin 0.07: a fifth of" in err
    assert "Planned power" in err
    assert "Warning: nothing is accepted on 2 seeds against" in err
    document = json.loads(out)
    assert code == 0 and set(document["weights"]) == {"0", "1"}
    run = Path(document["run"])
    assert run.parent == tmp_path / "runs"
    for seed in (0, 1):
        folder = run / f"seed_{seed}"
        assert json.loads((folder / "config.json").read_text())["seed"] == seed
        assert Path(document["weights"][str(seed)]).parent.parent == folder / "checkpoints"
    content = {seed: Path(file).read_bytes() for seed, file in document["weights"].items()}
    assert content["0"] != content["1"]
    code, out, _ = fuxian("train", "--resume", run, "--json")
    assert json.loads(out)["weights"] == document["weights"]
    assert {seed: Path(file).read_bytes() for seed, file in document["weights"].items()} == content
    code, out, _ = fuxian("reproduce", "--resume", run, "--json")
    assert json.loads(out)["measured"]["n"] == 2
    page = (run / "report.html").read_text()
    assert "There is no log.jsonl" not in page and "not there" not in page
    assert "--seeds 2 --iterations 12" in page and "--seeds 1" not in page
    (scalars,) = re.findall(r"visualdl --logdir ([^<]*)", page)
    assert [Path(folder).is_dir() for folder in shlex.split(scalars)] == [True, True]
    assert code in (1, 3)


def test_a_changed_setting_is_recorded_and_rules_on_no_claim(fuxian):
    """And batches drawn by workers are those of a run without."""
    arguments = ("--iterations", 12, "--seeds", 1, "--set", "gradients=first-order", "--json")
    code, out, _ = fuxian("reproduce", SINUSOID, "--workers", 2, *arguments)
    document = json.loads(out)
    assert (code, document["verdict"]) == (0, "changed")
    assert document["settings"] == {"gradients": "first-order"}
    assert document["reason"].startswith("gradients=first-order: not the claim's own settings")
    run = Path(document["run"])
    config = json.loads((run / "config.json").read_text())
    assert config["settings"] == {"gradients": "first-order"}
    assert "--set 'gradients=\"first-order\"'" in config["command"]
    assert "Changed settings" in (run / "report.html").read_text()
    _, out, _ = fuxian("train", SINUSOID, *arguments)
    alone = Path(json.loads(out)["run"])
    _, out, _ = fuxian("train", SINUSOID, *arguments[:4], "--json")
    claimed = Path(json.loads(out)["run"])
    files = [
        (folder / "checkpoints" / "step_00000012" / "model.safetensors").read_bytes()
        for folder in (run, alone, claimed)
    ]
    assert files[0] == files[1] != files[2]
    _, out, _ = fuxian("evaluate", SINUSOID, "--run", run, "--json")
    assert json.loads(out)["verdict"] == "changed"
    _, out, _ = fuxian("papers", "--json")
    assert "changed" not in out


def test_bad_settings_are_one_sentence(fuxian, tmp_path):
    assert_one_sentence(
        fuxian("train", SINUSOID, "--set", "gradient=none"), "'gradient'", "gradients, setting"
    )
    assert_one_sentence(fuxian("train", SINUSOID, "--set", "gradients"), "key=value")
    assert_one_sentence(
        fuxian("train", SINUSOID, "--set", "gradients=third"), "second-order, first-order, none"
    )
    assert_one_sentence(fuxian("train", SINUSOID, "--set", "seed=3"), "'seed'")
    assert not (tmp_path / "runs").exists()


def test_ctrl_c_says_how_to_go_on(tmp_path):
    # A shell's background jobs, and so their children, ignore the signal unless told otherwise.
    program = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    program += "; from fuxian.cli.main import run; run()"
    arguments = [
        sys.executable,
        "-c",
        program,
        *command("train", SINUSOID, "--seeds", 1, "--iterations", 100_000)[3:],
    ]
    arguments += ["--out", str(tmp_path)]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        until = time.monotonic() + 600
        while not list(tmp_path.glob("*/log.jsonl")) and process.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 130, err
    assert out == "" and "Traceback" not in err
    (run,) = tmp_path.iterdir()
    assert f"fuxian train --resume {run}" in err
    assert "fuxian: interrupted" in err
    (newest,) = run.glob("checkpoints/step_*")
    step = int(newest.name.removeprefix("step_"))
    assert 0 < step < 10_000, "a checkpoint is written at once, not with the next of the plan"
    assert f"the checkpoint of seed 0 at step {step:,} of 100,000" in err


def config_of(folder, **changes):
    plan = {
        "paper": "maml",
        "claim": "sinusoid-10shot",
        "seeds": [0],
        "iterations": 5,
        "log_every": 1,
        "checkpoint_every": 5,
        "evaluate_every": 0,
        "quick": False,
        "device": "cpu",
    }
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(plan | changes))
    return folder


def assert_one_sentence(result, *words):
    code, out, err = result
    assert (code, out) in (
        (2, ""),
        (2, json.dumps({"error": err[len("fuxian: ") : -1]}, ensure_ascii=False) + "\n"),
    ), err
    assert err.startswith("fuxian: ") and err.count("\n") == 1, err
    assert "Traceback" not in err and "internal error" not in err
    for word in words:
        assert word in err


@pytest.mark.parametrize("name", ["reproduce", "train", "evaluate"])
def test_bad_names_are_one_sentence(fuxian, tmp_path, name):
    assert_one_sentence(fuxian(name, "mamm"), "'mamm'", "maml")
    assert_one_sentence(fuxian(name, "maml/omniglot", "--json"), "'omniglot'", "omniglot-5way-1shot")
    assert_one_sentence(fuxian(name, SINUSOID, "--device", "gpu"), "GPU")
    assert_one_sentence(fuxian(name, SINUSOID, "--device", "tpu"), "tpu")
    assert_one_sentence(fuxian(name, SINUSOID, "--sedes", "3"), "--sedes")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("name", ["reproduce", "train"])
def test_bad_options_of_a_training_are_one_sentence(fuxian, tmp_path, name):
    assert_one_sentence(fuxian(name), "PAPER/CLAIM")
    for seeds in ("0", "-1", "two"):
        assert_one_sentence(fuxian(name, SINUSOID, "--seeds", seeds), "seeds")
    assert_one_sentence(fuxian(name, "maml/omniglot-5way-1shot", "--seeds", "2"), "--seeds")
    assert_one_sentence(fuxian(name, SINUSOID, "--iterations", "0"), "iterations")
    assert_one_sentence(fuxian(name, "--resume", tmp_path / "absent"), "config.json")
    run = config_of(tmp_path / "run")
    assert_one_sentence(fuxian(name, "--resume", run, "--quick"), "--resume")
    assert_one_sentence(fuxian(name, "maml/omniglot-5way-1shot", "--resume", run), "sinusoid-10shot")
    (tmp_path / "file").write_text("")
    assert_one_sentence(fuxian(name, SINUSOID, "--out", tmp_path / "file"), "--out")


@pytest.mark.parametrize(
    "changes",
    [
        {"seeds": []},
        {"seeds": "abc"},
        {"seeds": [-1]},
        {"iterations": 0},
        {"iterations": "many"},
        {"log_every": 0},
        {"checkpoint_every": -5},
        {"evaluate_every": -1},
        {"device": "toaster"},
        {"paper": "../maml"},
        {"claim": 5},
    ],
)
def test_a_plan_that_cannot_be_followed_is_one_sentence(fuxian, tmp_path, changes):
    assert_one_sentence(fuxian("train", "--resume", config_of(tmp_path / "run", **changes)))


@pytest.mark.parametrize("content", ["", "[1]", "{", '"text"', "null"])
def test_a_plan_that_is_no_plan_is_one_sentence(fuxian, tmp_path, content):
    config_of(tmp_path / "run")
    (tmp_path / "run" / "config.json").write_text(content)
    assert_one_sentence(fuxian("train", "--resume", tmp_path / "run"), "config.json")


def test_bad_weights_are_one_sentence(fuxian, tmp_path, smoke):
    run = json.loads(smoke.stdout)["run"]
    assert_one_sentence(
        fuxian("evaluate", SINUSOID, "--weights", tmp_path / "absent.safetensors"), "no such file"
    )
    torn = tmp_path / "torn.safetensors"
    torn.write_bytes(b"abc")
    assert_one_sentence(fuxian("evaluate", SINUSOID, "--weights", torn), "torn.safetensors")
    (good,) = Path(run).glob("checkpoints/step_00000060/model.safetensors")
    foreign = tmp_path / "foreign.safetensors"
    save_tensors(foreign, {name: tensor for name, tensor in load_tensors(good).items() if name != "w2"})
    assert_one_sentence(fuxian("evaluate", SINUSOID, "--weights", foreign), "w2")
    assert_one_sentence(fuxian("evaluate", SINUSOID, "--weights", good, "--run", run), "--run")
    assert_one_sentence(fuxian("evaluate", "maml/omniglot-5way-1shot", "--run", run), "sinusoid-10shot")


def test_evaluate_a_run_without_a_checkpoint_is_one_sentence(fuxian, tmp_path):
    assert_one_sentence(fuxian("evaluate", SINUSOID, "--run", config_of(tmp_path / "run")), "checkpoint")


def test_an_uncaught_exception_is_the_platforms_failure(fuxian, monkeypatch):
    from fuxian.papers import find

    def broken():
        raise ZeroDivisionError("nobody expects it")

    monkeypatch.setattr(find, "reproduced_papers", broken)
    code, out, err = fuxian("papers")
    assert (code, out) == (4, "")
    assert err.count("\n") == 1 and "ZeroDivisionError" in err and "defect of Fuxian" in err


def test_papers_lists_claims_with_the_newest_verdict(fuxian, tmp_path, smoke):
    code, out, _ = fuxian("papers", "--json")
    (maml,) = [paper for paper in json.loads(out)["papers"] if paper["id"] == "maml"]
    claims = {claim["claim"]: claim for claim in maml["claims"]}
    assert set(claims) == {"sinusoid-10shot", "omniglot-5way-1shot", "omniglot-5way-5shot"}
    one_shot = claims["omniglot-5way-1shot"]
    assert (one_shot["published"], one_shot["target"], one_shot["margin"]) == (0.987, 0.987, 0.004)
    assert code == 0 and one_shot["last_verdict"] == "accepted", "of the weights that lie in the repository"
    run = tmp_path / "runs" / "a"
    run.mkdir(parents=True)
    verdict = json.loads(smoke.stdout) | {"claim": "omniglot-5way-1shot", "verdict": "inconclusive"}
    (run / "verdict.json").write_text(json.dumps(verdict))
    papers = json.loads(fuxian("papers", "--json")[1])["papers"]
    (maml,) = [paper for paper in papers if paper["id"] == "maml"]
    assert [claim["last_verdict"] for claim in maml["claims"]] == ["accepted", "inconclusive", None]
    assert "omniglot-5way-1shot" in fuxian("papers")[1]


@pytest.mark.parametrize("name", ["papers", "reproduce", "train", "evaluate"])
def test_help_shows_an_example(fuxian, name):
    code, out, _ = fuxian(name, "--help")
    assert code == 0 and f"fuxian {name}" in out and "Example" in out


def test_a_folder_of_ones_own_is_reproduced_as_a_paper_of_ours(fuxian, tmp_path, monkeypatch):
    example = Path(__file__).parents[2] / "examples" / "port_a_paper"
    monkeypatch.chdir(example.parent)
    few = ("--seeds", 1, "--iterations", 20, "--json")
    code, out, err = fuxian("reproduce", "./port_a_paper", *few)
    document = json.loads(out)
    assert code in (1, 3), err
    assert (document["paper"], document["claim"]) == ("texture-net", "textures")
    run = Path(document["run"])
    config = json.loads((run / "config.json").read_text())
    assert config["folder"] == str(example)
    assert config["command"].startswith("fuxian reproduce port_a_paper/textures")
    code, out, err = fuxian("reproduce", "--resume", run, "--json")
    assert json.loads(out)["measured"] == document["measured"], err
    (weights,) = run.glob("checkpoints/step_00000020/model.safetensors")
    _, out, _ = fuxian("evaluate", "./port_a_paper/textures", "--weights", weights, "--json")
    assert json.loads(out)["measured"]["value"] == document["measured"]["value"]
    code, out, _ = fuxian("train", "./port_a_paper", "--set", "width=3", *few)
    assert code == 2 and "no setting 'width'; " in json.loads(out)["error"]
    assert fuxian("train", "./port_a_paper", "--set", "width", *few)[0] == 2


def test_processes_that_cannot_share_a_batch_say_so(fuxian):
    code, out, err = fuxian(
        "train", "maml/sinusoid-10shot", "--processes", "3", "--iterations", "2", "--json"
    )
    assert code == 2 and "Traceback" not in err
    assert "a multiple of 3" in json.loads(out)["error"]
