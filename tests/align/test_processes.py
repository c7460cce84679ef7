"""Judging and naming what several processes did, from runs made by hand; the command's own test launches processes."""

import numpy as np
import pytest

from fuxian.align.processes.causes import Evidence, diagnose
from fuxian.align.processes.draws import JointDraws, SharedDraws
from fuxian.align.processes.judge import NUDGE, Together, judge_all
from fuxian.align.processes.run import Run, Step, Way

OWN = (np.array([1.0, 2.0]), np.array([3.0, 6.0]))
MEAN = np.array([2.0, 4.0])
STAGES = ("initialisation", "train_data", "loss", "backward", "learning_rate", "training_steps")


def batch(*labels):
    return {"inputs": (np.array(labels, "float32"),), "targets": (np.array(labels),)}


def did(own, used, *, loss=1.0, rate=0.1, initial=0.0, moved=None, drawn=(0, 1, 2, 3), outside=None):
    after = initial - rate * used if moved is None else moved
    parameters = {"w": after, **({} if outside is None else {"main.parameter1": outside})}
    step = Step({"total": loss}, {"w": own}, {"w": used}, {"main": rate}, parameters, {})
    return Run(drawn=[batch(*drawn)], begins=[True], initial={"w": np.full(2, initial)}, steps=[step])


def shares(**options):
    """Two processes as they should be, but for what ``options`` says of the first, the second, or both."""
    both = []
    for rank in (0, 1):
        given = {"own": OWN[rank], "used": MEAN, "drawn": ((0, 1), (2, 3))[rank]}
        both.append(did(**given | {name: value[rank] for name, value in options.items()}))
    return both


def said(shares, joint=None, apart=None, raw=MEAN):
    """The first stage that differs and the cause, or None."""
    joint = joint or did(MEAN, MEAN)
    together = Together(shares, joint, joint, NUDGE)
    alone = apart or [did(OWN[0], OWN[0]), did(OWN[1], OWN[1])]

    def run(way: Way) -> Run:
        return did(raw, raw) if way.raw else alone[way.loss_of if way.share is None else way.share]

    first = next((result for result in judge_all(together, STAGES) if result.verdict == "diverged"), None)
    if first is None:
        return None
    found = diagnose(first, first.differing[0].reference_name, Evidence(together, run, Way()))
    return first.stage, found.cause, found.certainty


def test_two_processes_that_average_are_one():
    assert said(shares()) is None


@pytest.mark.parametrize(
    ("used", "cause"),
    [
        (OWN, "gradients_not_averaged"),
        ((2 * MEAN, 2 * MEAN), "gradients_summed"),
        ((MEAN / 2, MEAN / 2), "gradients_averaged_twice"),
        ((MEAN * 1.1, MEAN * 1.1), "unknown"),
    ],
)
def test_gradients(used, cause):
    certainty = "unknown" if cause == "unknown" else "proven"
    assert said(shares(used=used)) == ("backward", cause, certainty)


def test_gradients_clipped_before_they_are_averaged():
    clipped = [own.clip(None, 2.5) for own in OWN]
    mean = np.mean(clipped, 0)
    joint = did(MEAN.clip(None, 2.5), MEAN.clip(None, 2.5))
    found = said(shares(own=clipped, used=(mean, mean)), joint)
    assert found == ("backward", "clipping_before_averaging", "proven")


@pytest.mark.parametrize(
    ("losses", "apart", "joint", "cause"),
    [
        ((1.0, 3.0), (1.0, 3.0), 4.0, "loss_summed"),
        ((0.5, 1.5), (1.0, 3.0), 2.0, "loss_scale"),
        ((2.0, 6.0), (1.0, 3.0), 2.0, "loss_scale"),
        ((1.0, 3.0), (1.0, 3.0), 1.9, "examples_coupled"),
        ((1.1, 3.2), (1.0, 3.0), 2.0, "unknown"),
    ],
)
def test_losses(losses, apart, joint, cause):
    alone = [did(own, own, loss=loss) for own, loss in zip(OWN, apart, strict=True)]
    assert said(shares(loss=losses), did(MEAN, MEAN, loss=joint), alone)[:2] == ("loss", cause)


def test_a_loss_that_each_share_divides_by_its_own_count():
    weights = (0.25, 0.75)
    joint = weights[0] * OWN[0] + weights[1] * OWN[1]
    own = (OWN[0], OWN[1] + np.array([1.0, 0.0]))
    joint = weights[0] * own[0] + weights[1] * own[1]
    alone = [did(one, one, loss=loss) for one, loss in zip(own, (1.0, 3.0), strict=True)]
    found = said(shares(loss=(1.0, 3.0), own=own), did(joint, joint, loss=2.5), alone)
    assert found == ("loss", "loss_normaliser", "proven")


@pytest.mark.parametrize(
    ("drawn", "cause"),
    [
        (((0, 1), (0, 1)), "sampler_same_examples"),
        (((0, 1), (2,)), "sampler_drops"),
        (((0, 1), (0, 2, 3)), "sampler_pads"),
        (((0, 1), (8, 9)), "sampler_unseeded"),
    ],
)
def test_examples(drawn, cause):
    assert said(shares(drawn=drawn))[:2] == ("train_data", cause)


def test_shares_may_be_taken_in_any_order():
    assert said(shares(drawn=((0, 2), (3, 1)))) is None


def test_weights_rates_and_what_only_the_optimizer_holds():
    assert said(shares(initial=(0.0, 0.5)))[:2] == ("initialisation", "weights_per_process")
    assert said(shares(rate=(0.2, 0.2)))[:2] == ("learning_rate", "learning_rate")
    joint = did(MEAN, MEAN, outside=MEAN)
    found = said(shares(outside=OWN), joint)
    assert found == ("training_steps", "gradients_not_averaged", "surmised")


@pytest.mark.parametrize("shape", [(8, 3), (5, 8, 2), (8,)])
def test_processes_draw_parts_of_one_draw(shape):
    joint = JointDraws(1, 2)
    whole, fixed, order = joint.uniform(shape), joint.normal((3,)), joint.permutation(8)
    axis = shape.index(8)
    parts = []
    for rank in (0, 1):
        share = SharedDraws(1, 2, rank, joint.noted)
        parts.append(
            share.uniform([size // 2 if place == axis else size for place, size in enumerate(shape)])
        )
        np.testing.assert_array_equal(share.normal((3,)), fixed)
        np.testing.assert_array_equal(share.permutation(4), order[rank * 4 : rank * 4 + 4] - rank * 4)
    np.testing.assert_array_equal(np.concatenate(parts, axis), whole)
    assert sorted(order) == list(range(8))
