"""The chain of checkpoints: what does not belong together is found, and drawn intervals must come out bit for bit."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from fuxian.training import chain as chains
from fuxian.training.exact_roots import fingerprint
from fuxian.verify import intervals, training
from fuxian.verify.intervals import check_chain, read_log_chain, replay_intervals
from fuxian.verify.reasons import Failed, Reason
from fuxian.weights import load_tensors, save_tensors

STEPS = (10, 20, 30, 40)
SEED = 3


def write_checkpoint(folder, step):
    """The state after a step of a training that adds the seed at each."""
    place = folder / f"step_{step:08d}"
    place.mkdir(parents=True)
    save_tensors(place / "model.safetensors", {"w": np.full(4, SEED * step, np.float32)})
    save_tensors(place / "optimizer.main.safetensors", {"w/moment": np.full(4, step, np.float32)})
    (place / "state.json").write_text(json.dumps({"step": step, "schedules": {}}))
    return place


@pytest.fixture
def submission(tmp_path):
    """A submission's folder with weights, log and kept checkpoints, the log's lines, and the scene around it."""
    folder = tmp_path / "work"
    places = {step: write_checkpoint(folder / "checkpoints", step) for step in (0, *STEPS)}
    links = [chains.first_link(SEED, "portable", chains.stored_digest(places[0]))]
    for step in STEPS:
        links.append(chains.next_link(links[-1], step, chains.stored_digest(places[step])))
    shutil.rmtree(places[0])  # what a training starts from is not kept
    shutil.copy(places[40] / "model.safetensors", folder / "weights.safetensors")
    lines = [{"step": link.step, **link.as_dict()} for link in links]
    lines[0] |= {"seed": SEED, "numeric_mode": "portable", "roots": fingerprint()}
    lines.insert(1, {"step": 1, "loss": 2.0})
    place = tmp_path / "runs"
    place.mkdir()
    manifest = SimpleNamespace(
        folder=folder,
        recipe="recipe.py",
        log=SimpleNamespace(format="jsonl"),
        log_of=lambda claim: "log.jsonl",
        checkpoints_of=lambda claim: "checkpoints",
        checkpoint_of=lambda claim: "weights.safetensors",
    )
    claim = SimpleNamespace(
        id="c", iterations=40, seeds=(SEED,), checkpoint="last", metric="accuracy", direction="higher"
    )
    at = SimpleNamespace(manifest=manifest, claim=claim, place=place, done=[])
    terms = SimpleNamespace(claim=claim, seeds=())
    write_log(folder, lines)
    return SimpleNamespace(folder=folder, at=at, terms=terms, lines=lines, claim=claim)


def write_log(folder, lines):
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def checked(submission):
    return check_chain(submission.at, submission.terms, read_log_chain(submission.at))


def test_an_honest_chain_is_whole(submission):
    assert list(checked(submission)) == list(STEPS)
    submission.lines[0].pop("chain")
    write_log(submission.folder, [line for line in submission.lines if "chain" not in line])
    assert read_log_chain(submission.at) is None


@pytest.mark.parametrize(
    ("spoil", "reason", "says"),
    [
        (lambda s: s.lines[2].update(state="0" * 64), Reason.REPLAY_MISMATCH, "broken"),
        (lambda s: s.lines[0].update(seed=4), Reason.REPLAY_MISMATCH, "broken"),
        (lambda s: s.lines.pop(), Reason.REPLAY_MISMATCH, "from step 0 to 30"),
        (lambda s: setattr(s.terms, "seeds", (7,)), Reason.CLAIM, "seed is 3"),
        (
            lambda s: save_tensors(
                s.folder / "checkpoints/step_00000020/model.safetensors", {"w": np.zeros(4, np.float32)}
            ),
            Reason.REPLAY_MISMATCH,
            "step 20",
        ),
        (
            lambda s: save_tensors(s.folder / "weights.safetensors", {"w": np.zeros(4, np.float32)}),
            Reason.REPLAY_MISMATCH,
            "submitted weights",
        ),
    ],
)
def test_what_does_not_belong_together_is_found(submission, spoil, reason, says):
    spoil(submission)
    write_log(submission.folder, submission.lines)
    with pytest.raises(Failed, match=says) as error:
        checked(submission)
    assert error.value.reason is reason


@pytest.fixture
def replays(submission, monkeypatch):
    """Runs the training that was logged, but for the steps that were invented."""
    asked = []
    invented = set()

    def run_command(at, name, label, *, checkpoint, arguments, **_):
        until = next(int(word.partition("=")[2]) for word in arguments if word.startswith("--until="))
        begin = json.loads((checkpoint / "state.json").read_text())["step"] if checkpoint else 0
        asked.append((begin, until))
        made = at.place / f"made-{len(asked)}"
        out = made / "out"
        out.mkdir(parents=True)
        if until == 0:
            write_log(out, submission.lines[:1])
        else:
            place = write_checkpoint(out / "checkpoints", until)
            if until in invented:
                save_tensors(place / "model.safetensors", {"w": np.ones(4, np.float32)})
        return SimpleNamespace(made=made)

    monkeypatch.setattr(intervals, "run_command", run_command)

    def go(count, seed=0):
        chain = read_log_chain(submission.at)
        return replay_intervals(submission.at, chain, checked(submission), count, seed)

    return SimpleNamespace(go=go, asked=asked, invented=invented)


def test_drawn_intervals_are_replayed_and_the_chance_is_said(replays):
    done = replays.go(2)
    assert (done.more["intervals"], done.more["chance"]) == (4, 0.5)
    assert [list(one) for one in replays.asked if one != (0, 0)] == done.more["replayed"]
    # What the seed starts from is looked at even where the first interval was not drawn.
    assert replays.asked[0][0] == 0
    assert {tuple(map(tuple, replays.go(2, seed).more["replayed"])) for seed in range(20)} != {
        tuple(map(tuple, done.more["replayed"]))
    }


@pytest.mark.parametrize("kept", [(10, 20, 30), ()])
def test_the_interval_into_a_last_checkpoint_that_was_not_kept_is_always_replayed(submission, replays, kept):
    for step in set(STEPS) - set(kept):
        shutil.rmtree(submission.folder / f"checkpoints/step_{step:08d}")
    for seed in range(5):
        done = replays.go(1, seed)
        assert [max(kept, default=0), 40] in done.more["replayed"]
    assert done.more["chance"] == 1 / (len(kept) + 1)
    halved = {"w": np.full(4, SEED * 40, np.float16)}
    save_tensors(submission.folder / "weights.safetensors", halved)
    assert replays.go(2).status == "pass", "weights may be handed in as float16"
    save_tensors(submission.folder / "weights.safetensors", {"w": halved["w"] + 1})
    with pytest.raises(Failed, match="submitted weights") as error:
        replays.go(1)
    assert error.value.reason is Reason.REPLAY_MISMATCH


def test_the_best_evaluations_weights_are_tied_to_its_step(submission, replays):
    submission.claim.checkpoint = "best-on-validation"
    write_log(submission.folder, submission.lines)
    with pytest.raises(Failed, match="no checkpoint of its best accuracy"):
        replays.go(1)
    for step, accuracy in ((10, 0.5), (20, 0.9), (30, 0.9), (40, 0.8)):
        submission.lines.append({"step": step, "eval": {"accuracy": accuracy}})
    write_log(submission.folder, submission.lines)
    with pytest.raises(Failed, match="submitted weights"):
        replays.go(1)
    shutil.copy(
        submission.folder / "checkpoints/step_00000020/model.safetensors",
        submission.folder / "weights.safetensors",
    )
    assert replays.go(1).status == "pass"
    shutil.rmtree(submission.folder / "checkpoints/step_00000020")
    assert all([10, 20] in replays.go(1, seed).more["replayed"] for seed in range(5))


def test_an_invented_interval_is_caught_as_often_as_is_said(replays):
    replays.invented.add(30)
    caught = 0
    for seed in range(40):
        try:
            replays.go(1, seed)
        except Failed as error:
            assert error.reason is Reason.REPLAY_MISMATCH
            caught += 1
    assert 2 <= caught <= 20  # 10 of 40 are expected
    with pytest.raises(Failed):
        replays.go(4)


def keep_too(submission, steps):
    """Keeps more checkpoints, each with its link."""
    for step in steps:
        write_checkpoint(submission.folder / "checkpoints", step)
    states = {
        int(place.name[5:]): chains.stored_digest(place)
        for place in sorted((submission.folder / "checkpoints").iterdir())
    }
    links = [chains.first_link(SEED, "portable", submission.lines[0]["state"])]
    for step in sorted(states):
        links.append(chains.next_link(links[-1], step, states[step]))
    lines = [{"step": link.step, **link.as_dict()} for link in links]
    write_log(
        submission.folder,
        [lines[0] | {"seed": SEED, "numeric_mode": "portable", "roots": fingerprint()}, *lines[1:]],
    )


def test_a_long_interval_is_not_hidden_among_many_short_ones(submission, replays):
    keep_too(submission, range(31, 40))
    for step in (10, 20):
        shutil.rmtree(submission.folder / f"checkpoints/step_{step:08d}")
    replays.invented.add(30)  # 30 of the 40 steps, in one of eleven intervals
    caught = 0
    for seed in range(20):
        try:
            replays.go(1, seed)
        except Failed:
            caught += 1
    assert caught >= 10


def test_weights_that_were_put_in_between_are_looked_at_first(submission, replays):
    file = submission.folder / "checkpoints/step_00000030/model.safetensors"
    save_tensors(file, {"w": np.full(4, 500, np.float32)})
    keep_too(submission, ())
    for seed in range(5):
        with pytest.raises(Failed, match=r"to step (30|40) does not arrive"):
            replays.go(1, seed)


def test_the_fast_mode_shows_nothing_where_it_does_not_come_out(submission, replays):
    links = [chains.first_link(SEED, "fast", submission.lines[0]["state"])]
    for line in submission.lines[2:]:
        links.append(chains.next_link(links[-1], line["step"], line["state"]))
    lines = [{"step": link.step, **link.as_dict()} for link in links]
    write_log(submission.folder, [lines[0] | {"seed": SEED, "numeric_mode": "fast"}, *lines[1:]])
    replays.go(4)
    replays.invented.add(20)
    with pytest.raises(Failed, match="--reproducible") as error:
        replays.go(4)
    assert error.value.reason is Reason.NOT_SHOWN


def standard_of(verdict, ruled):
    """What the training's outcome is held to; ``ruled`` keeps the weights that were ruled on."""

    def rule(file):
        ruled.append(load_tensors(file)["w"].tolist())
        return SimpleNamespace(verdict=verdict, value=0.9)

    return training.Standard(lambda file: 0.9, SimpleNamespace(), (), rule)


def test_a_portable_training_that_does_not_come_out_on_a_processor_like_its_own_is_turned_away(
    submission, replays
):
    submission.lines[0]["roots"] = fingerprint()
    write_log(submission.folder, submission.lines)
    replays.invented.add(40)
    submission.terms.intervals = 4
    chain = read_log_chain(submission.at)
    with pytest.raises(Failed) as error:
        training.chained(submission.at, submission.terms, chain, 0, standard_of("accepted", []))
    assert error.value.reason is Reason.REPLAY_MISMATCH


@pytest.mark.parametrize("roots", ["0123abcd", "", None])
def test_a_training_whose_processor_took_other_roots_is_made_again_whole(
    submission, replays, monkeypatch, roots
):
    """Its bits need not come out here; what does is ruled on."""
    monkeypatch.setattr(training, "logged_cost", lambda at: 0.1)
    submission.lines[0]["roots"] = roots
    write_log(submission.folder, submission.lines)
    replays.invented.add(40)
    submission.terms.intervals, ruled = 4, []

    def go(verdict):
        chain = read_log_chain(submission.at)
        return training.chained(submission.at, submission.terms, chain, 0, standard_of(verdict, ruled))

    made = go("accepted")
    assert made.status == "pass"
    assert ruled == [[1.0] * 4]
    assert "trained again here from seed 3, all of its 40 steps" in made.detail
    assert replays.asked[-1] == (0, 40)
    for verdict, reason in (("rejected", Reason.NOT_SHOWN), ("inconclusive", Reason.UNDECIDED)):
        with pytest.raises(Failed, match=f"gives 0.9, which is {verdict}") as error:
            go(verdict)
        assert error.value.reason is reason
    monkeypatch.setattr(training, "logged_cost", lambda at: 600.0)
    long = go("accepted")
    assert (long.status, "about 400 minutes" in long.detail) == ("not_applicable", True)
    for cost in (float("inf"), float("nan")):
        monkeypatch.setattr(training, "logged_cost", lambda at, cost=cost: cost)
        assert go("accepted").status == "not_applicable"


def test_a_training_in_the_fast_mode_is_made_again_where_it_does_not_come_out(
    submission, replays, monkeypatch
):
    monkeypatch.setattr(training, "logged_cost", lambda at: 0.1)
    links = [chains.first_link(SEED, "fast", submission.lines[0]["state"])]
    for line in submission.lines[2:]:
        links.append(chains.next_link(links[-1], line["step"], line["state"]))
    lines = [{"step": link.step, **link.as_dict()} for link in links]
    write_log(submission.folder, [lines[0] | {"seed": SEED, "numeric_mode": "fast"}, *lines[1:]])
    submission.terms.intervals, ruled = 4, []
    chain = read_log_chain(submission.at)
    standard = standard_of("accepted", ruled)
    assert training.chained(submission.at, submission.terms, chain, 0, standard).more["chance"] == 1.0
    replays.invented.add(20)
    made = training.chained(submission.at, submission.terms, chain, 0, standard)
    assert ("--reproducible; trained again here" in made.detail, len(ruled)) == (True, 1)
