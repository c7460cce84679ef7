"""A training log that no training could have written."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuxian.submission.checklist import check
from fuxian.submission.checklist.training_log import NO_STEP, contradiction
from fuxian.submission.log_lines import read_log_lines
from fuxian.submission.manifest import TrainingLogFile
from fuxian.submission.official_log import official_log

TEXT = TrainingLogFile.model_construct(file="train.log", format="text", names={}, seed=None)
JSONL = TrainingLogFile.model_construct(file="log.jsonl", format="jsonl", names={}, seed=None)


def finding(folder, id):
    return next(line for line in check(folder) if line.id == id)


@st.composite
def trainings(draw):
    """Rows of log.jsonl as an honest training writes them."""
    batch = draw(st.integers(1, 2048))
    every = draw(st.integers(1, 50))
    rows, step = [], 0
    for cost in draw(st.lists(st.floats(1e-4, 10), min_size=4, max_size=25)):
        step += every
        share = draw(st.floats(0, 1))
        row = {"step": step, "loss": draw(st.floats(-10, 1e4)), "lr": 0.1}
        rows.append(row | {"reader_cost": cost * share, "batch_cost": cost, "ips": batch / cost})
        if draw(st.booleans()):
            rows.append({"step": step, "eval": {"accuracy": draw(st.floats(0, 1))}})
    return rows


def wrong_in(rows, form):
    text = official_log(rows) if form is TEXT else "".join(json.dumps(row) + "\n" for row in rows)
    return contradiction(read_log_lines(text, form, "accuracy"))


@pytest.mark.parametrize("form", [TEXT, JSONL], ids=["text", "jsonl"])
@given(rows=trainings())
@settings(max_examples=60, deadline=None)
def test_honest_logs_have_no_contradiction(form, rows):
    assert wrong_in(rows, form) is None


def training_rows(rows):
    return [row for row in rows if "loss" in row]


def repeat_a_step(rows):
    training_rows(rows)[2]["step"] = training_rows(rows)[1]["step"]


def go_back(rows):
    training_rows(rows)[3]["step"] = 0


def lose_it(rows):
    training_rows(rows)[1]["loss"] = float("nan")


def read_longer_than_the_step(rows):
    row = training_rows(rows)[1]
    row["reader_cost"] = 1.5 * row["batch_cost"]


def be_too_fast(rows):
    for row in training_rows(rows)[::2]:
        row["ips"] *= 1.5


def cost_less_than_nothing(rows):
    training_rows(rows)[0]["batch_cost"] *= -1


def take_ages(rows):
    for row in training_rows(rows):
        row["batch_cost"], row["ips"] = 1e8, 64e-8


FORGERIES = [
    repeat_a_step, go_back, lose_it, read_longer_than_the_step, be_too_fast, cost_less_than_nothing, take_ages,
]  # fmt: skip


@pytest.mark.parametrize("forge", FORGERIES)
@given(rows=trainings())
@settings(max_examples=25, deadline=None)
def test_forged_logs_contradict_themselves(forge, rows):
    forge(rows)
    assert wrong_in(rows, JSONL) is not None
    assert wrong_in(rows, TEXT) is not None


@given(text=st.text(max_size=300))
@settings(max_examples=100, deadline=None)
def test_any_text_is_read(text):
    for form in (TEXT, JSONL):
        contradiction(read_log_lines(text, form, "accuracy"))


def test_one_smaller_batch_is_no_contradiction():
    rows = [
        {"step": n, "loss": 1.0, "lr": 0.1, "reader_cost": 0.0, "batch_cost": 0.1, "ips": 640.0}
        for n in range(1, 31)
    ]
    rows[9]["ips"] = 130.0
    assert wrong_in(rows, JSONL) is None


def test_steps_may_start_anew_with_each_epoch():
    text = "".join(
        f"epoch: [{e}/2], iter: {i}, loss: 0.5, avg_reader_cost: 0.1 s, avg_batch_cost: 0.5 s, ips: 128.0\n"
        for e in (1, 2)
        for i in (10, 20)
    )
    assert contradiction(read_log_lines(text, TEXT, "accuracy")) is None
    assert contradiction(read_log_lines(text.replace("epoch: [2", "epoch: [1"), TEXT, "accuracy")) is not None


@pytest.mark.parametrize(
    ("line", "step", "epoch"),
    [
        (
            "epoch: [1/500], iter: 30, loss: 1.2, avg_reader_cost: 0.2 s, avg_batch_cost: 0.7 s, ips: 11.4",
            30,
            1,
        ),
        ("Epoch: [2] [ 20/100] learning_rate: 0.1 loss: 1.2 batch_cost: 0.7 data_cost: 0.2 ips: 11.4", 20, 2),
        (
            "[Train][Epoch 3/120][Iter: 7/100]lr: 0.1, loss: 1.2, batch_cost: 0.7s, reader_cost: 0.2, ips: 11.4",
            7,
            3,
        ),
        (
            "[TRAIN] epoch: 4, iter: 10/8000, loss: 1.2, batch_cost: 0.7, reader_cost: 0.2, ips: 11.4 | ETA 01:00",
            10,
            4,
        ),
        (
            "[Epoch 5, iter: 9] loss: 1.2, avg_reader_cost: 0.2 sec, avg_batch_cost: 0.7 sec, avg_ips: 11.4",
            9,
            5,
        ),
    ],
)
def test_the_forms_of_the_suites_are_read(line, step, epoch):
    (read,) = read_log_lines(line, TEXT, "accuracy")
    assert (read.step, read.epoch) == (step, epoch)
    assert {name: figure.value for name, figure in read.fields.items()} == {
        "loss": 1.2, "reader_cost": 0.2, "batch_cost": 0.7, "ips": 11.4,
    }  # fmt: skip


def clocked(seconds_a_line):
    lines = []
    for number in range(1, 6):
        minutes, seconds = divmod(number * seconds_a_line, 60)
        time = f"2021-09-13 10:{minutes:02d}:{seconds:02d}"
        lines.append(
            f"[{time}] iter: {number * 100}, loss: 0.5, reader_cost: 0.01, batch_cost: 0.5, ips: 128.0"
        )
    return read_log_lines("\n".join(lines), TEXT, "accuracy")


def test_the_clock_must_leave_time_for_the_steps():
    assert contradiction(clocked(55)) is None
    what, line = contradiction(clocked(5))
    assert "clock" in what
    assert line == 5


def test_other_names_are_told_in_the_manifest():
    names = {"loss": "Loss_sum", "step": "it", "metric": "top1"}
    log = TrainingLogFile.model_construct(file="x", format="text", names=names, seed=None)
    lines = read_log_lines("it: 3, Loss_sum: 1.5\nit: 4 TOP1=0.5\nnothing here: at all\n", log, "accuracy")
    assert [(line.number, line.step, line.metric) for line in lines] == [(1, 3, None), (2, 4, 0.5)]
    assert lines[0].fields["loss"].value == 1.5
    assert lines[0].fields["loss"].half_digit == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("field", "name"), [("avg_ips", "ips"), ("avg_reader", "reader_cost"), ("accuracy", "acc")]
)
def test_fields_that_are_missing_are_named(submission, field, name):
    file = submission / "logs/train.log"
    file.write_text(file.read_text().replace(field, "something"))
    found = finding(submission, "log")
    assert found.status == "fail"
    assert name in found.what


def test_a_forged_log_is_found_with_its_line(submission, edit):
    edit("logs/train.log", "loss: 0.40000", "loss: nan")
    found = finding(submission, "log-consistency")
    assert (found.status, found.file, found.line) == ("fail", "logs/train.log", 5)


def test_a_log_without_the_metric_is_looked_through_all_the_same(submission):
    """Waiving the line on the fields waives nothing of this one."""
    log = submission / "logs/train.log"
    lines = [line for line in log.read_text().splitlines() if "accuracy" not in line]
    log.write_text("\n".join(lines) + "\n")
    assert (finding(submission, "log").status, finding(submission, "log-consistency").status) == (
        "fail",
        "pass",
    )
    log.write_text("\n".join([*lines, lines[0]]) + "\n")
    found = finding(submission, "log-consistency")
    assert (found.status, found.line) == ("fail", len(lines) + 1)


def epochs(last_ips, samples=False):
    """Two epochs of four lines each; the last batch of each is smaller."""
    rows = []
    for epoch in (1, 2):
        for step in (1, 2, 3, 4):
            ips = last_ips if step == 4 else 320.0
            rows.append(
                f"bottle  Epoch {epoch} - iter:{step}/4 - loss = 2.1 - avg_reader_cost: 0.0002 sec"
                f" - avg_batch_cost: 0.10000 sec{f' - avg_samples: {round(ips / 10)}' * samples} - avg_ips: {ips}"
            )
    return "\n".join(rows)


def test_each_epochs_last_batch_may_be_smaller():
    assert contradiction(read_log_lines(epochs(170.0), TEXT, "accuracy")) is None
    what, line = contradiction(read_log_lines(epochs(640.0), TEXT, "accuracy"))
    assert (line, "ips x batch_cost" in what) == (4, True)
    assert contradiction(read_log_lines(epochs(640.0, samples=True), TEXT, "accuracy")) is None


def test_logs_by_epoch_and_losses_of_evaluations_are_read():
    by_epoch = "epoch:1 loss:353.02 avg_ips:0.05\nepoch:2 loss:175.13\n"
    assert contradiction(read_log_lines(by_epoch, TEXT, "accuracy")) is None
    what, line = contradiction(read_log_lines(by_epoch + "epoch:2 loss:170.0\n", TEXT, "accuracy"))
    assert (what, line) == ("epoch 2 does not come after epoch 2", 3)
    evaluated = "global step 100, epoch: 1, loss: 0.69\neval loss: 0.68, accuracy: 0.54\nVal Loss: 0.7\n"
    assert [line.number for line in read_log_lines(evaluated, TEXT, "accuracy") if line.fields] == [1]
    both = "Epoch: 0 | Train Loss: 11339.1 | Val Loss: 55674.6"
    assert read_log_lines(both, TEXT, "accuracy")[0].fields["loss"].value == 11339.1
    assert contradiction(read_log_lines("loss: 0.5\n", TEXT, "accuracy")) == (NO_STEP, 1)


def test_examples_seen_are_no_steps():
    """A counter of examples would make an hour of every minute."""
    text = "".join(
        f"2021-12-24 11:30:{30 + n} train Epoch: 0 [{n * 81920:08d}/00199792 ({n * 41}%)] Loss: 9.1"
        " avg_batch_cost: 0.18 sec, avg_ips: 11377.0\n"
        for n in range(3)
    )
    lines = read_log_lines(text, TEXT, "accuracy")
    assert [line.step for line in lines] == [None] * 3
    assert contradiction(lines) is None
    sums = "INFO: train epoch Loss: 1333.1\nINFO: val Epoch: 0 [00000000/00056199 (00%)] Loss: 1.5 avg_ips: 1949.8\n"
    assert contradiction(read_log_lines(text + sums, TEXT, "accuracy")) is None
    renamed = text.replace("train Epoch", "test.py Epoch")
    assert len(read_log_lines(renamed, TEXT, "accuracy")) == len(lines)
    assert all(line.fields for line in read_log_lines(renamed, TEXT, "accuracy"))
