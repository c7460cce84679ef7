"""A ruling on the organiser's terms: only they count, and what was not shown rejects."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fuxian.errors import InputError
from fuxian.paper import load_paper
from fuxian.verify import ruling
from fuxian.verify.drawing import Draw, commitment
from fuxian.verify.examiner import draw_test
from fuxian.verify.intervals import Training
from fuxian.verify.reasons import Failed, Reason
from fuxian.verify.terms import STEPS, Terms, load_terms, same_claim
from fuxian.verify.verify import verify

ORGANISER = Path(__file__).with_name("organiser")
SECRET = bytes(range(32))
LENIENT = tuple(step for step in STEPS if step != "training")
"""The toy logs no chain of checkpoints."""


def terms_of(**changes):
    made = load_terms(str(ORGANISER / "paper.toml"))
    changed = made.model_copy(update={"must_pass": LENIENT, **changes})
    changed._folder = changed._place = ORGANISER
    return changed


def edit(file, old, new):
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def steps_of(done):
    return {step.name: step.status for step in done.steps}


@pytest.fixture
def ruled(sandbox, toy, tmp_path):
    def go(submission=None, terms=None, **options):
        # So small a network shuffled may by chance do as well: the draw is the same each time.
        options.setdefault("secret", SECRET)
        return verify(str(submission or toy), tmp_path / "results", terms=terms or terms_of(), **options)

    return go


@pytest.fixture(scope="module")
def accepted_ruling(sandbox, trained, tmp_path_factory):
    place = tmp_path_factory.mktemp("ruled")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FUXIAN_CONFIG", str(place / "keys"))
        return verify(str(trained), place / "results", terms=terms_of(), secret=SECRET)


def test_honest_work_is_accepted_on_a_drawn_test(accepted_ruling):
    done = accepted_ruling
    assert (done.verdict, done.reason, done.rung) == ("accepted", Reason.OK, 3), done.detail
    document = json.loads(json.dumps(done.as_dict(), allow_nan=False))
    assert (document["use"], document["final"], document["attempt_counts"]) == ("ruling", True, True)
    assert "not applicable: training" in document["headline"]
    assert document["measured"]["how"] == "predictions scored by the organiser"
    assert document["measured"]["labels"] == "drawn by the organiser"
    assert done.measured.measurements.runs[0].examples is not None
    assert len(done.measured.measurements.runs[0].examples) == 2000
    control = next(step for step in document["checks"] if step["name"] == "control")
    assert set(control["values"]) == {"shuffled", "fresh", "nudged"}


def test_the_draw_is_opened_and_anyone_draws_the_same(accepted_ruling):
    told = accepted_ruling.as_dict()["draw"]
    assert told["commitment"] == commitment(SECRET)
    again = Draw.from_dict(told)
    assert again.seed("test") == told["seed"]
    assert Draw(SECRET, again.commit, 2).seed("test") != told["seed"]
    with pytest.raises(InputError, match="not the one that was committed to"):
        Draw.from_dict({**told, "secret": bytes(32).hex()})


def test_no_run_that_scores_can_be_told_from_another(accepted_ruling):
    runs = [one for one in accepted_ruling.commands if one.name.startswith("run-")]
    predicting = [one for one in runs if any("predict.py" in word for word in one.outcome.command)]
    assert (
        len(predicting) == 7 + 1
    )  # four parts of the test, three controls; and what the training starts from
    assert len({one.outcome.command for one in predicting}) == 1


def test_default_terms_want_the_training_shown(ruled):
    done = ruled(terms=terms_of(must_pass=STEPS))
    assert (done.verdict, done.reason) == ("rejected", Reason.NOT_SHOWN)
    assert "training" in done.detail


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [("target = 0.9\n", "target = 0.1\n", "target"), ('dataset = "Blobs"', 'dataset = "Others"', "dataset")],
)
def test_another_claim_of_the_same_id_is_another_claim(toy, ruled, old, new, field):
    edit(toy / "fuxian.toml", old, new)
    done = ruled()
    assert (done.verdict, done.reason, done.commands) == ("rejected", Reason.CLAIM, [])
    assert field in done.detail


def test_without_weights_nothing_is_run(toy, ruled):
    (toy / "weights/model.npz").unlink()
    done = ruled()
    assert (done.verdict, done.reason, done.commands) == ("rejected", Reason.NO_WEIGHTS, [])


def test_what_the_submission_waives_does_not_count(toy, ruled):
    (toy / "LICENSE").unlink()
    with (toy / "fuxian.toml").open("a") as file:
        file.write('\n[[waive]]\nid = "licence"\nreason = "does not apply to this one"\n')
    done = ruled()
    assert (done.verdict, done.reason) == ("rejected", Reason.LAYOUT)


def test_a_data_set_that_the_claim_does_not_need_is_not_given(toy, ruled, tmp_path, monkeypatch):
    (tmp_path / "data" / "held-labels").mkdir(parents=True)
    monkeypatch.setenv("FUXIAN_DATA", str(tmp_path / "data"))
    with (toy / "fuxian.toml").open("a") as file:
        file.write('\n[data]\nheld-labels = "labels"\n')
    done = ruled()
    assert (done.verdict, done.reason, done.commands) == ("rejected", Reason.LAYOUT, [])


@pytest.mark.parametrize("content", ["\udcff", "a = " + "1" * 5000, "paper = ["])
def test_what_cannot_be_read_rejects_with_evidence(toy, ruled, content):
    (toy / "fuxian.toml").write_bytes(content.encode("utf-8", "surrogateescape"))
    done = ruled()
    assert (done.verdict, done.reason) == ("rejected", Reason.MALFORMED)
    assert done.evidence.is_file()
    assert "/" not in done.detail.replace("fuxian.toml", "")


def test_a_remembered_test_does_not_help(toy, ruled):
    # The answers to the test split of old, whatever the inputs: right there, and nowhere else.
    edit(
        toy / "tools/predict.py",
        "logits(weights, x) for name",
        "np.eye(3)[draw(2, 2000)[1][: len(x)]] + 0 * weights['b'] for name",
    )
    done = ruled()
    assert (done.verdict, done.reason) == ("rejected", Reason.METRIC_SHORT)
    assert done.as_dict()["measured"]["value"] < 0.5


@pytest.mark.parametrize(
    "code",
    [
        # Answers from the inputs alone, with the weights read and left aside.
        "-((x[:, None] - np.array([[2.0, 0.0], [-1.0, 1.7], [-1.0, -1.7]])) ** 2).sum(2) for name",
        # Refuses to run where the weights are not the submitted ones.
        "logits(weights, x) if abs(weights['b'].sum()) < 1e-6 else 1 / 0 for name",
        # Answers from the inputs alone where the weights are the submitted ones, and from the weights where not.
        "(-((x[:, None] - np.array([[2.0, 0.0], [-1.0, 1.7], [-1.0, -1.7]])) ** 2).sum(2)"
        " if abs(weights['b'].sum()) < 1e-6 else logits({'w': -weights['w'], 'b': weights['b']}, x)) for name",
    ],
)
def test_figures_that_do_not_come_from_the_weights(toy, ruled, code):
    edit(toy / "tools/predict.py", "logits(weights, x) for name", code)
    done = ruled()
    assert (done.verdict, done.reason) == ("rejected", Reason.METRIC_FIXED)


def test_predictions_of_exactly_what_was_asked(toy, ruled):
    edit(toy / "tools/predict.py", "in batches.items()}", "in list(batches.items())[1:]} or {}")
    assert ruled().reason in {Reason.METRIC_INVALID, Reason.METRIC_MISSING}


def test_names_of_predictions_do_not_nest_without_end(toy, ruled):
    edit(toy / "tools/predict.py", 'f"{name}.0"', 'f"{name}" + ".a" * 20_000')
    done = ruled()
    assert (done.verdict, done.reason) == ("rejected", Reason.METRIC_INVALID), done.detail


def test_a_warm_start_is_rejected(toy, ruled):
    np.savez(toy / "tools/start.npz", **dict(np.load(toy / "weights/model.npz")))
    edit(
        toy / "tools/train.py",
        '{"w": np.random.default_rng(given.seed).normal(size=(2, 3)), "b": np.zeros(3)}',
        '{**np.load("tools/start.npz"), "e": np.random.default_rng(8).normal(size=(40, 3))}',
    )
    done = ruled()
    assert (done.verdict, done.reason) == ("rejected", Reason.WARM_START)


def test_a_procedure_is_trained_anew_from_drawn_seeds(toy, ruled, tmp_path):
    organiser = shutil.copytree(ORGANISER, tmp_path / "organiser")
    for file in (toy / "fuxian.toml", organiser / "paper.toml"):
        edit(file, 'subject = "weights"', 'subject = "procedure"')
        edit(file, "seeds = [3]", "seeds = [3, 4]")
        edit(file, "target = 0.9\n", "target = 0.8\n")
    (toy / "weights/model.npz").unlink()
    changed = load_terms(str(organiser / "paper.toml")).model_copy(update={"must_pass": LENIENT})
    changed._folder = changed._place = organiser
    done = ruled(terms=changed)
    assert (done.verdict, done.rung) == ("accepted", 3), done.detail
    seeds = [run.seed for run in done.measured.measurements.runs]
    assert len(seeds) == 2
    assert not {3, 4} & set(seeds)
    assert seeds == [done.draw.seed(f"training {number}") % 2**31 for number in range(2)]


def test_the_lowest_rung_is_the_terms(ruled):
    done = ruled(terms=terms_of(lowest_rung=1))
    assert (done.verdict, done.reason) == ("rejected", Reason.RUNG)
    assert "own model" in done.detail


@pytest.mark.parametrize(("units", "batches"), [(None, 4), (1, 1), (501, 2)])
def test_terms_say_how_many_units_are_drawn(tmp_path, units, batches):
    test = draw_test(terms_of(units=units), 5, tmp_path / "test")
    assert (test.batches, test.units) == (batches, 500 * batches)
    assert len(list(test.inputs.iterdir())) == batches


def test_the_same_seed_draws_the_same_test_and_too_small_a_test_is_said(tmp_path):
    drawn = [
        draw_test(terms_of(units=1), seed, tmp_path / str(number)) for number, seed in enumerate((5, 5, 6))
    ]
    contents = [np.load(test.inputs / "0000.npz")["inputs.0"].tobytes() for test in drawn]
    assert contents[0] == contents[1] != contents[2]
    with pytest.raises(InputError, match="2000 units"):
        draw_test(terms_of(units=9999), 5, tmp_path / "test")


def test_attempts_share_alpha(accepted_ruling):
    stored = replace(accepted_ruling, terms=terms_of(attempts=5))
    assert stored.terms.alpha_per_attempt == pytest.approx(0.01)
    assert stored.rule_again().gain_low < accepted_ruling.ruling.gain_low
    assert accepted_ruling.ruling.alpha == 0.05


def test_terms_are_read_from_a_file_and_from_names(tmp_path):
    shutil.copytree(ORGANISER, tmp_path / "paper")
    file = tmp_path / "terms.toml"
    file.write_text('paper = "paper"\nattempts = 2\nmust_pass = ["check"]\n[limits]\nminutes = 3\n')
    made = load_terms(str(file))
    assert (made.claim.id, made.alpha_per_attempt, made.limits.minutes) == ("the-blobs", 0.025, 3)
    assert made.paper_folder == tmp_path / "paper"
    named = load_terms("maml/omniglot-5way-1shot")
    assert (named.paper, named.must_pass, named.waive) == ("maml", STEPS, ())
    assert named.digest != made.digest


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('waive = ["pickles"]', "can be waived"),
        ('must_pass = ["luck"]', "must_pass"),
        ('claim = "other"', "other"),
        ('overlay = "nowhere"', "overlay"),
        ('known_weights = ["x.npz"]', "beside the terms"),
        ("alpha = 0.7", "alpha"),
        ('paper2 = "x"', "not a known field"),
    ],
)
def test_bad_terms_are_one_sentence_with_the_line(tmp_path, line, says):
    file = tmp_path / "terms.toml"
    file.write_text(f'paper = "maml"\n{line}\n')
    with pytest.raises(InputError, match=says) as error:
        load_terms(str(file))
    assert f"{file}, line 2" in str(error.value)


def test_a_claim_is_the_same_by_what_it_says():
    ours = load_paper(ORGANISER / "paper.toml").claims[0]
    renamed = ours.model_copy(update={"id": "x", "title": "y", "notes": "z", "log_every": 7})
    assert same_claim(ours, renamed) == []
    assert same_claim(ours, ours.model_copy(update={"margin": 0.5, "seeds": (9,)})) == ["margin", "seeds"]
    assert Terms.of_paper(load_paper(ORGANISER / "paper.toml"), ours).digest


@pytest.mark.parametrize(("shown", "verdict"), [("pass", "accepted"), ("not_applicable", "inconclusive")])
def test_losses_that_rounding_hides_matter_where_the_training_was_not_made_here(
    ruled, monkeypatch, shown, verdict
):
    def unstable(at, steps):
        raise Failed(Reason.REPLAY_UNSTABLE, "from step 2 on, rounding alone moves the loss.")

    monkeypatch.setattr(ruling, "replay_log", unstable)
    monkeypatch.setattr(ruling, "training", lambda *_: Training(shown, "as the test says"))
    done = ruled(terms=terms_of(must_pass=STEPS if shown == "pass" else LENIENT))
    assert done.verdict == verdict, done.detail
    assert steps_of(done)["replay"] == ("not_applicable" if shown == "pass" else "inconclusive")
