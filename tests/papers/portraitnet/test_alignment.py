"""The port beside its PyTorch counterpart, through align."""

from __future__ import annotations

import pytest

import fuxian
from fuxian.papers.portraitnet import recipe


@pytest.mark.parametrize("entry", recipe.ALIGN_ENTRIES)
def test_every_stage_that_is_given_aligns(entry):
    pytest.importorskip("torch", reason="the counterpart runs in PyTorch, which is not installed")
    from fuxian.papers.portraitnet.reference import recipe as reference

    alignment = fuxian.align(recipe.aligned(entry), reference.aligned(entry))
    assert alignment.verdict == "aligned"
    found = {stage.stage: stage.verdict for stage in alignment.stages}
    assert set(found.values()) <= {"aligned", "not given"}
    assert found["forward"] == "aligned"
    assert found["training_steps" if entry == "training" else "metric"] == "aligned"
