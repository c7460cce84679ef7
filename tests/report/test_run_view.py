import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fuxian.errors import InputError
from fuxian.report.run_view import read_log, read_run

MakeRun = Callable[..., Path]


def test_reads_every_file(make_run: MakeRun) -> None:
    run = read_run(make_run(seed=3, log=True))
    assert (run.paper, run.claim, run.seed, run.name) == ("maml", "sinusoid-10shot", 3, "sinusoid-10shot-3")
    assert run.log is not None and run.log[-1].step == 2000
    assert run.log[-1].loss is not None and run.log[-1].eval == {"mse": 0.6}
    assert run.measurements is not None and [one.value for one in run.measurements.runs] == [
        0.40,
        0.41,
        0.405,
    ]
    assert run.verdict is not None and run.verdict.measured.n == 3


@pytest.mark.parametrize("name", ["config", "environment", "measurements", "verdict"])
def test_a_missing_file_is_none(make_run: MakeRun, name: str) -> None:
    folder = make_run()
    (folder / f"{name}.json").unlink()
    assert getattr(read_run(folder), name) is None


def test_a_missing_log_is_none(make_run: MakeRun) -> None:
    folder = make_run()
    (folder / "log.jsonl").unlink()
    assert read_run(folder).log is None


@pytest.mark.parametrize("torn", [b'{"step": 3, "lo', b'{"step": 3, "note": "\xe6\x8d', b"\x00\x00"])
def test_a_torn_last_line_is_ignored(tmp_path: Path, torn: bytes) -> None:
    log = tmp_path / "log.jsonl"
    log.write_bytes(b'{"step": 1, "loss": 2.0}\n{"step": 2, "loss": 1.5}\n' + torn)
    assert [entry.step for entry in read_log(log) or []] == [1, 2]


def test_a_whole_last_line_counts_without_its_newline(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_bytes(b'{"step": 1, "loss": 2.0}')
    assert [entry.loss for entry in read_log(log) or []] == [2.0]


def test_a_bad_line_inside_is_named(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_bytes(b'{"step": 1}\n{"step": 2, "lo\n{"step": 3}\n')
    with pytest.raises(InputError, match=r"log\.jsonl, line 2 is not JSON"):
        read_log(log)
    log.write_bytes(b'{"step": 1}\n{"step": 2, "loss": "low"}\n')
    with pytest.raises(InputError, match=r"log\.jsonl, line 2: loss: "):
        read_log(log)


def test_lines_of_one_step_are_joined_and_the_later_field_holds(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_bytes(
        b'{"step": 2, "loss": 9, "lr": 0.1}\n{"step": 1}\n'
        b'{"step": 2, "loss": 3}\n{"step": 2, "eval": {"a": 1}}\n'
    )
    entries = read_log(log) or []
    assert [entry.step for entry in entries] == [1, 2]
    assert (entries[1].loss, entries[1].lr, entries[1].eval) == (3, 0.1, {"a": 1})


@pytest.mark.parametrize("name", ["config", "environment", "measurements", "verdict"])
@pytest.mark.parametrize("text", ["{", "[1]", "[" * 100_000])
def test_a_file_that_is_no_json_object_is_named(make_run: MakeRun, name: str, text: str) -> None:
    folder = make_run()
    (folder / f"{name}.json").write_text(text)
    with pytest.raises(InputError, match=rf"{name}\.json"):
        read_run(folder)


@pytest.mark.parametrize(
    ("name", "change", "field"),
    [
        ("verdict", {"verdict": "splendid"}, "verdict: "),
        ("verdict", {"measured": {"value": "high", "n": 1}}, r"measured\.value: "),
        ("verdict", {"target": float("nan")}, "target: "),
        ("measurements", {"runs": [{"value": 1}]}, r"runs\.0\.seed: "),
        ("measurements", {"scope": "large"}, "scope: "),
    ],
)
def test_a_wrong_field_is_named(make_run: MakeRun, name: str, change: dict, field: str) -> None:
    path = make_run() / f"{name}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match=rf"{name}\.json: {field}"):
        read_run(path.parent)


def test_curves_of_unequal_length_are_refused(make_run: MakeRun) -> None:
    folder = make_run(curves={"MAML": {"x": [1, 2], "y": [1]}})
    with pytest.raises(InputError, match=r"measurements\.json: curves\.MAML: .*differ in length"):
        read_run(folder)


def test_an_empty_folder_is_no_run_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a run folder"):
        read_run(tmp_path / "nothing")


def test_files_of_different_claims_are_refused(make_run: MakeRun) -> None:
    folder = make_run()
    config = json.loads((folder / "config.json").read_text()) | {"claim": "omniglot-small"}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"config\.json says maml/omniglot-small"):
        read_run(folder)


@pytest.mark.parametrize(("claim", "bounds_contain"), [("sinusoid-10shot", 0.405), ("omniglot-small", 0.96)])
def test_the_tests_bounds_are_given_as_figures(make_run: MakeRun, claim: str, bounds_contain: float) -> None:
    values = (0.40, 0.41, 0.405) if claim == "sinusoid-10shot" else (1.0, 0.9, 1.0, 0.94)
    verdict = read_run(make_run(claim, values)).verdict
    assert verdict is not None and verdict.bounds is not None
    low, high = verdict.bounds
    assert low < bounds_contain < high
    assert verdict.edge == pytest.approx(0.43 if claim == "sinusoid-10shot" else 0.94)
