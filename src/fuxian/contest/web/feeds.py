"""The pages' data in other forms: CSV, Atom, and what the charts draw."""

from __future__ import annotations

import csv as csv_format
import io
from typing import Any
from xml.etree import ElementTree

from fastapi.responses import Response

from fuxian.contest.board import views
from fuxian.contest.service import news
from fuxian.contest.web.visit import Visit
from fuxian.contest.web.words import STATUS

ATOM = "http://www.w3.org/2005/Atom"
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv(lines: list[dict[str, Any]], name: str) -> Response:
    """One line a paper, the winner's fields beside it."""
    out = io.StringIO()
    columns = ["number", "id", "title", "stars", "prize", "currency", "state", "registered", "submissions"]
    won = ["team", "name", "repo", "commit", "submission", "number", "at"]
    writer = csv_format.writer(out)
    writer.writerow([*columns, *STATUS, *(f"winner_{name}" for name in won)])
    for line in lines:
        winner = line["winner"] or {}
        writer.writerow(
            [
                *(_cell(line[column]) for column in columns),
                *(line["status"].get(status, 0) for status in STATUS),
                *(_cell(winner.get(column)) for column in won),
            ]
        )
    # With a mark of the encoding, without which a spreadsheet garbles Chinese.
    return Response(
        "\ufeff" + out.getvalue(),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _cell(value: Any) -> Any:
    """A spreadsheet runs what begins like a formula."""
    if value is None:
        return ""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def changes(one: Visit) -> Response:
    """What happened to submissions."""
    rows = [
        (
            f"change-{row['id']}",
            f"/submissions/{row['submission']}",
            row["at"],
            f"#{row['number']} {row['paper']} · {row['team_name']}: {one.t(*STATUS[row['status']])}",
            "",
        )
        for row in views.changes(one.at, limit=50)
    ]
    return _atom(one, one.t("排行榜动态", "The board"), "/board.atom", rows)


def announcements(one: Visit) -> Response:
    rows = [
        (
            f"announcement-{row['id']}",
            f"/announcements/{row['id']}",
            row["at"],
            row[one.language]["title"],
            row[one.language]["text"],
        )
        for row in news.announcements(one.at)
    ]
    return _atom(one, one.t("公告", "Announcements"), "/announcements.atom", rows)


def _atom(one: Visit, title: str, path: str, rows: list[tuple[str, str, str, str, str]]) -> Response:
    address = one.at.address or str(one.request.base_url).rstrip("/")
    ElementTree.register_namespace("", ATOM)
    feed = ElementTree.Element(f"{{{ATOM}}}feed")

    def add(parent: ElementTree.Element, name: str, text: str | None = None, **attributes: str) -> None:
        made = ElementTree.SubElement(parent, f"{{{ATOM}}}{name}", attributes)
        made.text = None if text is None else _xml(text)

    contest = one.at.contest
    add(feed, "title", f"{one.t(contest.title.zh, contest.title.en)}: {title}")
    add(feed, "id", f"{address}{path}")
    add(feed, "link", rel="self", href=f"{address}{path}")
    add(feed, "updated", rows[0][2] if rows else contest.schedule.opens.isoformat())
    author = ElementTree.SubElement(feed, f"{{{ATOM}}}author")
    add(author, "name", one.t(contest.title.zh, contest.title.en))
    for id, where, moment, line, text in rows:
        entry = ElementTree.SubElement(feed, f"{{{ATOM}}}entry")
        add(entry, "id", f"{address}/#{id}")
        add(entry, "title", line)
        add(entry, "updated", moment)
        add(entry, "link", href=f"{address}{where}")
        add(entry, "content", text or line, type="text")
    content = ElementTree.tostring(feed, encoding="unicode", xml_declaration=False)
    return Response(
        f'<?xml version="1.0" encoding="utf-8"?>\n{content}', media_type="application/atom+xml; charset=utf-8"
    )


def _xml(text: str) -> str:
    """Without the characters that XML cannot hold."""
    return "".join(c for c in text if c in "\n\t" or (c.isprintable() and c not in "\ufffe\uffff"))


SHOWN = (
    "queued",
    "review",
    "provisional",
    "won",
    "rejected",
    "void",
    "withdrawn",
    "unranked",
    "disqualified",
)


def board_chart(one: Visit, lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Submissions by paper and status; the board is the table beside it."""
    public = [line for line in lines if line["public"]]
    return {
        "kind": "bars",
        "label": one.t("各论文的提交数，按状态", "Submissions on each paper by status"),
        "names": [f"{line['number']} {line['id']}" for line in public],
        "series": [
            {
                "key": status,
                "name": one.t(*STATUS[status]),
                "values": [line["status"].get(status, 0) for line in public],
            }
            for status in SHOWN
            if any(line["status"].get(status) for line in public)
        ],
    }


def race(one: Visit, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """A paper's submissions over time; the list of attempts is the table beside it."""
    return {
        "kind": "race",
        "label": one.t("提交的先后与结果", "Submissions in order of receipt, with what became of them"),
        "teams": list(dict.fromkeys(row["team_name"] for row in reversed(rows)))[:12],
        "offset": _offset(one),
        "points": [
            {
                "at": row["received_at"],
                "team": row["team_name"],
                "number": row["number"],
                "key": row["status"],
                "name": one.t(*STATUS[row["status"]]),
            }
            for row in reversed(rows)
            if row["received_at"]
        ],
    }


def _offset(one: Visit) -> int:
    """Minutes of the contest's time zone, for the time axis."""
    offset = one.at.contest.schedule.opens.astimezone(one.at.contest.zone).utcoffset()
    return 0 if offset is None else int(offset.total_seconds()) // 60
