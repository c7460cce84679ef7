"""`fuxian describe`: a manifest for a repository that has none."""

import tomllib

import pytest

from fuxian.errors import InputError
from fuxian.submission.checklist import check_manifest
from fuxian.submission.describe import WITHOUT, describe, undescribed
from fuxian.submission.manifest import load_manifest


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "Their Repo"
    (folder / "tools").mkdir(parents=True)
    (folder / "train.py").write_text("parser.add_argument('--seed')\nparser.add_argument('--weights')\n")
    (folder / "tools/eval.py").write_text("parser.add_argument('--checkpoint', type=str)\n")
    (folder / "requirements.txt").write_text("paddlepaddle\n")
    (folder / "best.pdparams").write_bytes(b"\x80\x04}." + bytes(200))
    (folder / "train_log.txt").write_text("epoch 1 loss 0.5\n")
    return folder


def test_what_the_files_show_is_written(repository):
    made = describe(repository)
    text = tomllib.loads((repository / "fuxian.toml").read_text())
    assert text["commands"] == {
        "train": ["python", "train.py", "--seed", "{seed}"],
        "evaluate": ["python", "tools/eval.py", "--checkpoint", "{checkpoint}"],
    }
    assert (text["checkpoint"], text["log"]["file"]) == ("best.pdparams", "train_log.txt")
    assert text["paper"]["id"] == "their-repo"
    assert "target" in " ".join(made["filled_in"])
    with pytest.raises(InputError, match="nothing to reach"):
        load_manifest(repository)
    filled = (
        (repository / "fuxian.toml").read_text().replace("# target", "target").replace("# margin", "margin")
    )
    (repository / "fuxian.toml").write_text(filled)
    assert load_manifest(repository).claim().target == 0.9


def test_no_manifest_is_said_and_the_lines_that_need_none_are_checked(repository):
    with pytest.raises(InputError, match="fuxian describe"):
        load_manifest(repository)
    findings = {one.id: one.status for one in check_manifest(undescribed(repository), WITHOUT)}
    assert findings.keys() == WITHOUT
    assert (findings["requirements"], findings["licence"]) == ("pass", "fail")


def test_programs_are_found_by_a_word_of_their_name(repository):
    (repository / "tools/eval.py").rename(repository / "Flow_test.py")
    describe(repository)
    text = tomllib.loads((repository / "fuxian.toml").read_text())
    assert text["commands"]["evaluate"][:2] == ["python", "Flow_test.py"]


def test_helpers_and_what_an_editor_kept_are_not_taken(repository):
    (repository / "tools/eval.py").rename(repository / "tools/run_test_net.py")
    (repository / "tools/eval_utils.py").write_text("")
    (repository / "extract_valid_patches.py").write_text("")
    (repository / ".ipynb_checkpoints").mkdir()
    (repository / "train_log.txt").rename(repository / ".ipynb_checkpoints/a_train.log")
    (repository / "x_train.log").write_text("loss 0.5\n")
    describe(repository)
    text = tomllib.loads((repository / "fuxian.toml").read_text())
    assert text["commands"]["evaluate"][:2] == ["python", "tools/run_test_net.py"]
    assert text["log"]["file"] == "x_train.log"


def test_weights_may_be_a_pickle(repository):
    (repository / "best.pdparams").rename(repository / "data.pkl")
    assert describe(repository)["found"]["checkpoint"] is None
    (repository / "fuxian.toml").unlink()
    (repository / "model").mkdir()
    (repository / "data.pkl").rename(repository / "model/5way.pkl")
    assert describe(repository)["found"]["checkpoint"] == "model/5way.pkl"


def test_what_cannot_be_described_is_one_sentence(repository, tmp_path):
    describe(repository)
    with pytest.raises(InputError, match="there already"):
        describe(repository)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no program looks like an evaluation"):
        describe(tmp_path / "empty")


def test_a_file_that_only_defines_is_no_program(repository):
    """As in public ports: eval.py defines what main.py runs, and the folder of the alignment has tests of parts."""
    (repository / "tools/eval.py").write_text(
        '"""Evaluation."""\nimport sys\n\n\ndef evaluate(model):\n    pass\n'
    )
    (repository / "alignment").mkdir()
    (repository / "alignment/01_test_forward.py").write_text("compare()\n")
    with pytest.raises(InputError, match="no program looks like an evaluation"):
        describe(repository)
    (repository / "main_informer.py").write_text("if __name__ == '__main__':\n    main()\n")
    describe(repository)
    text = tomllib.loads((repository / "fuxian.toml").read_text())
    assert text["commands"]["evaluate"] == ["python", "main_informer.py"]


def test_a_shell_script_names_the_command(repository):
    (repository / "tools/eval.py").unlink()
    (repository / "scripts").mkdir()
    (repository / "scripts/eval.sh").write_text(
        "cd $(dirname $0)/..\npython missing.py\npython train.py $1\n"
        "python3 train.py --test-only \\\n  --batch 8 # all\n"
    )
    describe(repository)
    text = tomllib.loads((repository / "fuxian.toml").read_text())
    assert text["commands"]["evaluate"] == ["python", "train.py", "--test-only", "--batch", "8"]


def test_weights_that_were_not_uploaded_are_not_taken(repository):
    (repository / "best.pdparams").write_bytes(b"\n")
    describe(repository)
    assert "checkpoint" not in tomllib.loads((repository / "fuxian.toml").read_text())
