"""The port beside its PyTorch counterpart, through align. ``coco-r50`` takes minutes: `fuxian align run` has it."""

import pytest

import fuxian
from fuxian.papers.sparse_rcnn import recipe


def test_every_stage_that_is_given_aligns():
    pytest.importorskip("torch", reason="the counterpart runs in PyTorch, which is not installed")
    from fuxian.papers.sparse_rcnn.reference import recipe as reference

    alignment = fuxian.align(recipe.aligned("bccd"), reference.aligned("bccd"))
    found = {stage.stage: stage.verdict for stage in alignment.stages}
    assert alignment.verdict == "aligned", found
    assert set(found.values()) <= {"aligned", "not given"}
    assert {found[name] for name in ("forward", "loss", "backward", "optimizer", "training_steps")} == {
        "aligned"
    }
