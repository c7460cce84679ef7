"""What a newcomer types first, and what is said where a path or a data set is at fault."""

import json

import pytest

from fuxian import __version__
from fuxian.cli.commands import built
from fuxian.cli.main import app
from fuxian.datasets import catalogue
from fuxian.datasets.catalogue import CATALOGUE
from fuxian.papers.find import reproduced_papers


def test_fuxian_alone_says_what_to_type_first(fuxian):
    code, out, err = fuxian()
    assert (code, err) == (0, "")
    assert "reproduce maml/sinusoid-10shot --quick" in out
    assert "fuxian --help" in out


def test_the_version(fuxian):
    code, out, _ = fuxian("--version")
    assert code == 0 and out.startswith(f"fuxian {__version__} (PaddlePaddle 3.")


def test_a_group_alone_names_its_commands(fuxian):
    code, out, err = fuxian("data")
    assert code == 2 and "path" in out
    assert err == "fuxian: name one of these commands (see --help)\n"


def commands(group, before=()):
    yield before
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, (*before, name))


def test_the_help_of_every_command_is_shown_and_gives_flags_no_type(capfd):
    root = built(app)
    every = list(commands(root))
    assert ("align", "run") in every and len(every) > 40
    for words in every:
        root([*words, "--help"], prog_name="fuxian", standalone_mode=False)
        out, _ = capfd.readouterr()
        # `predict` and `export` show their options with the paper's own.
        assert "Usage: fuxian" in out, words
        assert "<bool>" not in out, words


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("fuxian evaluate maml/omniglot-5way-1", "maml/omniglot-5way-1shot"),
        ("fuxian data get omni", "omniglot"),
        ("fuxian repro", "reproduce"),
    ],
)
def test_the_shell_completes_commands_claims_and_data_sets(fuxian, monkeypatch, words, completed):
    monkeypatch.setenv("_FUXIAN_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
    assert fuxian()[1].split() == [completed]


def test_verbose_shows_the_trace(fuxian, monkeypatch):
    monkeypatch.delenv("FUXIAN_TRACEBACK", raising=False)
    _, _, err = fuxian("new", "/proc/nowhere/demo")
    assert "Traceback" not in err
    monkeypatch.setenv("FUXIAN_TRACEBACK", "")  # so that it is unset again afterwards
    code, _, err = fuxian("--verbose", "new", "/proc/nowhere/demo")
    assert code == 2 and "Traceback" in err


def test_a_place_where_nothing_can_be_written_is_bad_input(fuxian):
    code, out, err = fuxian("new", "/proc/nowhere/demo")
    assert (code, out) == (2, "")
    assert err.startswith("fuxian: /proc/nowhere") and "give another one" in err
    assert "internal error" not in err


def test_a_picture_that_is_none_is_said_without_an_address(fuxian, tmp_path, sinusoid):
    for label in "abcde":
        (tmp_path / "task/support" / label).mkdir(parents=True)
        (tmp_path / "task/support" / label / "one.png").write_bytes(b"no picture")
    (tmp_path / "task/query").mkdir()
    (tmp_path / "task/query/one.png").write_bytes(b"no picture")
    arguments = ("maml/omniglot-5way-1shot", tmp_path / "task", "--out", tmp_path / "found")
    code, _, err = fuxian("predict", *arguments)
    assert code == 2 and "one.png" in err
    assert "BytesIO" not in err and "0x" not in err


def test_a_damaged_data_set_exits_with_1(fuxian, tmp_path, monkeypatch):
    monkeypatch.setenv("FUXIAN_DATA", str(tmp_path))
    assert fuxian("data", "list")[0] == 0, "absent data sets are no failure"
    file = CATALOGUE["omniglot"].files[0]
    (tmp_path / "omniglot").mkdir()
    (tmp_path / "omniglot" / file.name).write_bytes(b"half an archive")
    assert catalogue.state(file, tmp_path / "omniglot") == "damaged"
    code, out, err = fuxian("data", "list", "--json")
    assert code == 1
    assert {row["name"]: row["state"] for row in json.loads(out)["datasets"]}["omniglot"] == "damaged"
    assert "data get omniglot" in err


def test_papers_shows_the_verdicts_that_its_weights_got(fuxian):
    """In a fresh folder, without any run."""
    code, out, _ = fuxian("papers", "--json")
    assert code == 0
    claims = {
        f"{paper['id']}/{claim['claim']}": claim
        for paper in json.loads(out)["papers"]
        for claim in paper["claims"]
    }
    assert claims["maml/omniglot-5way-1shot"]["last_verdict"] == "accepted"
    sinusoid = claims["maml/sinusoid-10shot"]
    assert sinusoid["target"] == pytest.approx(0.3854, abs=1e-3)
    assert sinusoid["target_from"] == "reference runs"
    assert all(claim["target"] is not None for claim in claims.values())


def test_every_shipped_verdict_belongs_to_a_claim_as_it_is_now():
    from fuxian.papers.verdict_file import shipped_verdict

    found = 0
    for folder in reproduced_papers():
        for file in folder.paper.folder.glob("weights/*.verdict.json"):
            claim = folder.paper.claim(file.name.removesuffix(".verdict.json"))
            assert shipped_verdict(folder.paper, claim) is not None, f"rule on {file} again"
            found += 1
    assert found
