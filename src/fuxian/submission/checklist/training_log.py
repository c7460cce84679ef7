"""Checks on the training log: the official fields, and whether they can be true together."""

from __future__ import annotations

import math
from statistics import median

from fuxian.paper import Claim
from fuxian.submission.checklist.finding import Result, counted, failed, not_applicable, passed
from fuxian.submission.checklist.submitted_files import SubmittedFiles
from fuxian.submission.log_lines import LogLine, read_log_lines

LARGEST_LOG = 50_000_000
LOOSE = 0.02
"""Relative slack of ips x batch_cost beyond what the printed digits leave open."""
FEW = 0.05
"""Share of lines that may miss it, where nothing says which are an epoch's last: that batch is smaller."""
NO_STEP = "no line with a loss has a step or an epoch"
LONGEST_DAYS = 365


def fields(tree: SubmittedFiles) -> Result:
    """The log is there and has loss, batch_cost, reader_cost, ips, and the claim's metric."""
    if tree.manifest.log is None:
        return failed("fuxian.toml names no training log", "add [log] with its file", "fuxian.toml")
    for name in tree.manifest.claims:
        claim = tree.manifest.paper.claim(name)
        found = fields_of(tree, claim)
        if found.status == "fail":
            return found
    return passed("loss, costs, ips and the metric are logged", tree.manifest.log_of(claim))


def fields_of(tree: SubmittedFiles, claim: Claim) -> Result:
    file = tree.manifest.log_of(claim)
    assert file is not None and tree.manifest.log is not None  # noqa: S101 - fields() has checked
    if file not in tree.files:
        return failed(f"the training log of {claim.id} is missing", "put the log of the training there", file)
    if tree.files[file] > LARGEST_LOG:
        return failed(
            f"the log has {tree.files[file] / 1e6:.0f} MB", "log every 100 steps, not every one", file
        )
    lines = _lines(tree, claim)
    training = [line for line in lines if "loss" in line.fields]
    if not training:
        return failed(
            "no line holds a loss", "log it, or say under [log.names] what this log calls it", file, 1
        )
    for name in ("batch_cost", "reader_cost", "ips"):
        if not any(name in line.fields for line in training):
            return failed(
                f"{name} is not logged beside the loss",
                "log it in seconds (ips: examples a second), or say its name under [log.names]",
                file,
                training[0].number,
            )
    if not any(line.metric is not None and math.isfinite(line.metric) for line in lines):
        return failed(
            f"no evaluation logs the metric {claim.metric!r}",
            "log it when the model is evaluated, or say its name under [log.names]",
            file,
            lines[-1].number,
        )
    return passed("all fields", file)


def consistency(tree: SubmittedFiles) -> Result:
    """Steps increase, losses are finite, ips matches batch_cost, and the time suffices."""
    total = 0
    for name in tree.manifest.claims:
        claim = tree.manifest.paper.claim(name)
        file = tree.manifest.log_of(claim)
        if file is None or tree.files.get(file, LARGEST_LOG + 1) > LARGEST_LOG:
            continue  # the line on the fields says it
        lines = _lines(tree, claim)
        wrong = contradiction(lines)
        if wrong:
            what, line = wrong
            mend = (
                "say under [log.names] what this log calls them, or give [log] a pattern"
                if what == NO_STEP
                else "submit the log as the training wrote it"
            )
            return failed(what, mend, file, line)
        total += len(lines)
    if total == 0:
        return not_applicable("there is no log whose lines could be compared")
    return passed(f"{counted(total, 'line')}, without contradiction", tree.manifest.log_of(claim))


def _lines(tree: SubmittedFiles, claim: Claim) -> list[LogLine]:
    file = tree.manifest.log_of(claim)
    assert file is not None and tree.manifest.log is not None  # noqa: S101 - fields() has checked
    text = tree.content(file, LARGEST_LOG).decode("utf-8", "replace")
    return read_log_lines(text, tree.manifest.log, claim.metric)


def contradiction(lines: list[LogLine]) -> tuple[str, int] | None:
    """The first thing that cannot be true, with its line; None where all agree."""
    training = [line for line in lines if "loss" in line.fields]
    if not training:
        return None
    placed = [line for line in training if line.step is not None or line.epoch is not None]
    if not placed:
        return NO_STEP, training[0].number
    # What an epoch's end sums up has no place of its own.
    training = placed
    return _steps(training) or _figures(training) or _throughput(training) or _duration(training)


def _steps(training: list[LogLine]) -> tuple[str, int] | None:
    before: tuple[float, float] | None = None
    for line in training:
        now = (line.epoch or 0.0, math.inf if line.step is None else line.step)
        if before is not None and now <= before:
            if line.step is None:
                return f"epoch {now[0]:g} does not come after epoch {before[0]:g}", line.number
            return f"step {line.step:g} does not come after step {before[1]:g}", line.number
        before = now
    return None


def _figures(training: list[LogLine]) -> tuple[str, int] | None:
    for line in training:
        for name, figure in line.fields.items():
            if not math.isfinite(figure.value):
                return f"{name} is no finite number ({figure.value})", line.number
            if name != "loss" and figure.value < 0:
                return f"{name} is negative", line.number
        costs = line.fields
        if "reader_cost" in costs and "batch_cost" in costs:
            reader, batch = costs["reader_cost"], costs["batch_cost"]
            if reader.value - reader.half_digit > (batch.value + batch.half_digit) * (1 + LOOSE):
                return f"reading took {reader.value:g} s of a step of {batch.value:g} s", line.number
    return None


def _throughput(training: list[LogLine]) -> tuple[str, int] | None:
    """ips x batch_cost is the size of the batch: what the line says of it, else the same but for an epoch's last."""
    products = []
    last = _last_of_epochs(training)
    for line in training:
        ips, cost = line.fields.get("ips"), line.fields.get("batch_cost")
        if ips is None or cost is None:
            continue
        if ips.value == 0 or cost.value == 0:
            if ips.value > ips.half_digit or cost.value > cost.half_digit:
                name = (
                    "ips"
                    if ips.value == 0 and ips.half_digit == 0
                    else "batch_cost"
                    if cost.half_digit == 0
                    else None
                )
                if name:
                    return f"{name} is zero", line.number
            continue
        slack = LOOSE + ips.half_digit / ips.value + cost.half_digit / cost.value
        product, samples = ips.value * cost.value, line.fields.get("samples")
        if samples is not None and abs(product - samples.value) <= slack * product + samples.half_digit:
            continue
        products.append((product, slack, line.number))
    if not products:
        return None
    usual = median(product for product, _, _ in products)
    if usual > 1e9 or usual * (1 + max(slack for _, slack, _ in products)) < 1:
        return f"ips x batch_cost is {usual:.3g}, which is no size of a batch", products[0][2]
    off = [
        number
        for product, slack, number in products
        if abs(product - usual) > slack * max(product, usual) and not (product < usual and number in last)
    ]
    if len(off) > max(1, FEW * len(products)):
        return f"ips x batch_cost is not the usual {usual:.4g} here and on {len(off) - 1} more lines", off[0]
    return None


def _last_of_epochs(training: list[LogLine]) -> set[int]:
    """Numbers of the lines that end an epoch, where lines tell epochs at all."""
    return {
        line.number
        for line, after in zip(training, [*training[1:], None], strict=True)
        if line.epoch is not None
        and (after is None or after.epoch is None or math.floor(after.epoch) != math.floor(line.epoch))
    }


def _duration(training: list[LogLine]) -> tuple[str, int] | None:
    """The steps' costs add up to a possible time, and fit the clock where lines carry it."""
    if any(line.step is None for line in training):
        return None
    spent, before = 0.0, 0.0
    clocked = [line for line in training if line.time is not None]
    since_clock = 0.0
    for line in training:
        assert line.step is not None  # noqa: S101 - _steps has checked
        steps = line.step - before if line.step > before else line.step
        before = line.step
        cost = line.fields.get("batch_cost")
        if cost is None:
            continue
        spent += steps * cost.value
        if clocked and line.number > clocked[0].number:
            since_clock += steps * max(0.0, cost.value - cost.half_digit)
    last = training[-1].number
    if spent > LONGEST_DAYS * 86400:
        return f"the steps' costs add up to {spent / 86400:.0f} days", last
    if len(clocked) > 1:
        first_time, last_time = clocked[0].time, clocked[-1].time
        assert first_time is not None and last_time is not None  # noqa: S101 - they are clocked
        elapsed = (last_time - first_time).total_seconds()
        if elapsed < 0:
            return "the clock runs backwards", last
        if elapsed + 2 < since_clock / 2:
            return f"the clock says {elapsed:.0f} s and the steps' costs add up to {since_clock:.0f} s", last
    return None
