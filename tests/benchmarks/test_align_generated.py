"""A few of the generated pairs: the faithful ones are aligned, planted mistakes are found. The benchmark runs more."""

import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the reference's side of each pair is torch")
sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import align_generated as generated


@pytest.mark.parametrize("number", [8, 9, 10, 11])
def test_a_faithful_pair_is_aligned(number):
    assert generated.answer(generated.draw(number))["verdict"] == "aligned"


@pytest.mark.parametrize("number", [4, 5, 6, 7])
def test_a_planted_mistake_is_found_placed_and_named(number):
    spec = generated.draw(number)
    found = generated.answer(spec, *generated.plant(spec))
    assert (found["verdict"], found["right_place"], found["right_cause"]) == ("diverged", True, True)


def test_a_pair_is_made_from_its_number_alone():
    assert generated.draw(17) == generated.draw(17)
    assert generated.draw(17) != generated.draw(20)
