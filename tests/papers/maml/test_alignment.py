"""The port against the PyTorch reference as recorded in the paper's folder: no PyTorch is needed."""

from __future__ import annotations

import pytest

import fuxian
from fuxian.align.stages import STAGES
from fuxian.papers.find import find_claim


@pytest.mark.parametrize("name", ["maml/sinusoid-10shot", "maml/omniglot-5way-1shot"])
def test_every_stage_aligns_with_the_recording(name):
    folder, claim = find_claim(name)
    recorded = folder.paper.folder / "reference" / "recordings" / claim.id
    alignment = fuxian.align(folder.aligned(claim.id), str(recorded))
    assert alignment.verdict == "aligned"
    assert {stage.stage: stage.verdict for stage in alignment.stages} == dict.fromkeys(STAGES, "aligned")
