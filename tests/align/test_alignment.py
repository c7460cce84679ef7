"""The whole comparison on a small pair, live and from recordings, faithful and with planted mistakes."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="live references need torch: pip install 'fuxian[reference]'")
sys.path.insert(0, str(Path(__file__).parent))

import pairs

from fuxian.align import align, assert_aligned
from fuxian.align.alignment import compare_recordings, result_json
from fuxian.align.causes import CAUSES
from fuxian.align.record import record
from fuxian.align.recording import Recording
from fuxian.align.report import write_report
from fuxian.errors import InputError


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recorded") / "reference"
    record(pairs.reference(), folder)
    return Recording(folder)


def compared(reference, folder, **mistake):
    record(pairs.port(**mistake), folder, inputs=reference)
    return compare_recordings(Recording(folder), reference, diagnosed=False)


def test_a_faithful_port_is_aligned_on_every_stage(reference, tmp_path):
    alignment = compared(reference, tmp_path / "port")
    verdicts = {result.stage: result.verdict for result in alignment.stages}
    assert verdicts.pop("higher_order") == "not given"
    assert set(verdicts.values()) == {"aligned"}
    assert alignment.verdict == "aligned"
    assert alignment.first is None


def test_a_batch_norm_that_is_called_twice_a_step_moves_its_variance_twice(tmp_path):
    def twice(recipe):
        return replace(recipe, forward=lambda model, inputs: model(inputs[0]) + model(0.5 * inputs[0]))

    record(twice(pairs.reference()), tmp_path / "reference")
    reference = Recording(tmp_path / "reference")
    for momentum, verdict in ((0.9, "aligned"), (0.8, "diverged")):
        record(twice(pairs.port(momentum=momentum)), tmp_path / verdict, inputs=reference)
        found = compare_recordings(Recording(tmp_path / verdict), reference, diagnosed=False)
        stages = {result.stage: result.verdict for result in found.stages}
        assert stages["training_mode"] == stages["training_steps"] == verdict


@pytest.mark.parametrize(
    ("mistake", "stage", "place"),
    [
        ({"epsilon": 1e-3}, "forward", "bn"),
        ({"approximate": True}, "forward", ""),
        ({"relu": False}, "forward", ""),
        ({"transposed": True}, "forward", ""),
        ({"detached": True}, "backward", ""),
        ({"rate": 0.1}, "training_mode", "drop"),
        ({"momentum": 0.1}, "training_mode", "bn"),
        ({"smoothing": 0.1}, "loss", "loss"),
        ({"nan": True}, "loss", "loss"),
        ({"decay": 0.01}, "optimizer", "optimizer"),
        ({"beta2": 0.99}, "optimizer", "optimizer"),
        ({"gamma": 0.1}, "learning_rate", "optimizer"),
        ({"seed": 3}, "eval_data", "inputs.0"),
    ],
)
def test_a_mistake_is_found_at_its_place(reference, tmp_path, mistake, stage, place):
    alignment = compared(reference, tmp_path / "port", **mistake)
    assert alignment.verdict == "diverged"
    assert (alignment.first.stage, alignment.first.place) == (stage, place)


def test_a_missing_part_is_not_given_and_never_passed(reference, tmp_path):
    from dataclasses import replace

    record(replace(pairs.port(), metric=None), tmp_path / "port", inputs=reference)
    alignment = compare_recordings(Recording(tmp_path / "port"), reference, diagnosed=False)
    assert alignment.stage("metric").verdict == "not given"


def test_a_port_that_fails_diverges_with_its_message(reference, tmp_path):
    from dataclasses import replace

    def forward(model, inputs):
        return model(inputs[0][:, :2])

    record(replace(pairs.port(), forward=forward), tmp_path / "port", inputs=reference)
    alignment = compare_recordings(Recording(tmp_path / "port"), reference, diagnosed=False)
    assert alignment.first.kind == "error"
    assert alignment.first.place == "conv"


def test_recordings_of_other_weights_are_refused(reference, tmp_path):
    record(pairs.port(), tmp_path / "port", inputs=reference, stages=("forward",))
    path = tmp_path / "port" / "recording.json"
    data = json.loads(path.read_text())
    data["hashes"]["weights"] = "0" * 64
    path.write_text(json.dumps(data))
    with pytest.raises(InputError, match="other weights"):
        compare_recordings(Recording(tmp_path / "port"), reference)
    with pytest.raises(InputError, match="own weights"):
        compare_recordings(reference, reference)


def test_a_small_recording_serves_as_the_reference(tmp_path):
    record(pairs.reference(), tmp_path / "small", small=True, stages=("forward", "backward"))
    small = Recording(tmp_path / "small")
    for mistake, verdict in (({}, "aligned"), ({"epsilon": 1e-3}, "diverged")):
        record(pairs.port(**mistake), tmp_path / verdict, inputs=small, stages=("forward", "backward"))
        assert compare_recordings(Recording(tmp_path / verdict), small, diagnosed=False).verdict == verdict


@pytest.mark.parametrize(("mistake", "verdict"), [({}, "aligned"), ({"epsilon": 1.001e-5}, "diverged")])
def test_float32_is_told_from_rounding(mistake, verdict, tmp_path):
    stages = ("forward", "loss", "backward")
    record(pairs.reference(), tmp_path / "r", dtype="float64", stages=stages)
    reference = Recording(tmp_path / "r")
    record(pairs.port(**mistake), tmp_path / "p", inputs=reference, stages=stages)
    assert compare_recordings(Recording(tmp_path / "p"), reference, diagnosed=False).verdict == verdict


def test_a_live_run_in_float32_with_report_and_json(tmp_path):
    alignment = align(pairs.port(epsilon=1e-2), pairs.reference(), dtype="float32", stages=("forward",))
    document = result_json(alignment)
    json.dumps(document, allow_nan=False)
    assert document["verdict"] == "diverged"
    assert document["first_divergence"]["place"] == "bn"
    assert document["first_divergence"]["cause"] in CAUSES
    assert {"stage", "verdict", "max_error", "tolerance"} <= set(document["stages"][0])
    write_report(alignment, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    assert "<svg" in text
    assert "http" not in text.replace("http://www.w3.org", "")  # names of SVG, not links


def test_assert_aligned():
    assert_aligned(pairs.port(), pairs.reference(), stages=("forward",))
    with pytest.raises(AssertionError, match="bn"):
        assert_aligned(pairs.port(epsilon=1e-2), pairs.reference(), stages=("forward",))


def test_an_unknown_stage_is_bad_input():
    with pytest.raises(InputError, match="no stage"):
        align(pairs.port(), pairs.reference(), stages=("forwards",))
