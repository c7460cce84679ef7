"""The catalogue of port bugs, checked without the engine: faithful pairs agree, planted bugs show.

A sample of it, one faithful pair and some bugs of each architecture; `benchmarks/port_bugs.py --check` takes all.
"""

import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the reference's side of each pair is torch")
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

from fuxian.align import STAGES  # noqa: E402
from fuxian.align.causes import CAUSES  # noqa: E402
from port_bugs.catalogue import ARCHITECTURES, BUGS, FAITHFUL, Bug, Faithful  # noqa: E402
from port_bugs.measure import complaint  # noqa: E402
from port_bugs.tools import Answer, ask  # noqa: E402

NAMED = {case.name: case for case in [*FAITHFUL, *BUGS]}
SAMPLE = [
    "cnn-functional-style",
    "cnn-compat-linear",
    "mobilenet-faithful",
    "vit-separate-against-fused-attention",
    "transformer-additive-mask",
    "lstm-built-in-cell",
    "unet-layers-only",
    "detector-other-definition-order",
    "ctr-pair-by-pair",
    "sr-shared-blocks",
    "maml-convolution-as-matmul",
    "cnn-bn-momentum",
    "cnn-no-shuffle",
    "cnn-init-fan-out",
    "mobilenet-relu6",
    "vit-clip-by-group",
    "vit-warmup",
    "transformer-memory-detached",
    "lstm-gate-order",
    "unet-ignored-as-background",
    "detector-huber",
    "ctr-cross-transposed",
    "sr-in-place",
    "maml-silent-first-order",
]


def test_catalogue_is_as_large_as_promised():
    assert len({bug.mistake for bug in BUGS}) >= 60
    assert len({bug.architecture for bug in BUGS}) >= 8
    assert len(FAITHFUL) >= 24
    assert len(NAMED) == len(BUGS) + len(FAITHFUL)
    assert {case.architecture for case in FAITHFUL} == set(ARCHITECTURES)


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_answers_use_the_documented_words(bug):
    assert bug.mistake
    assert bug.stages
    assert bug.stages <= set(STAGES)
    assert bug.places
    assert bug.causes
    assert bug.causes <= set(CAUSES) - {"unknown"}


@pytest.mark.parametrize("name", SAMPLE)
def test_pair_does_what_the_catalogue_says(name):
    assert complaint(NAMED[name]) is None


def test_check_sees_a_bug_in_a_pair_called_faithful():
    bug = NAMED["ctr-cross-transposed"]
    said = complaint(Faithful("wrongly faithful", bug.architecture, bug.change))
    assert said is not None
    assert "forward" in said


def test_check_sees_a_bug_that_changes_nothing():
    said = complaint(
        Bug("harmless", "ctr", {}, {}, frozenset({"forward"}), frozenset({""}), frozenset({"axis"}))
    )
    assert said == "changes nothing"


def test_place_counts_in_an_expected_stage_only():
    bug = NAMED["cnn-bn-epsilon"]
    assert Answer(True, "forward", "block2.bn", "epsilon").right_place(bug)
    assert not Answer(True, "forward", "block2.conv", "epsilon").right_place(bug)
    assert not Answer(True, "loss", "block2.bn", "epsilon").right_place(bug)
    assert not Answer(False, "forward", "block2.bn", "epsilon").right_place(bug)
    assert Answer(True, "forward", "block1.bn", "epsilon").right_cause(bug)
    assert not Answer(True, "forward", "block2.bn", "padding").right_cause(bug)


def test_a_tool_that_fails_has_alarmed():
    def broken(case):
        raise RuntimeError("no kernel")

    answer = ask(broken, NAMED["cnn-faithful"])
    assert answer.alarm
    assert "no kernel" in answer.note
