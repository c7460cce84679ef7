"""``fuxian verify``: the whole acceptance of a submission, as the organiser runs it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from fuxian.cli.options import EXIT_CODES, AsJson, Runs, print_json
from fuxian.errors import InputError
from fuxian.events import Event

if TYPE_CHECKING:
    from fuxian.verify.verify import Verification

STRANGE = 3
"""The exit code of evidence that holds, and was signed with a key that nobody here knows."""
MARKS = {
    "pass": ("pass", "green"),
    "fail": ("FAIL", "bold red"),
    "inconclusive": ("?", "yellow"),
    "not_applicable": ("n/a", "dim"),
}


def verify(
    submission: Annotated[
        str | None, typer.Argument(metavar="DIR|REPO@COMMIT", help="A folder, or https://...@COMMIT.")
    ] = None,
    terms: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|PAPER/CLAIM",
            help="A ruling on the organiser's terms: a file, or a paper.toml or PAPER/CLAIM for the default ones.",
        ),
    ] = None,
    attempt: Annotated[int, typer.Option(min=1, help="With --terms: which attempt this is.")] = 1,
    secret: Annotated[
        Path | None,
        typer.Option(help="With --terms: a file with the secret of the draw (32 bytes in hexadecimal)."),
    ] = None,
    claim: Annotated[str | None, typer.Option(help="The claim's id; the manifest's first if absent.")] = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            help="Train and evaluate so many of the claim's seeds; without it the checkpoint counts."
        ),
    ] = None,
    replay: Annotated[int, typer.Option(min=1, help="How many logged training steps to replay.")] = 10,
    again: Annotated[
        Path | None,
        typer.Option(
            metavar="RESULTS",
            help="Read the evaluation that an earlier self-check left in this folder, instead of running it: after"
            " mending a pattern in fuxian.toml.",
        ),
    ] = None,
    memory: Annotated[
        int, typer.Option(min=1, max=1024, help="GiB that any one command of the submission may use.")
    ] = 6,
    allow_unsandboxed: Annotated[
        bool, typer.Option("--allow-unsandboxed", help="For your own code, where there is no bubblewrap.")
    ] = False,
    evidence: Annotated[
        Path | None, typer.Option(help="Check this evidence.json instead of verifying anew.")
    ] = None,
    out: Runs = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Run the whole acceptance in a sandbox: a self-check of your own, or with --terms the organiser's ruling.

    A self-check takes the submission's claim and measurements at their word, and says what would come of them. In a
    ruling only the terms count: the test is drawn after the commit is fixed, and what was not shown rejects.

    Exit code: 0 accepted, 1 rejected, 2 bad input, 3 inconclusive, 4 this machine failed. With --evidence: 0 the
    signature and every hash hold, 1 something was changed, 3 all holds but the key is a stranger's.

    Example: fuxian verify my-paper --terms maml/omniglot-5way-1shot --json
    """
    try:
        code = _verify(
            submission,
            terms,
            attempt,
            secret,
            claim,
            seeds,
            replay,
            again,
            memory,
            allow_unsandboxed,
            evidence,
            out,
            as_json,
        )
    except InputError as error:
        if not as_json:
            raise
        print_json({"error": str(error)})
        raise typer.Exit(2) from error
    raise typer.Exit(code)


def _verify(
    submission: str | None,
    terms: str | None,
    attempt: int,
    secret: Path | None,
    claim: str | None,
    seeds: int | None,
    replay: int,
    again: Path | None,
    memory: int,
    allow_unsandboxed: bool,
    evidence: Path | None,
    out: Path,
    as_json: bool,
) -> int:
    if evidence is not None:
        return _check_evidence(evidence, submission, as_json)
    if submission is None:
        raise InputError("verify: name a submission, a folder or https://...@COMMIT, or --evidence FILE.")
    from fuxian.verify.commands import GIB, Allowance
    from fuxian.verify.reasons import Reason
    from fuxian.verify.terms import load_terms
    from fuxian.verify.verify import verify as run

    if terms is not None and (claim is not None or seeds is not None):
        raise InputError(
            "verify: with --terms, the claim and its seeds are the terms'; leave --claim and --seeds out."
        )
    if terms is not None and again is not None:
        raise InputError("verify: --again reads a self-check's evaluation, and a ruling measures for itself.")
    if terms is None and (secret is not None or attempt != 1):
        raise InputError("verify: --secret and --attempt belong to a ruling; give --terms.")
    agreed = None if terms is None else load_terms(terms)
    drawn = None if secret is None else _secret(secret)
    results = out / f"verify-{time.strftime('%Y%m%d-%H%M%S')}-{time.monotonic_ns() % 10**6:06d}"
    console = Console(stderr=True)
    with console.status("Verifying") as status:
        done = run(
            submission,
            results,
            terms=agreed,
            secret=drawn,
            attempt=attempt,
            claim_id=claim,
            seeds=seeds,
            replay_steps=replay,
            again=again,
            allowance=Allowance(memory=memory * GIB),
            allow_unsandboxed=allow_unsandboxed,
            listener=lambda event: status.update(f"Verifying: {_doing(event)}"),
        )
    prepared = done.steps[0]
    if prepared.status == "pass" and prepared.detail:
        console.print(Text(f"{prepared.detail}.", style="yellow"), soft_wrap=True)
    if as_json:
        print_json(done.as_dict())
    else:
        _show(done)
    return 4 if done.reason is Reason.INTERNAL else EXIT_CODES[done.verdict]


def _doing(event: Event) -> str:
    minutes, seconds = divmod(int(event.seconds), 60)
    what = event.step if event.command == event.step else f"{event.step} ({event.command})"
    return f"{what}, {minutes}:{seconds:02d}"


def _secret(file: Path) -> bytes:
    try:
        secret = bytes.fromhex(file.read_text(encoding="ascii").strip())
    except (OSError, ValueError) as error:
        raise InputError(
            f"{file}: this holds no secret; write 32 random bytes in hexadecimal there."
        ) from error
    if len(secret) != 32:
        raise InputError(
            f"{file}: a secret has 32 bytes and this one {len(secret)}; write 64 hexadecimal digits."
        )
    return secret


def _check_evidence(file: Path, submission: str | None, as_json: bool) -> int:
    from fuxian.temporary import temporary_folder
    from fuxian.verify.evidence import check
    from fuxian.verify.source import pin

    if submission is None:
        checked = check(file)
    else:
        with temporary_folder("verify") as place:
            checked = check(file, pin(submission, place).folder)
    told = checked.as_dict()
    if as_json:
        print_json(told)
    else:
        console = Console()
        for sentence in told["wrong"]:
            console.print(Text(sentence, style="bold red"), soft_wrap=True)
        word = "does not hold" if checked.wrong else "holds"
        console.print(
            f"The evidence {word}: {told['verdict']} ({told['reason']}), {told['time']}.",
            markup=False,
            soft_wrap=True,
        )
        # Last, so that nothing is printed after it that could hide it.
        style = "green" if checked.known else "bold red"
        console.print(Text(f"Signed with {told['signer']} {checked.key}.", style=style), soft_wrap=True)
    if checked.wrong:
        return 1
    return 0 if checked.known else STRANGE


def _show(done: Verification) -> None:
    console = Console()
    table = Table(Column("", no_wrap=True), "step", Column("finding", overflow="fold"))
    for step in done.steps:
        word, style = MARKS[step.status]
        table.add_row(Text(word, style=style), step.name, Text(step.detail))
    console.print(table)
    document = done.as_dict()
    if done.verdict != "accepted" and document["commands"]:
        last = document["commands"][-1]
        for name in ("stdout", "stderr"):
            if last[name]:
                console.print(
                    Text(f"{last['name']}, end of {name}:\n{last[name]}", style="dim"), soft_wrap=True
                )
    headline = f"{done.headline}. {document['reason']}: {document['detail']}"
    console.print(Text(headline, style="bold"), soft_wrap=True)
    console.print(Text(f"Evidence: {done.evidence}"), soft_wrap=True)
