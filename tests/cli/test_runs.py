"""``fuxian runs`` and ``compare``: what was run, and what differs; ``fuxian.load`` and the model card."""

import json
import re

import pytest

from fuxian.errors import InputError

SINUSOID = "maml/sinusoid-10shot"


@pytest.fixture
def two_runs(fuxian, sinusoid, tmp_path):
    """Two short trainings that differ in one setting."""
    made = []
    for gradients in ("second-order", "first-order"):
        arguments = ("--seeds", 1, "--iterations", 6, "--set", f"gradients={gradients}", "--json")
        made.append(json.loads(fuxian("train", SINUSOID, *arguments)[1])["run"])
    return made


def test_runs_are_listed_and_put_on_a_page(fuxian, two_runs, tmp_path):
    code, out, _ = fuxian("runs", "--json")
    document = json.loads(out)
    assert code == 0
    assert {row["claim"] for row in document["runs"]} == {SINUSOID}
    assert {row["verdict"] for row in document["runs"]} == {"no_verdict"}
    assert all(row["state"] == "stopped at step 6 of 6" for row in document["runs"])
    page = (tmp_path / "runs/index.html").read_text(encoding="utf-8")
    assert page.count("<tr>") == 3 and "<script" not in page
    code, out, _ = fuxian("runs")
    assert all(row["run"] in out for row in document["runs"]), "a run's name is to be copied"
    code, out, _ = fuxian("runs", "--lang", "zh")
    assert "未判定" in out
    assert 'lang="zh-CN"' in (tmp_path / "runs/index.html").read_text(encoding="utf-8")


def test_without_runs_the_first_one_is_named(fuxian):
    code, out, _ = fuxian("runs")
    assert code == 0 and "reproduce maml/sinusoid-10shot --quick" in out


def test_what_differs_is_shown_with_both_curves(fuxian, two_runs, tmp_path):
    page = tmp_path / "both.html"
    code, out, _ = fuxian("compare", *two_runs, "--page", page, "--json")
    document = json.loads(out)
    assert code == 0
    differing = {one["where"]: (one["first"], one["second"]) for one in document["differences"]}
    assert differing["config: settings.gradients"] == ("second-order", "first-order")
    assert "config: iterations" not in differing
    text = page.read_text(encoding="utf-8")
    labels = re.findall(r'aria-label="([^"]*loss over step[^"]*)"', text)
    assert labels and all(run.rsplit("/", 1)[1] in labels[0] for run in two_runs)
    code, out, _ = fuxian("compare", two_runs[0], two_runs[0])
    assert code == 0 and "Nothing differs" in out


def test_no_run_folder_is_one_sentence(fuxian, tmp_path, two_runs):
    code, _, err = fuxian("compare", two_runs[0], tmp_path / "nowhere")
    assert code == 2 and err.count("\n") == 1 and "nowhere" in err


def test_a_card_says_what_the_model_reached_and_how_to_use_it(fuxian):
    code, out, _ = fuxian("papers", "maml/omniglot-5way-1shot")
    assert code == 0
    for words in (
        "99.23 %",
        "accepted",
        "98.70 %",
        "sha256",
        'fuxian.load("maml/omniglot-5way-1shot")',
        "MIT",
    ):
        assert words in out
    code, out, _ = fuxian("papers", "maml/omniglot-5way-5shot", "--json")
    assert code == 0 and "not ruled on" in json.loads(out)["card"]


def test_a_model_is_loaded_in_one_line(tmp_path):
    import fuxian

    loaded = fuxian.load("maml/omniglot-5way-1shot")
    assert not loaded.model.training
    assert loaded.card.startswith("# maml/omniglot-5way-1shot")
    assert sum(parameter.size for parameter in loaded.model.parameters()) > 100_000
    with pytest.raises(InputError, match="has no option stride"):
        loaded.predict(tmp_path, tmp_path / "out", stride=1)
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError, match="no weights"):
        fuxian.load("maml/omniglot-5way-5shot")


def test_a_loaded_model_predicts_on_data_of_ones_own(sinusoid, tmp_path):
    import fuxian

    loaded = fuxian.load(sinusoid[0], sinusoid[2])
    found = loaded.predict(tmp_path, tmp_path / "found")
    assert len(found.rows) == 2
    assert all(view.is_file() for view in found.views)
