"""Reads the lines of a training log, Fuxian's own or a text in the official form, as numbers with their precision."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any

import re2

from fuxian.submission.manifest import TrainingLogFile
from fuxian.submission.output_pattern import compiled
from fuxian.untrusted import MIB, parsed

ALIASES = {
    "step": ("step", "iter", "iteration", "global_step", "batch", "batch_id"),
    "epoch": ("epoch",),
    "loss": ("loss", "avg_loss", "total_loss", "train_loss"),
    "reader_cost": ("reader_cost", "avg_reader_cost", "data_cost"),
    "batch_cost": ("batch_cost", "avg_batch_cost"),
    "ips": ("ips", "avg_ips", "speed"),
    "samples": ("samples", "avg_samples"),
}
COSTS = ("loss", "reader_cost", "batch_cost", "ips", "samples")
LONGEST_LINE = 10_000
SECONDS = 60.0
MEMORY = 512 * MIB
COPIES = 20
"""Bytes of memory for each of the text, at most."""
_OPTIONS = re2.Options()
_OPTIONS.max_mem = 64 * MIB  # names in any script make an automaton of some size
_PAIR = re2.compile(
    r"(?i)([a-z_][\pL\pN_@/.-]{0,60})\s*[:=]\s*\[?\s*"
    r"([-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[-+]?\d{1,3})?|nan\b|-?inf\b)",
    options=_OPTIONS,
)
_EPOCH = re2.compile(r"(?i)\bepoch\s*\[?\s*(\d{1,15})")
"""As in ``[Epoch 3/120]``, which is no ``name: number``."""
_STEP = re2.compile(r"\[\s*(\d{1,15})\s*/\s*\d+\s*\]")
"""As in ``Epoch: [3] [ 20/100]``."""
_SEEN = re2.compile(r"\[\s*(\d{1,15})\s*/\s*(\d{1,15})\s*\(\s*\d{1,3}(?:\.\d*)?\s*%\s*\)\s*\]")
"""As in ``Epoch: 3 [640/60000 (1%)]``: examples of the epoch that were seen, and no number of a step."""
_EVALUATED = re2.compile(r"(?i)\b(eval\w*|val|valid\w*|dev|test)[\s_-]*$")
"""What stands before a loss that is no training's."""
_EVALUATION = re2.compile(r"(?i)\b(eval|evaluation|val|valid|validation|dev|test)\b.*?\bloss")
_TRAINING = re2.compile(r"(?i)\btrain")
_TIME = re2.compile(r"(\d{4})[-/](\d\d)[-/](\d\d)[ T](\d\d):(\d\d):(\d\d)")


@dataclass(frozen=True)
class Figure:
    """A logged number. ``half_digit`` is half a unit of its last printed digit, 0 where all digits were printed."""

    value: float
    half_digit: float = 0.0


@dataclass(frozen=True)
class LogLine:
    """One line of a log; ``number`` counts from 1. Only the official fields are kept.

    ``epoch`` has a fraction where the line says how much of its epoch was seen, and not at which step it is.
    """

    number: int
    step: float | None = None
    epoch: float | None = None
    fields: dict[str, Figure] = field(default_factory=dict)
    """``loss``; ``reader_cost`` and ``batch_cost`` in seconds a step; ``ips`` in examples a second; ``samples`` in the
    step's batch."""
    metric: float | None = None
    time: datetime | None = None


def read_log_lines(text: str, log: TrainingLogFile, metric: str) -> list[LogLine]:
    """The lines that hold a loss or an evaluation; other lines and torn ones are left out."""
    names = {alias: official for official, aliases in ALIASES.items() for alias in aliases}
    names |= {written.casefold(): official for official, written in log.names.items() if official != "metric"}
    wanted = log.names.get("metric", metric).casefold()
    read = _read_json if log.format == "jsonl" else _read_text
    if log.pattern is not None:
        read = partial(_read_pattern, compiled(log.pattern))
    found, evaluations = [], set()
    for number, line in enumerate(text.splitlines(), start=1):
        made = read(number, line[:LONGEST_LINE], names, wanted)
        if made is None or ("loss" not in made.fields and made.metric is None):
            continue
        word = _EVALUATION.search(line[:LONGEST_LINE]) if read is _read_text else None
        if word is not None and not _TRAINING.search(word.group()):
            evaluations.add(number)
        found.append(made)
    if all(line.number in evaluations for line in found if "loss" in line.fields):
        return found  # the word stands on every line, and says nothing
    return [replace(line, fields={}) if line.number in evaluations else line for line in found]


def parse_log_lines(text: str, log: TrainingLogFile, metric: str, name: str) -> list[LogLine]:
    """As ``read_log_lines``, in a child process; ``name`` is the log's. Raises Malformed for a log without end."""
    rows = parsed(_rows, text, log, metric, what=name, seconds=SECONDS, memory=MEMORY + COPIES * len(text))
    return [
        LogLine(
            number,
            step,
            epoch,
            {field: Figure(*figure) for field, figure in fields.items()},
            metric_value,
            None if time is None else datetime.fromisoformat(time),
        )
        for number, step, epoch, fields, metric_value, time in rows
    ]


def _rows(text: str, log: TrainingLogFile, metric: str) -> list[list[Any]]:
    return [
        [
            line.number,
            line.step,
            line.epoch,
            {field: [figure.value, figure.half_digit] for field, figure in line.fields.items()},
            line.metric,
            None if line.time is None else line.time.isoformat(),
        ]
        for line in read_log_lines(text, log, metric)
    ]


def _read_json(number: int, line: str, names: dict[str, str], metric: str) -> LogLine | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict):
        return None
    evaluation = row.get("eval")
    evaluated = {**row, **evaluation} if isinstance(evaluation, dict) else row
    pairs = {
        key.casefold(): Figure(value) for key, raw in evaluated.items() if (value := _number(raw)) is not None
    }
    return _line(number, pairs, names, metric, None)


def _read_text(number: int, line: str, names: dict[str, str], metric: str) -> LogLine | None:
    pairs: dict[str, Figure] = {}
    for pair in _PAIR.finditer(line):
        name, written = pair.group(1), pair.group(2)
        if line[pair.end(2) : pair.end(2) + 1].isdigit():  # an exponent that no number has
            continue
        if names.get(name.casefold()) == "loss" and _EVALUATED.search(line[: pair.start(1)]):
            continue
        value = float(written)
        pairs.setdefault(name.casefold(), Figure(value, _half_digit(written)))
    if "epoch" not in pairs and (epoch := _EPOCH.search(line)):
        pairs["epoch"] = Figure(float(epoch.group(1)))
    if not any(names.get(name) == "step" for name in pairs) and (step := _STEP.search(line)):
        pairs["step"] = Figure(float(step.group(1)))
    elif "epoch" in pairs and (seen := _SEEN.search(line)) and int(seen.group(1)) <= int(seen.group(2)):
        share = int(seen.group(1)) / max(1, int(seen.group(2)))
        pairs["epoch"] = Figure(math.floor(pairs["epoch"].value) + share)
    return _line(number, pairs, names, metric, _time_in(line))


def _time_in(line: str) -> datetime | None:
    clock = _TIME.search(line)
    if clock is None:
        return None
    try:
        return datetime(*map(int, clock.groups()))  # type: ignore[arg-type]
    except ValueError:
        return None


def _read_pattern(pattern: Any, number: int, line: str, names: dict[str, str], metric: str) -> LogLine | None:
    found = pattern.search(line)
    if found is None:
        return None
    pairs: dict[str, Figure] = {}
    for name, written in found.groupdict().items():
        try:
            pairs[name] = Figure(float(written), _half_digit(written))
        except (TypeError, ValueError, OverflowError):
            continue
    if "metric" in pairs:
        pairs[metric] = pairs.pop("metric")
    return _line(number, pairs, names, metric, _time_in(line))


def _line(
    number: int, pairs: dict[str, Figure], names: dict[str, str], metric: str, time: datetime | None
) -> LogLine:
    official: dict[str, Figure] = {}
    for name, figure in pairs.items():
        if name in names:
            official.setdefault(names[name], figure)
    found = pairs.get(metric)
    return LogLine(
        number,
        official["step"].value if "step" in official else None,
        official["epoch"].value if "epoch" in official else None,
        {name: official[name] for name in COSTS if name in official},
        found.value if found else None,
        time,
    )


def _number(raw: Any) -> float | None:
    if isinstance(raw, bool) or not isinstance(raw, (int, float)):
        return None
    try:
        return float(raw)
    except OverflowError:
        return math.inf


def _half_digit(written: str) -> float:
    mantissa, _, exponent = written.lower().partition("e")
    if "n" in mantissa:  # nan, inf
        return 0.0
    decimals = len(mantissa.partition(".")[2])
    return 0.5 * 10.0 ** (int(exponent or 0) - decimals)
