"""``fuxian new``, ``check``, ``package`` and ``reference``: what an entrant hands in."""

from __future__ import annotations

import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from fuxian.cli.options import AsJson, Language, LanguageOption, print_json
from fuxian.errors import InputError
from fuxian.extras import need
from fuxian.invocation import command

if TYPE_CHECKING:
    from fuxian.submission.checklist import Finding

reference_app = typer.Typer(help="The reference implementation's own figure.", no_args_is_help=True)

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="A submission: the folder with fuxian.toml.")]
MARKS = {
    "pass": ("pass", "green"),
    "fail": ("FAIL", "bold red"),
    "waived": ("waived", "yellow"),
    "not_applicable": ("n/a", "dim"),
}


def new(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder for the reproduction.")],
    paper: Annotated[
        str | None,
        typer.Option(
            help="An id for the paper, the folder's name if absent; or PAPER/CLAIM of a paper that Fuxian reproduced."
        ),
    ] = None,
    team: Annotated[str | None, typer.Option(help="The team's name; asked for in a terminal.")] = None,
    number: Annotated[str | None, typer.Option(help="The paper's number in the challenge (序号).")] = None,
    member: Annotated[list[str], typer.Option(help="A member's name; once for each.")] = [],  # noqa: B006
    email: Annotated[str | None, typer.Option(help="Where the team is written to.")] = None,
    repo: Annotated[str | None, typer.Option(help="Where the code will be, https://...")] = None,
    as_json: AsJson = False,
) -> None:
    """Write a new reproduction that trains, aligns and passes `fuxian check` but for its placeholders.

    What is not known yet of the team is left as a placeholder, and `fuxian check` names it.

    With PAPER/CLAIM (see `fuxian papers`) it holds that paper's recipe, trained weights and training log, which are
    evaluated, so the claim's data must be there.

    Example: fuxian new my-paper --paper swin-transformer
    """
    from fuxian.submission.new import new as write

    console = Console(stderr=True)
    reproduced = paper is not None and "/" in paper
    known = {"name": team, "number": number, "members": member or None, "email": email, "repo": repo}
    if sys.stdin.isatty() and not as_json:
        _ask(known)
    with console.status("Evaluating the weights" if reproduced else "Training the template's toy task"):
        made = write(
            folder,
            paper or folder.resolve().name.lower().replace("_", "-"),
            {name: value for name, value in known.items() if value},
        )
    if as_json:
        print_json({"folder": str(folder), "findings": [finding.as_dict() for finding in made.findings]})
        return
    replace = [
        "Next: replace data.py, model.py, recipe.py and reference/recipe.py, then paper.toml and fuxian.toml.",
        f"      {command('align', 'run', folder / 'recipe.py', folder / 'reference' / 'recipe.py')}",
        f"      {command('check', folder)}",
    ]
    out = Console()
    blank = any(finding.id == "placeholders" and finding.status == "fail" for finding in made.findings)
    verify = [f"Next: {command('verify', folder)}"]
    if blank:
        packaged = f"{folder}-package"
        verify = [
            f"Next: fill in [team] of fuxian.toml, then {command('package', folder, '--out', packaged)}",
            f"      {command('verify', packaged)}",
        ]
    for line in (f"Written: {folder}", *(verify if reproduced else replace)):
        out.print(line, markup=False, soft_wrap=True)


QUESTIONS = {
    "name": "Team's name",
    "number": "The paper's number in the challenge",
    "members": "Members, separated by commas",
    "email": "E-mail address",
    "repo": "Where the code will be (https://...)",
}


def _ask(known: dict[str, Any]) -> None:
    """Asks for what was not given; Enter leaves it for later."""
    typer.echo("For the README, the thread reply and the mails (Enter: later):", err=True)
    for name, question in QUESTIONS.items():
        if known[name] is None:
            said = typer.prompt(question, default="", show_default=False, err=True).strip()
            known[name] = (
                [one.strip() for one in said.split(",") if one.strip()] if name == "members" else said
            )


def check(folder: Folder, lang: LanguageOption = Language.en, as_json: AsJson = False) -> None:
    """Go through the official acceptance checklist, in seconds; runs no code of the submission.

    Exit code: 0 nothing fails, 1 something does, 2 there is no readable fuxian.toml.

    Example: fuxian check my-paper
    """
    from fuxian.submission.checklist import check_manifest
    from fuxian.submission.checklist.translate import unreadable
    from fuxian.submission.describe import WITHOUT, undescribed
    from fuxian.submission.manifest import FILE_NAME, load_manifest, missing

    console = Console(stderr=as_json)
    if folder.is_dir() and not (folder / FILE_NAME).exists():
        # What can be said without a manifest is said; then that there is none.
        findings = check_manifest(undescribed(folder), WITHOUT)
        _show(findings, console, lang)
        if as_json:
            print_json({"error": missing(folder), "findings": [f.as_dict() for f in findings]})
            raise typer.Exit(2)
    try:
        manifest = load_manifest(folder)
    except InputError as error:
        raise type(error)(unreadable(str(error), lang)) from error
    findings = check_manifest(manifest)
    _show(findings, console, lang)
    _count(findings, console, lang)
    if as_json:
        print_json(
            {"folder": str(folder), "passed": _passed(findings), "findings": [f.as_dict() for f in findings]}
        )
    raise typer.Exit(0 if _passed(findings) else 1)


def describe(folder: Folder, as_json: AsJson = False) -> None:
    """Write a fuxian.toml for a repository that has none, from its programs, requirements, weights and log.

    What the files do not show, the paper and the claim, is left to be filled in.

    Example: fuxian describe their-repository
    """
    from fuxian.submission.describe import describe as write

    made = write(folder)
    if as_json:
        print_json(made)
        return
    console = Console()
    console.print(f"Written: {made['file']}", markup=False, soft_wrap=True)
    for name, what in made["found"].items():
        console.print(f"  {name}: {what or 'none found'}", markup=False, soft_wrap=True)
    console.print(f"Fill in: {'; '.join(made['filled_in'])}.", markup=False, soft_wrap=True)


def package(
    folder: Folder,
    out: Annotated[Path, typer.Option(help="A new folder for the package.")],
    run: Annotated[
        Path | None,
        typer.Option(
            help="Take what this folder of `reproduce` or `verify` holds: measurements, weights, log."
        ),
    ] = None,
    execute: Annotated[
        bool, typer.Option(help="Run the notebook in the sandbox, to prove that it runs.")
    ] = True,
    allow_unsandboxed: Annotated[
        bool, typer.Option("--allow-unsandboxed", help="For your own code, where there is no bubblewrap.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make all that the official flow wants: README figures, TIPC files, notebook, mails, report; zh and en.

    Exit code: 0 the package passes `fuxian check`, 1 it does not, 2 bad input.

    Example: fuxian package my-paper --out my-package
    """
    from fuxian.submission.checklist.finding import counted
    from fuxian.submission.package import package as make
    from fuxian.verify.packaging import lite_data_in_sandbox, notebook_in_sandbox

    if execute:
        need("notebook", ["nbformat", "nbclient", "ipykernel"], "a run of the notebook (--no-execute: none)")
    with Console(stderr=True).status("Packaging; the notebook is being run" if execute else "Packaging"):
        made = make(
            folder,
            out,
            run=run,
            execute=execute,
            notebook=partial(notebook_in_sandbox, allow_unsandboxed=allow_unsandboxed),
            lite_data=partial(lite_data_in_sandbox, allow_unsandboxed=allow_unsandboxed),
        )
    console = Console(stderr=as_json)
    console.print(f"Written: {out} ({counted(len(made.written), 'file')} made)", markup=False, soft_wrap=True)
    failing = [finding for finding in made.findings if finding.status != "pass"]
    if failing:
        _show(failing, console)
    _count(made.findings, console)
    if as_json:
        print_json(
            {
                "folder": str(out),
                "written": made.written,
                "notebook_ran": made.notebook_ran,
                "passed": _passed(made.findings),
                "findings": [finding.as_dict() for finding in made.findings],
            }
        )
    raise typer.Exit(0 if _passed(made.findings) else 1)


@reference_app.command("run")
def run_reference(
    folder: Folder,
    allow_unsandboxed: Annotated[
        bool,
        typer.Option(
            "--allow-unsandboxed", help="Run it even where there is no sandbox; the record says so."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run the reference's own evaluation or prediction in the sandbox, and record what it gives.

    The manifest's table "reference" names the command.

    Exit code: 0 recorded, 1 the command failed, 2 bad input, 4 this machine failed.

    Example: fuxian reference run my-paper
    """
    from fuxian.sandbox import readable
    from fuxian.submission.manifest import load_manifest
    from fuxian.submission.reference import RECORD, record_reference, reference_of
    from fuxian.verify.reference_run import run_in_sandbox

    manifest = load_manifest(folder)
    reference = reference_of(manifest)
    with (
        tempfile.TemporaryDirectory(prefix="fuxian-reference-") as place,
        Console(stderr=True).status("Running"),
    ):
        outcome = run_in_sandbox(manifest, reference, Path(place), allow_unsandboxed)
        if outcome.reason != "ok":
            last = (readable(outcome.stderr).strip().splitlines() or [""])[-1]
            _tell(as_json, {"recorded": False, "reason": outcome.reason, "detail": outcome.detail},
                               f"The reference failed: {outcome.detail} {last}")  # fmt: skip
            raise typer.Exit(1)
        about = {"seconds": round(outcome.wall, 1), "sandboxed": outcome.sandboxed}
        starts_in = "out" if any("{out}" in text for text in reference.run) else "work"
        record = record_reference(manifest, readable(outcome.stdout), Path(place) / starts_in, about)
    figure = "" if record["figure"] is None else f"{record['metric']} {record['figure']:g}; "
    _tell(as_json, record, f"{figure}recorded in {folder / RECORD}")


def _tell(as_json: bool, document: dict[str, Any], sentence: str) -> None:
    if as_json:
        print_json(document)
    else:
        Console().print(sentence, markup=False, soft_wrap=True)


def _passed(findings: list[Finding]) -> bool:
    return all(finding.status != "fail" for finding in findings)


def _show(findings: list[Finding], console: Console, lang: str = "en") -> None:
    from fuxian.submission.checklist.translate import sentence, translated

    table = Table(
        Column("", no_wrap=True), sentence("check", lang), Column(sentence("finding", lang), overflow="fold")
    )
    for finding in (translated(finding, lang) for finding in findings):
        word, style = MARKS[finding.status]
        place = (
            f"{finding.file}" + (f":{finding.line}" if finding.line else "") + ": " if finding.file else ""
        )
        text = Text(f"{place}{finding.what}")
        if finding.status == "fail" and finding.mend:
            text.append(f"\n→ {finding.mend}", style="cyan")
        table.add_row(Text(sentence(word, lang), style=style), Text(finding.title), text)
    console.print(table)


def _count(findings: list[Finding], console: Console, lang: str = "en") -> None:
    from fuxian.submission.checklist.translate import sentence

    failed = sum(finding.status == "fail" for finding in findings)
    waived = sum(finding.status == "waived" for finding in findings)
    counts = f"{len(findings)} lines: {failed} fail, {waived} waived."
    console.print(sentence(counts, lang), markup=False)
