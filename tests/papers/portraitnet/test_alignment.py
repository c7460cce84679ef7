"""The port beside its PyTorch counterpart, through align; `fuxian align run` of both entries has every stage."""

from __future__ import annotations

import pytest

import fuxian
from fuxian.papers.portraitnet import recipe


@pytest.mark.parametrize(
    ("entry", "stages"),
    [("training", ("loss", "backward", "training_mode")), ("testing", ("eval_data", "forward", "metric"))],
)
def test_the_stages_align(entry, stages):
    pytest.importorskip("torch", reason="the counterpart runs in PyTorch, which is not installed")
    from fuxian.papers.portraitnet.reference import recipe as reference

    alignment = fuxian.align(recipe.aligned(entry), reference.aligned(entry), stages=stages)
    assert alignment.verdict == "aligned"
    assert {stage.stage: stage.verdict for stage in alignment.stages} == dict.fromkeys(stages, "aligned")
