"""What a submission has measured, ruled on by its claims, as texts for README, mails and report."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from fuxian.errors import InputError
from fuxian.paper import Claim
from fuxian.report.terms import glossary
from fuxian.submission.manifest import Manifest
from fuxian.submission.reference import RECORD
from fuxian.verdict import Verdict, read_measurements, rule

MEASUREMENTS = "results/{claim}/measurements.json"
"""Where a submission keeps what it has measured."""


@dataclass(frozen=True)
class Result:
    """One claim with its ruling, and the environment of its run where that is known."""

    claim: Claim
    verdict: Verdict
    weights: str | None
    log: str | None
    environment: dict[str, Any]
    reference: float | None = None
    """What the reference gave when it was run here."""
    paper: Path | None = None
    """The paper's folder, where its words in another language may lie."""


def read_results(manifest: Manifest) -> list[Result]:
    """Every claim's result, ruled on anew from its measurements.

    Raises InputError where a claim has no measurements yet.
    """
    return [_result(manifest, manifest.paper.claim(name)) for name in manifest.claims]


def _result(manifest: Manifest, claim: Claim) -> Result:
    file = manifest.folder / MEASUREMENTS.format(claim=claim.id)
    if not file.is_file():
        raise InputError(
            f"{file}: {claim.id} has no measurements; run `fuxian verify`, and name the folder of its"
            " evidence, or a run folder, with --run."
        )
    verdict = rule(claim, read_measurements(file))
    environment = _read_json(file.with_name("environment.json")) or {}
    recorded = _read_json(manifest.folder / RECORD) or {}
    figure = recorded.get("figure") if recorded.get("claim") == claim.id else None
    stored, log = manifest.checkpoint_of(claim), manifest.log_of(claim)
    return Result(claim, verdict, stored, log, environment, figure, manifest.paper.folder)


def _read_json(file: Path) -> dict[str, Any] | None:
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


HEADINGS = {
    "en": (
        "claim",
        "metric",
        "paper",
        "reference",
        "target",
        "this repository",
        "verdict",
        "weights",
        "log",
    ),
    "zh": ("结果", "指标", "论文", "参考代码", "目标", "本仓库", "判定", "权重", "日志"),
}
VERDICTS = {
    "en": {word: word for word in ("accepted", "rejected", "inconclusive", "smoke", "changed")},
    "zh": {
        "accepted": "达标",
        "rejected": "未达标",
        "inconclusive": "无法判定",
        "smoke": "仅试运行",
        "changed": "已更改设置",
    },
}


def results_table(results: list[Result], language: str) -> str:
    """A Markdown table: what the paper gives, what is to be reached, what was measured."""
    rows = [HEADINGS[language], ("---",) * 9]
    for result in results:
        claim, verdict = result.claim, result.verdict
        term = glossary(language, result.paper)
        rows.append(
            (
                term(claim.title),
                term(claim.metric),
                claim.show(claim.published.value) if claim.published else "—",
                reference_figure(result, language) or "—",
                claim.show(verdict.target),
                measured(result),
                VERDICTS[language][verdict.verdict],
                f"[{result.weights}]({result.weights})" if result.weights else "—",
                f"[{result.log}]({result.log})" if result.log else "—",
            )
        )
    return "\n".join("| " + " | ".join(_cell(text) for text in row) + " |" for row in rows)


def reference_figure(result: Result, language: str) -> str | None:
    """What the reference gave here, else the mean of its recorded runs; None where there is neither."""
    if result.reference is not None:
        return result.claim.show(result.reference)
    if result.claim.reference is None:
        return None
    runs = result.claim.reference.sample
    counted = f"{len(runs)} 次记录的均值" if language == "zh" else f"mean of {len(runs)} recorded runs"
    return f"{result.claim.show(fmean(runs))} ({counted})"


def measured(result: Result) -> str:
    """The figure with its 95 % interval, as in ``98.70 % (98.10 % to 99.20 %)``."""
    verdict, claim = result.verdict, result.claim
    if verdict.value is None:
        return "—"
    figure = claim.show(verdict.value)
    if verdict.low is None or verdict.high is None:
        return figure
    return f"{figure} ({claim.show(verdict.low)} – {claim.show(verdict.high)})"


def environment_lines(results: list[Result], python: str) -> list[str]:
    """What the measured runs ran on: versions, processor, device."""
    known = results[0].environment if results else {}
    names = (
        "python",
        "paddlepaddle",
        "paddlepaddle-gpu",
        "numpy",
        "platform",
        "processor",
        "cores",
        "device",
    )
    lines = [f"- {name}: {known[name]}" for name in names if known.get(name) is not None]
    return lines or [f"- python: {python}"]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
