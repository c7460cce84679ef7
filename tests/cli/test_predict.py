import json

import pytest

from fuxian.papers.contract import PaperFolder, Prediction


def test_json_is_one_document_and_lies_in_the_folder_beside_what_there_is_to_see(fuxian, sinusoid, tmp_path):
    code, out, err = fuxian("predict", *sinusoid, tmp_path, "--steps", 2, "--json", "--out", tmp_path / "out")
    assert code == 0, err
    document = json.loads(out)
    files = document.pop("files")
    assert document == json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert (document["paper"], document["claim"], document["steps"]) == ("maml", "sinusoid-10shot", 2)
    assert document["weights"] == str(tmp_path / "weights.safetensors")
    assert [one["x"] for one in document["predictions"]] == [0.25, 2.0]
    assert document["views"] == [str(tmp_path / "out" / "predictions.png")]
    assert files == sorted(str(path) for path in (tmp_path / "out").iterdir())
    assert (tmp_path / "out" / "predictions.png").read_bytes().startswith(b"\x89PNG")


def test_the_table_has_a_line_for_each_prediction_and_says_where_to_look(fuxian, sinusoid, tmp_path):
    code, out, _ = fuxian("predict", *sinusoid, tmp_path, "--out", tmp_path / "out")
    assert code == 0
    for words in ("0.2500", "2.0000", f"Look at: {tmp_path / 'out' / 'predictions.png'}"):
        assert words in out


def test_names_are_printed_as_they_are_and_lists_are_counted(fuxian, sinusoid, tmp_path, monkeypatch):
    """Labels that look like rich's markup, or like a column of the table."""

    def predict(_folder, _claim, _path, _weights, out, options):
        assert options == {}
        (out / "view.html").write_text("<p>seen</p>")
        row = {
            "picture": "[bold]x.png",
            "label": "[red]",
            "probabilities": {"[red]": 0.75, "label": 0.25},
            "boxes": [[0, 0, 1, 1]] * 7,
        }
        return Prediction(rows=[row], views=[out / "view.html"])

    monkeypatch.setattr(PaperFolder, "predict", predict)
    words = fuxian("predict", *sinusoid, tmp_path, "--out", tmp_path / "out")[1].split()
    assert words.count("[red]") == 2
    assert words.count("label") == 2
    assert {"[bold]x.png", "0.7500", "0.2500", "7"} <= set(words)


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["maml", "{path}"], "--out DIR is missing"),
        (["maml"], "PATH is missing"),
        ([], "PAPER is missing"),
        (["{name}", "{path}/nowhere", "--out", "{path}/out"], "is not there; give maml/omniglot"),
        (["{name}", "{path}", "--out", "{path}"], "is there already"),
        (["{name}", "{path}", "--out", "{path}/no/out"], "cannot be made"),
        (["{name}", "{path}", "--out", "{path}/out", "--steps", "two"], "--steps"),
        (["{name}", "{path}", "--out", "{path}/out", "--stages", "2"], "--stages"),
        (["{name}", "{path}", "--out", "{path}/out", "--steps", "-2"], "--steps -2"),
        (["{name}", "{path}", "--out", "{path}/out"], "support.csv"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(fuxian, sinusoid, tmp_path, words, wanted):
    if wanted == "support.csv":
        (tmp_path / "support.csv").write_text("a,b\n")
    before = sorted(tmp_path.iterdir())
    arguments = [word.format(name="maml/sinusoid-10shot", path=tmp_path) for word in words]
    code, out, err = fuxian("predict", *arguments, "--weights", sinusoid[2], "--json")
    assert code == 2
    assert wanted in json.loads(out)["error"] and err.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


def test_the_help_says_what_the_paper_says(fuxian):
    code, out, _ = fuxian("predict", "maml", "--help")
    text = " ".join(out.replace("│", " ").split())
    assert code == 0
    for words in ("statistics of all query pictures together", "dark ink on light paper", "--steps INT"):
        assert words in text
    assert "Example: fuxian predict" in fuxian("predict", "--help")[1]


def test_the_papers_weights_are_used_where_no_others_are_given(fuxian, sinusoid, tmp_path, monkeypatch):
    monkeypatch.setattr(PaperFolder, "weights", lambda _folder, _name: sinusoid[2])
    _, out, _ = fuxian("predict", sinusoid[0], tmp_path, "--out", tmp_path / "out", "--json")
    assert json.loads(out)["weights"] == str(sinusoid[2])
