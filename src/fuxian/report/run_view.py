"""Reads a run folder for display: what each file said, checked, and None for a file that is not there."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from fuxian.errors import InputError

Model = TypeVar("Model", bound=BaseModel)
Scope = Literal["paper", "scaled"]


class _File(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)


class LogLine(_File):
    """One line of log.jsonl. Costs are in seconds per step, `ips` in examples (tasks) per second."""

    step: int
    loss: float | None = None
    lr: float | None = None
    reader_cost: float | None = None
    batch_cost: float | None = None
    ips: float | None = None
    eval: dict[str, float] | None = None


class Series(_File):
    """One named curve: a figure `y` over `x`, with a band from `low` to `high` where they are given."""

    x: list[float]
    y: list[float]
    low: list[float] | None = None
    high: list[float] | None = None
    x_label: str = ""
    y_label: str = ""

    @model_validator(mode="after")
    def _same_length(self) -> "Series":
        if any(len(other) != len(self.x) for other in (self.y, self.low, self.high) if other is not None):
            raise ValueError("x, y, low and high differ in length")
        return self


class MeasuredRun(_File):
    """One run's figure; None says that the run failed."""

    seed: int
    value: FiniteFloat | None


class MeasurementsFile(_File):
    """measurements.json, as far as the report shows it."""

    paper: str
    claim: str
    scope: Scope
    metric: str
    runs: list[MeasuredRun]
    curves: dict[str, Series] = Field(default_factory=dict)
    figures: dict[str, float | None] = Field(default_factory=dict)


class Measured(_File):
    """Our figure with its two-sided 95 % interval; None where it could not be had."""

    value: FiniteFloat | None
    low: FiniteFloat | None = None
    high: FiniteFloat | None = None
    n: int

    @property
    def interval(self) -> tuple[float, float] | None:
        return None if self.low is None or self.high is None else (self.low, self.high)


class VerdictFile(_File):
    """verdict.json, as far as the report shows it: ``fuxian.verdict.Verdict`` has the fields' meaning."""

    paper: str
    claim: str
    scope: Scope
    verdict: Literal["accepted", "rejected", "inconclusive", "smoke", "changed"]
    measured: Measured
    counted: Literal["seeds", "examples"]
    target: FiniteFloat
    margin: FiniteFloat
    direction: Literal["higher", "lower"]
    gain_low: float | None
    gain_high: float | None
    method: str
    reason: str
    needed: dict[Literal["seeds", "examples"], int] | None

    @property
    def edge(self) -> float:
        """The worst figure that is still no worse than the margin allows."""
        return self.target - self.margin if self.direction == "higher" else self.target + self.margin

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The one-sided bounds of the test, as figures: target plus gain. None where they are unknown."""
        if self.gain_low is None or self.gain_high is None:
            return None
        if self.direction == "higher":
            ends = self.target + self.gain_low, self.target + self.gain_high
        else:
            ends = self.target - self.gain_high, self.target - self.gain_low
        return ends if all(map(math.isfinite, ends)) else None


@dataclass(frozen=True)
class RunView:
    """What a run folder holds. None means that the file is not there."""

    folder: Path
    paper: str
    claim: str
    config: dict[str, Any] | None
    environment: dict[str, Any] | None
    log: list[LogLine] | None
    measurements: MeasurementsFile | None
    verdict: VerdictFile | None

    @property
    def name(self) -> str:
        """The folder's own, with that of the run above it where it is one of several seeds'."""
        folder = self.folder.resolve()
        above = folder.parent if folder.name.startswith("seed_") else None
        return f"{above.name}/{folder.name}" if above and (above / "config.json").is_file() else folder.name

    @property
    def is_training(self) -> bool:
        """Whether a training wrote here: no evaluation of given weights, nor the folder above several seeds'."""
        config = self.config or {}
        seeds = config.get("seeds")
        return "weights" not in config and not (isinstance(seeds, list) and len(seeds) > 1)

    @property
    def seed(self) -> int | None:
        seed = (self.config or {}).get("seed")
        return seed if isinstance(seed, int) else None


def read_run(folder: Path) -> RunView:
    """The run folder's files. InputError when it is no run folder or one of its files is malformed."""
    config = read_json(folder / "config.json")
    environment = read_json(folder / "environment.json")
    measurements = _read_as(MeasurementsFile, folder / "measurements.json")
    verdict = _read_as(VerdictFile, folder / "verdict.json")
    named = {
        name: (str(data["paper"]), str(data["claim"]))
        for name, data in (
            ("config.json", config),
            ("measurements.json", measurements and measurements.model_dump()),
            ("verdict.json", verdict and verdict.model_dump()),
        )
        if data and "paper" in data and "claim" in data
    }
    if not named:
        raise InputError(
            f"{folder} is not a run folder: no config.json, measurements.json or verdict.json in it names a"
            " paper and a claim; give the folder that training made."
        )
    if len(set(named.values())) > 1:
        said = ", ".join(f"{name} says {paper}/{claim}" for name, (paper, claim) in named.items())
        raise InputError(
            f"The files in {folder} are of different claims ({said}); keep one claim per folder."
        )
    paper, claim = next(iter(named.values()))
    return RunView(
        folder, paper, claim, config, environment, read_log(folder / "log.jsonl"), measurements, verdict
    )


def parse_verdict(data: Mapping[str, Any], where: str) -> VerdictFile:
    """What verdict.json holds, checked. InputError names `where` and the field."""
    return _parsed(VerdictFile, data, where)


def _read_as(model: type[Model], path: Path) -> Model | None:
    data = read_json(path)
    return None if data is None else _parsed(model, data, str(path))


def flat(data: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as `outer.inner` -> text."""
    found: dict[str, str] = {}
    for key, value in data.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{key}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            found[f"{prefix}{key}"] = text
    return found


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a JSON file, or None when there is no such file. InputError when it is malformed."""
    try:
        data = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read as JSON ({error}); write it again or remove it.") from error
    if not isinstance(data, dict):
        raise InputError(f"{path} holds a {type(data).__name__}, not an object; write it again or remove it.")
    return data


def _parsed(model: type[Model], data: Any, where: str) -> Model:
    """`data` as a `model`. InputError names the place and the first field that is wrong."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise InputError(f"{where}: {field}: {first['msg']}; mend it or remove the file.") from error


def read_log(path: Path) -> list[LogLine] | None:
    """The lines of log.jsonl by step, or None when there is no such file.

    A run killed while writing leaves a last line without its end; that line is ignored. Lines of one step
    (its training and its evaluation, or a step repeated after a resume) are joined; the later field holds.
    """
    try:
        whole, _, torn = path.read_bytes().rpartition(b"\n")
    except FileNotFoundError:
        return None
    lines = whole.split(b"\n") if whole else []
    if torn and _is_json(torn):
        lines.append(torn)
    by_step: dict[int, dict[str, Any]] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            data = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{where} is not JSON ({error}); remove that line.") from error
        entry = _parsed(LogLine, data, where)
        by_step.setdefault(entry.step, {}).update(entry.model_dump(exclude_unset=True))
    return [LogLine(**by_step[step]) for step in sorted(by_step)]


def _is_json(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False
