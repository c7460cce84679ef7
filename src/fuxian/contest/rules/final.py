"""The final: the order of defence, the judges' scores, the ranking."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from fuxian.contest.rules.refused import Refused
from fuxian.contest.settings import Criterion


@dataclass(frozen=True)
class Finalist:
    team: int
    paper: str
    receipt: int


@dataclass(frozen=True)
class Ranked:
    finalist: Finalist
    place: int
    """Those with the same total and the same criteria share it."""
    total: float | None
    """Weighted mean over the judges who scored every criterion; None where none did."""
    judges: int


def defence_order(finalists: Iterable[Finalist], secret: bytes) -> list[Finalist]:
    """Drawn from a secret whose hash was published before: nobody chooses the order."""

    def key(one: Finalist) -> bytes:
        return hashlib.sha256(secret + f"{one.paper}:{one.team}".encode()).digest()

    return sorted(finalists, key=key)


def require_score(rubric: Sequence[Criterion], criterion: str, score: float) -> None:
    """Raises Refused for an unknown criterion or a score outside its range."""
    found = next((one for one in rubric if one.id == criterion), None)
    if found is None or not 0 <= score <= found.most:
        known = ", ".join(f"{one.id} 0-{one.most:g}" for one in rubric)
        raise Refused("score", en=f"give a score of the rubric: {known}.", zh=f"请按评分表打分：{known}。")


def ranking(
    finalists: Iterable[Finalist],
    rubric: Sequence[Criterion],
    scores: Mapping[tuple[str, int], Mapping[str, float]],
) -> list[Ranked]:
    """Places by the weighted mean; ``scores`` by paper and judge, each by criterion.

    A judge who was absent, or left a criterion open, does not count for that finalist. Ties are broken by the
    criteria in the rubric's order, then the place is shared.
    """
    totals: list[tuple[Finalist, float | None, tuple[float, ...], int]] = []
    weight = sum(one.weight for one in rubric)
    for finalist in finalists:
        given = [
            marks
            for (paper, _), marks in sorted(scores.items())
            if paper == finalist.paper and all(one.id in marks for one in rubric)
        ]
        if not given:
            totals.append((finalist, None, (), 0))
            continue
        means = tuple(sum(marks[one.id] / one.most for marks in given) / len(given) for one in rubric)
        total = 100 * sum(mean * one.weight for mean, one in zip(means, rubric, strict=True)) / weight
        totals.append((finalist, round(total, 9), tuple(round(mean, 9) for mean in means), len(given)))
    order = sorted(
        totals,
        key=lambda one: (one[1] is None, -(one[1] or 0.0), tuple(-mean for mean in one[2]), one[0].receipt),
    )
    ranked: list[Ranked] = []
    for index, (finalist, score, marks, judges) in enumerate(order):
        same = index > 0 and order[index - 1][1:3] == (score, marks)
        place = ranked[-1].place if same else index + 1
        ranked.append(Ranked(finalist, place, score, judges))
    return ranked
