"""fuxian.toml: what it may say, and that nothing in it leads out of the folder."""

import json
import tomllib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuxian.errors import InputError
from fuxian.submission.manifest import load_manifest

RECIPE = 'paper = "maml"\nclaims = ["sinusoid-10shot"]\nrecipe = "recipe.py"\n'


def manifest_with(folder: Path, text: str):
    folder.mkdir(exist_ok=True, parents=True)
    (folder / "fuxian.toml").write_text(text, encoding="utf-8")
    return load_manifest(folder)


def refused(folder: Path, text: str) -> str:
    with pytest.raises(InputError) as caught:
        manifest_with(folder, text)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_repository_is_described_without_changing_its_code(submission):
    manifest = load_manifest(submission)
    assert manifest.claim().id == "top1"
    assert manifest.arguments("train", out="/o", steps=3) == [
        "python", "tools/train.py", "--seed", "7", "--steps=3", "-o", "/o",
    ]  # fmt: skip
    assert manifest.arguments("evaluate", out="/o")[-1] == "weights/best.safetensors"
    assert manifest.seconds("train") == 300
    assert manifest.seconds("evaluate") == 3600


def test_three_lines_are_enough_for_a_recipe(tmp_path):
    manifest = manifest_with(tmp_path, RECIPE)
    assert set(manifest.commands) == {"train", "evaluate", "predict", "export", "infer"}
    assert manifest.metric.file == "measurements.json"
    assert manifest.checkpoint_of(manifest.claim()) == "weights/sinusoid-10shot.safetensors"
    assert "--recipe=recipe.py" in manifest.arguments("train", out="o")


def test_a_command_of_the_file_wins_over_the_recipes(tmp_path):
    manifest = manifest_with(tmp_path, RECIPE + '[commands]\ntrain = ["python", "mine.py"]\n')
    assert manifest.commands["train"].run == ("python", "mine.py")
    assert "predict" in manifest.commands


def test_an_empty_list_takes_a_command_out(tmp_path):
    manifest = manifest_with(tmp_path, RECIPE + "[commands]\nexport = []\n")
    assert set(manifest.commands) == {"train", "evaluate", "predict", "infer"}
    assert "evaluate is missing" in refused(tmp_path, RECIPE + "[commands]\nevaluate = []\n")


def test_placeholders_are_replaced_once(submission, edit):
    """A value that looks like a placeholder is not replaced again."""
    edit("fuxian.toml", '"{checkpoint}"', '"{checkpoint}", "{other}"')
    made = load_manifest(submission).arguments("evaluate", out="{seed}", checkpoint="{out}")
    assert made[-2:] == ["{out}", "{other}"]


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ('python", "tools/eval.py"', 'python", 3, "tools/eval.py"', 32, "evaluate"),
        (
            '["python", "tools/eval.py", "--weights", "{checkpoint}"]',
            '"python tools/eval.py"',
            32,
            "no shell",
        ),
        ("minutes = 5", "minutes = -5", 31, "greater than 0"),
        ("minutes = 5", "minutes = 5, shell = true", 31, "not a known field"),
        ('"logs/train.log"', '"../train.log"', 39, "leads out"),
        ('"logs/train.log"', '"/etc/passwd"', 39, "relative"),
        ('"weights/best.safetensors"', '"C:/best"', 3, "relative"),
        ('"weights/best.safetensors"', '"a\\\\..\\\\..\\\\b"', 3, "leads out"),
        ('claims = ["top1"]', 'claims = ["top5"]', 1, "no claim 'top5'"),
        ("(?P<accuracy>[0-9.]+)", "([0-9.]+)", 35, "named groups"),
        ("(?P<accuracy>[0-9.]+)", "(?P<accuracy>[0-9.]+", 35, "no regular expression"),
        ("margin = 0.05", "margin = -1", 25, "margin"),
        ('id = "mixer"', 'id = "Mixer!"', 6, "paper.id"),
        ("evaluate = [", "evaluat = [", 32, "commands"),
        ("seed = 7", "sed = 7", 40, "not a known field"),
    ],
)
def test_one_sentence_names_file_line_and_field(submission, edit, old, new, line, says):
    edit("fuxian.toml", old, new)
    message = refused(submission, (submission / "fuxian.toml").read_text())
    assert f"fuxian.toml, line {line}: " in message
    assert says in message


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("paper = 3\nrecipe = 'r.py'", "paper"),
        ("recipe = 'r.py'", "paper"),
        ("paper = 'no-such-paper'\nrecipe = 'r.py'", "no-such-paper"),
        ("paper = '../paper.toml'\nrecipe = 'r.py'", "leads out"),
        (RECIPE + "folder = '/'", "folder"),
        (RECIPE + "[[claim]]\nid = 'x'", "[paper]"),
        ("[paper]\nid = 'x'", "[[claim]]"),
        ("paper = 'maml'\nclaims = ['sinusoid-10shot']", "commands"),
        (RECIPE + "[metric]\nfile = 'm.json'\npattern = '(?P<a>x)'", "one of the two"),
        (RECIPE + "[[waive]]\nid = 'tipc'\nreason = 'no'", "waive"),
        ("a = [[" * 2000, "TOML"),
        ('paper = "maml\nrecipe', "line 1"),
        (RECIPE + "commands = 3", "commands"),
        ("paper = 'maml'\nclaims = 3\nrecipe = 'r.py'", "claims"),
    ],
)
def test_bad_files(tmp_path, text, says):
    assert says in refused(tmp_path, text)


def test_missing_large_and_linked_files(tmp_path):
    with pytest.raises(InputError, match=r"there is no fuxian\.toml"):
        load_manifest(tmp_path)
    assert "at most" in refused(tmp_path, "#" * 1_000_001)
    (tmp_path / "fuxian.toml").unlink()
    (tmp_path / "fuxian.toml").symlink_to("/etc/passwd")
    with pytest.raises(InputError, match="link"):
        load_manifest(tmp_path)


def test_a_link_that_leads_out_is_refused(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    (tmp_path / "secret").write_text("x")
    (folder / "log").symlink_to(tmp_path / "secret")
    text = RECIPE + '[log]\nfile = "log"\n'
    assert "leads out" in refused(folder, text)
    (folder / "log").unlink()
    (folder / "log").symlink_to("log")
    assert "log" in refused(folder, text)


def test_a_path_does_not_even_step_out_and_back(tmp_path):
    assert "leads out" in refused(tmp_path, RECIPE + '[log]\nfile = "logs/../log"\n')


def test_a_claims_path_that_leads_out_is_refused_when_it_is_used(tmp_path):
    manifest = manifest_with(tmp_path, RECIPE)
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights/sinusoid-10shot.safetensors").symlink_to("/etc/passwd")
    with pytest.raises(InputError, match="leads out"):
        manifest.checkpoint_of(manifest.claim())


paths = st.lists(st.sampled_from(["..", ".", "a", "b", "", "~", "c\x00", "\\", "C:"]), max_size=6).map(
    "/".join
)


@given(path=paths)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_path_leads_out(tmp_path, path):
    text = RECIPE + f"[log]\nfile = {json.dumps(path)}\n"
    folder = tmp_path / "in"
    try:
        manifest = manifest_with(folder, text)
    except InputError:
        return
    where = (folder / manifest.log_of(manifest.claim())).resolve()
    assert where.is_relative_to(folder.resolve())


values = st.recursive(
    st.one_of(st.text(max_size=8), st.integers(-5, 5), st.booleans(), st.floats(allow_nan=False)),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)
keys = st.sampled_from(
    ["paper", "claims", "recipe", "licence", "data", "metric", "log", "team", "waive", "commands", "x"]
)


@given(fields=st.dictionaries(keys, values, max_size=5))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nothing_but_a_manifest_or_a_sentence(tmp_path, fields):
    text = "".join(f"{key} = {json.dumps(value)}\n" for key, value in fields.items())
    try:
        tomllib.loads(text)
        manifest = manifest_with(tmp_path, text)
    except (InputError, tomllib.TOMLDecodeError) as error:
        assert "\n" not in str(error) or isinstance(error, tomllib.TOMLDecodeError)
        return
    assert manifest.claims


def test_logs_without_pairs_are_read_by_a_pattern():
    from fuxian.submission.log_lines import parse_log_lines, read_log_lines
    from fuxian.submission.manifest import TrainingLogFile

    pattern = (
        r"epoch (?P<epoch>\d+) batch (?P<step>\d+)/\d+ loss (?P<loss>[0-9.]+)(?: acc (?P<metric>[0-9.]+))?"
    )
    log = TrainingLogFile.model_construct(file="log", format="text", names={}, pattern=pattern)
    text = "starting\nepoch 2 batch 30/99 loss 0.5125\nepoch 3 batch 1/99 loss 0.4 acc 0.75\n"
    first, second = read_log_lines(text, log, "accuracy")
    assert (first.number, first.epoch, first.step, first.metric) == (2, 2, 30, None)
    assert (first.fields["loss"].value, first.fields["loss"].half_digit) == (0.5125, pytest.approx(5e-5))
    assert second.metric == 0.75
    assert parse_log_lines(text, log, "accuracy", "the log") == [first, second]


@pytest.mark.parametrize("pattern", ["loss (?P<lost>x)", "loss", "(?P<loss"])
def test_patterns_of_a_log_that_cannot_serve(pattern):
    from fuxian.submission.output_pattern import check_log_pattern

    with pytest.raises(ValueError, match=r"fields of a log|RE2"):
        check_log_pattern(pattern)
