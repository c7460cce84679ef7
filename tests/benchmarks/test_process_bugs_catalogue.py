"""The catalogue of data-parallel training's mistakes uses the documented words, and is as large as promised."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from fuxian.align.causes import CAUSES
from fuxian.align.processes.judge import JUDGES
from fuxian.recipe import load_recipe
from process_bugs.catalogue import BUGS, CASES, FAITHFUL


def test_answers_use_the_documented_words():
    assert len(BUGS) >= 10
    assert len(CASES) == len(BUGS) + len(FAITHFUL)
    for bug in BUGS:
        assert bug.stages
        assert bug.stages <= set(JUDGES)
        assert bug.causes
        assert bug.causes <= set(CAUSES) - {"unknown"}


def test_each_case_is_a_recipe_by_its_name():
    for name in CASES:
        assert load_recipe(f"process_bugs.catalogue:{name}").train_data is not None
