"""The comparison in a terminal: the cause first, then the stages, then both module trees side by side."""

from __future__ import annotations

import shlex
from pathlib import Path

from rich import box
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from fuxian.align.alignment import Alignment
from fuxian.align.causes import CAUSES
from fuxian.align.mend import Mend
from fuxian.align.module_table import Row
from fuxian.align.stages import StageResult

COLOURS = {"aligned": "green", "diverged": "red", "inconclusive": "yellow", "not given": "bright_black"}
MARKS = {
    "same": "",
    "differs": "differs",
    "first": "differs first",
    "after": "follows",
    "alone": "one side only",
}


def summary(alignment: Alignment) -> str:
    """The verdict and the first divergence in plain text, a few lines."""
    first, diagnosis = alignment.first, alignment.diagnosis
    if first is None:
        undecided = [r.stage for r in alignment.stages if r.verdict == "inconclusive"]
        return alignment.verdict + (f": {', '.join(undecided)}" if undecided else "")
    lines = [f"{alignment.verdict}: {first.stage} at {shown_place(first.place)}"]
    if first.port is not None and first.port.call is not None:
        lines.append(f"  the port calls {first.port.call.name} ({shown_line(first.port.line)})")
    if first.reference is not None and first.reference.call is not None:
        where = shown_place(first.reference_place)
        line = shown_line(first.reference.line)
        lines.append(f"  the reference calls {first.reference.call.name} at {where} ({line})")
    if diagnosis is not None:
        said = "" if diagnosis.cause == "unknown" else f", {diagnosis.certainty}"
        lines.append(f"  cause{said}: {diagnosis.cause} ({CAUSES.get(diagnosis.cause, '')})")
        lines.append(f"  {diagnosis.evidence}")
        if diagnosis.line:
            lines.append(f"  change {shown_line(diagnosis.line)}")
    lines.append(f"  error {first.error:.3g}, allowed {first.tolerance:.3g}")
    if "message" in first.facts:
        lines.append(f"  {first.facts['message']}")
    return "\n".join(lines)


def mend_words(mend: Mend) -> str:
    """The change of the port's source with what it does, or why there is none."""
    if not mend.diff:
        return f"no mend: {mend.reason}"
    where = f"; apply it with: patch -p1 -d {shlex.quote(str(mend.folder))} < {shlex.quote(str(mend.path))}"
    return f"mend, run on a copy: {mend.agreed}{where if mend.path else ''}\n{mend.diff}"


def shown_place(place: str) -> str:
    """A place in words: the empty path is the model itself."""
    return place or "the model itself"


def shown_line(line: str) -> str:
    """``file:line`` as seen from the working folder, where the file lies in it."""
    path = Path(line)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else line


def show(alignment: Alignment, console: Console) -> None:
    """Print everything for a person."""
    if alignment.first is not None:
        console.print(Panel(escape(summary(alignment)), title="first divergence", border_style="red"))
    if alignment.mend is not None:
        console.print(Text(mend_words(alignment.mend)), soft_wrap=True)
    console.print(_stage_table(alignment.stages))
    if any(row.mark != "same" for row in alignment.rows):
        console.print(_tree_table(alignment.rows))
    elif alignment.rows:
        console.print(f"modules in evaluation mode: all {len(alignment.rows)} agree")
    allowed = list(dict.fromkeys(known.name for result in alignment.stages for known in result.known))
    if allowed:
        console.print(f"allowed for, as the frameworks' own: {'; '.join(allowed)}", markup=False)
    for note in alignment.notes:
        console.print(f"note: {note}", markup=False)
    if alignment.diagnosis is not None and alignment.diagnosis.script:
        console.print(
            "No hypothesis fits; --json and the report hold a script that reproduces the difference."
        )
    console.print(Text(alignment.verdict, style=f"bold {COLOURS[alignment.verdict]}"))


def _table(title: str) -> Table:
    return Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )


def _stage_table(results: list[StageResult]) -> Table:
    table = _table("stages")
    for name in ("stage", "verdict", "error", "allowed"):
        table.add_column(name, no_wrap=True)
    table.add_column("worst against its tolerance", overflow="fold")
    for result in results:
        worst = result.worst
        if worst is None:
            figures, where = ("", ""), "; ".join(result.notes)
        else:
            figures = (f"{worst.error:.2e}", f"{worst.tolerance:.2e}")
            where = f"{worst.name} {worst.problem}".strip() or "the output"
        verdict = Text(result.verdict, style=COLOURS[result.verdict])
        cells: list[RenderableType] = [result.stage, verdict, *figures, escape(where)]
        table.add_row(*cells)
    return table


def _tree_table(rows: list[Row], most: int = 60) -> Group:
    """The rows around what differs, whole where it is short."""
    table = _table("modules in order of execution, evaluation mode")
    for name in ("port", "reference", "error", ""):
        table.add_column(name, no_wrap=name in {"error", ""}, overflow="fold")
    shown = rows if len(rows) <= most else [row for row in rows if row.mark != "same"][:most]
    for row in shown:
        style = {"first": "bold red", "differs": "red", "after": "yellow", "alone": "bright_black"}.get(
            row.mark, ""
        )
        error = "" if row.error is None else f"{row.error:.1e}"
        indent = "  " * row.depth
        ours = indent + row.port if row.port else ""
        theirs = indent + row.reference if row.reference else ""
        table.add_row(escape(ours), escape(theirs), error, MARKS[row.mark], style=style)
    left = len(rows) - len(shown)
    return Group(table, f"{left} more modules agree" if left else "")
