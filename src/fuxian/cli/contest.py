"""``fuxian contest``: runs a challenge, and takes part in one."""

from __future__ import annotations

import csv
import json
import logging
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from fuxian.cli.options import AsJson, Language, print_json
from fuxian.errors import InputError
from fuxian.extras import need
from fuxian.recipe import leaves

app = typer.Typer(no_args_is_help=True)

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The contest's folder.")]
Server = Annotated[
    str | None, typer.Option("--server", envvar="FUXIAN_CONTEST", help="The contest's server, https://...")
]
AccountLanguage = Annotated[
    Language, typer.Option("--lang", help="Language of the account's pages and mails.")
]
Reason = Annotated[str, typer.Option("--reason", help="For the record.")]


class Format(StrEnum):
    table = "table"
    csv = "csv"
    issue = "issue"


class Engine(StrEnum):
    local = "local"
    ray = "ray"


@app.callback()
def needs() -> None:
    """Run a challenge, or take part in one."""
    need("contest", ["sqlalchemy", "fastapi"], "fuxian contest")


@app.command()
def init(
    folder: Folder,
    example: Annotated[str, typer.Option(help="Whose contest.toml to begin with: 2021 or class.")] = "class",
    organiser: Annotated[
        str | None, typer.Option(help="E-mail address of the first organiser's account.")
    ] = None,
    lang: AccountLanguage = Language.en,
    as_json: AsJson = False,
) -> None:
    """Make a contest's folder: contest.toml to be edited, the signing key, the database.

    Example: fuxian contest init my-contest --example class --organiser me@example.org
    """
    import secrets

    from fuxian.contest.place import create
    from fuxian.contest.service import accounts

    at = create(folder, example)
    made: dict[str, Any] = {"folder": str(folder), "key": at.signer.public}
    if organiser is not None:
        password = secrets.token_urlsafe(12)
        made |= {"organiser": organiser, "password": password}
        accounts.make_organiser(at, organiser, organiser.partition("@")[0], password, lang)
    if as_json:
        print_json(made)
        return
    console = Console()
    console.print(f"Edit {folder}/contest.toml, then run: fuxian contest serve {folder}", soft_wrap=True)
    if organiser is not None:
        console.print(
            f"Organiser {organiser}, password (shown once): {made['password']}", soft_wrap=True, markup=False
        )


@app.command()
def serve(
    folder: Folder,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
    workers: Annotated[int, typer.Option(min=0, max=64, help="Verifications at once on this machine.")] = 1,
    address: Annotated[
        str | None, typer.Option(help="Where people reach it, for links in mails: https://...")
    ] = None,
    demo: Annotated[
        bool, typer.Option("--demo", help="Fill an empty contest with a finished race first.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Serve the contest: API, pages, workers. DATABASE_URL and ARTIFACTS_URL change where things are kept.

    Example: fuxian contest serve my-contest --port 8000
    """
    from fuxian.contest.demo import fill
    from fuxian.contest.evaluation import check_terms
    from fuxian.contest.place import open_contest
    from fuxian.contest.server import serve as run

    _log()
    at = open_contest(folder, migrate=True, address=address or f"http://{host}:{port}")
    check_terms(at)
    if demo:
        fill(at)
    if as_json:
        print_json({"contest": at.contest.title.en, "address": at.address, "workers": workers})
    else:
        Console(stderr=True).print(f"Serving {at.contest.title.en} at {at.address}", markup=False)
    run(at, host=host, port=port, workers=workers)


@app.command()
def worker(
    folder: Folder,
    once: Annotated[bool, typer.Option("--once", help="Until the queue is empty, then stop.")] = False,
    engine: Annotated[
        Engine, typer.Option(help="Where verifications run: on this machine, or on a Ray cluster.")
    ] = Engine.local,
    cluster: Annotated[
        str,
        typer.Option(help="With --engine ray: its address; auto is the one that this machine is a node of."),
    ] = "auto",
    slots: Annotated[int, typer.Option(min=1, help="With --engine ray: how many verifications at once.")] = 1,
    cpus: Annotated[float, typer.Option(min=0.1, help="With --engine ray: processors of each.")] = 2.0,
    gpus: Annotated[float, typer.Option(min=0, help="With --engine ray: cards of each.")] = 0.0,
    memory: Annotated[float, typer.Option(min=0.1, help="With --engine ray: GiB of each.")] = 8.0,
    as_json: AsJson = False,
) -> None:
    """Verify what waits in the queue, on this machine or another that reaches database and artifacts.

    Example: fuxian contest worker my-contest
    """
    from fuxian.contest.evaluation import Evaluate, by_fuxian, check_terms
    from fuxian.contest.place import open_contest
    from fuxian.contest.server import run_workers
    from fuxian.contest.worker import Worker

    _log()
    evaluate: Evaluate = by_fuxian
    if engine is Engine.ray:
        from fuxian.contest.on_ray import Room, on_ray

        evaluate = on_ray(cluster, Room(cpus, gpus, memory))
    at = open_contest(folder)
    check_terms(at)
    workers = [Worker(at, evaluate, engine=engine.value) for _ in range(slots)]
    done = 0
    if once:
        while workers[0].step():
            done += 1
        _done({"verified": done}, f"{done} verified; the queue is empty.", as_json)
    else:
        run_workers(workers)


@app.command()
def account(
    email: Annotated[str, typer.Argument()],
    name: Annotated[str, typer.Option(help="As on the certificates.")],
    server: Server = None,
    lang: AccountLanguage = Language.en,
    password: Annotated[
        str,
        typer.Option(
            prompt=True, hide_input=True, envvar="FUXIAN_CONTEST_PASSWORD", confirmation_prompt=True
        ),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Make an account; a link to confirm it is mailed.

    Example: fuxian contest account me@example.org --name Me --server https://...
    """
    body = {"email": email, "name": name, "password": password, "language": lang}
    made = _client(server).call("POST", "/accounts", json=body)
    _done(
        made,
        f"account {made['account']}: open the link in the mail (or ask the organiser to confirm you), then log in.",
        as_json,
    )


@app.command()
def confirm(
    secret: Annotated[str, typer.Argument(help="From the mail's link.")],
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """Confirm the e-mail address.

    Example: fuxian contest confirm SECRET --server https://...
    """
    _client(server).call("POST", "/accounts/confirm", json={"secret": secret})
    _done({"confirmed": True}, "confirmed", as_json)


@app.command()
def login(
    email: Annotated[str, typer.Argument()],
    server: Server = None,
    password: Annotated[
        str, typer.Option(prompt=True, hide_input=True, envvar="FUXIAN_CONTEST_PASSWORD")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Log in: a token is kept for this server.

    Example: fuxian contest login me@example.org --server https://...
    """
    client = _client(server)
    made = client.call("POST", "/tokens", json={"email": email, "password": password, "name": "fuxian"})
    kept = str(client.keep_token(made["token"]))
    _done({"token_file": kept}, f"logged in; the token is kept in {kept}", as_json)


@app.command()
def team(
    name: Annotated[
        str | None, typer.Argument(help="Founds a team of this name; without it, shows yours.")
    ] = None,
    invite: Annotated[bool, typer.Option("--invite", help="Make a link for one person.")] = False,
    join: Annotated[str | None, typer.Option(help="Join by a link's secret.")] = None,
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """Found a team, invite, join, or see it.

    Example: fuxian contest team "Few Shots"
    """
    client = _client(server)
    if name is not None:
        _show(client.call("POST", "/teams", json={"name": name}), as_json)
    elif join is not None:
        _show(client.call("POST", "/team/join", json={"secret": join}), as_json)
    elif invite:
        _show(client.call("POST", "/team/invites"), as_json)
    else:
        _show(client.call("GET", "/me"), as_json)


@app.command()
def register(
    paper: Annotated[str, typer.Argument(help="Number or id.")],
    repo: Annotated[str, typer.Option(help="https://HOST/OWNER/NAME, whose README names the paper.")] = "",
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """Register your team for a paper; prints a seed where the training must begin from one.

    Example: fuxian contest register maml --repo https://github.com/us/maml-paddle
    """
    _show(_client(server).call("POST", "/registrations", json={"paper": paper, "repo": repo}), as_json)


@app.command()
def submit(
    paper: Annotated[str, typer.Argument(help="Number or id.")],
    folder: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="Uploads this repository's HEAD.")
    ] = None,
    repo: Annotated[str | None, typer.Option(help="A public repository instead.")] = None,
    commit: Annotated[str | None, typer.Option(help="Its commit, 40 digits.")] = None,
    out: Annotated[Path | None, typer.Option(help="Keeps the signed receipt here.")] = None,
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """Submit: the commit is fixed, and the signed receipt says when it was received.

    Example: fuxian contest submit maml --repo https://github.com/us/maml-paddle --commit 0123...
    """
    client = _client(server)
    if folder is not None:
        receipt = client.upload(paper, folder)
    elif repo and commit:
        receipt = client.call("POST", "/submissions", json={"paper": paper, "repo": repo, "commit": commit})
    else:
        raise InputError("submit: give a folder to upload, or --repo and --commit.")
    if out is not None:
        out.write_text(json.dumps(receipt, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    _show(receipt, as_json)


@app.command()
def status(
    submission: Annotated[int | None, typer.Argument(help="Without it: your team and its steps.")] = None,
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """What became of a submission. Exit code: 0 won or out of competition, 1 decided against, 3 undecided.

    Example: fuxian contest status 7
    """
    client = _client(server)
    if submission is None:
        _show(client.call("GET", "/me"), as_json)
        return
    found = client.call("GET", f"/submissions/{submission}")
    _show(found, as_json)
    codes = {"won": 0, "unranked": 0, "queued": 3, "review": 3, "provisional": 3}
    raise typer.Exit(codes.get(found["status"], 1))


@app.command()
def board(
    folder: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="The contest's folder, on its machine.")
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="issue: the thread's table.")] = Format.table,
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """The board. Of a server, or of a contest's folder on this machine.

    Example: fuxian contest board my-contest --format issue
    """
    if as_json and form is not Format.table:
        raise InputError("board: --json and --format each choose the form; give one of them.")
    if folder is not None:
        from fuxian.contest.board import thread, views
        from fuxian.contest.place import open_contest

        at = open_contest(folder)
        found: Any = thread.table(at) if form is Format.issue else views.board(at)
    else:
        client = _client(server)
        found = client.call("GET", "/board/issue" if form is Format.issue else "/board")
    if form is Format.issue:
        sys.stdout.write(found)
    elif as_json:
        print_json(found)
    elif form is Format.csv:
        _csv(found["papers"])
    else:
        _board_table(found["papers"])


@app.command("import-thread")
def import_thread(
    folder: Folder,
    file: Annotated[Path, typer.Argument(help="Comments exported as JSON, or pasted text.")],
    as_json: AsJson = False,
) -> None:
    """Take in the replies of the old thread. What was taken is not taken again; each refusal has its reason.

    Exit code 1 where a reply could not be used.

    Example: fuxian contest import-thread my-contest comments.json
    """
    from fuxian.contest.place import open_contest
    from fuxian.contest.service import intake
    from fuxian.contest.thread import read_comments

    _report(intake.import_thread(open_contest(folder), read_comments(file)), as_json)


@app.command("import-mail")
def import_mail(
    folder: Folder,
    file: Annotated[Path, typer.Argument(help="An .eml or mbox file, or a folder of .eml files.")],
    as_json: AsJson = False,
) -> None:
    """Take in the mails of the two templates: reference run, submission.

    Exit code 1 where a mail could not be used.

    Example: fuxian contest import-mail my-contest inbox.mbox
    """
    from fuxian.contest.mail import read_mails
    from fuxian.contest.place import open_contest
    from fuxian.contest.service import intake

    _report(intake.import_mails(open_contest(folder), read_mails(file)), as_json)


@app.command()
def rejudge(
    submissions: Annotated[list[int] | None, typer.Argument(help="Opens a rejudge of these.")] = None,
    reason: Reason = "",
    show: Annotated[int | None, typer.Option(help="What applying this rejudge would change.")] = None,
    apply: Annotated[int | None, typer.Option(help="Lets its rulings stand.")] = None,
    cancel: Annotated[int | None, typer.Option(help="Drops it; nothing changes.")] = None,
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """Judge submissions again: open, look at what would change, then apply or cancel. For organisers.

    Example: fuxian contest rejudge 3 4 --reason "the checker was mended"
    """
    client = _client(server)
    if submissions:
        body = {"submissions": submissions, "reasons": reason}
        _show(client.call("POST", "/admin/rejudges", json=body), as_json)
    elif show is not None:
        _show(client.call("GET", f"/admin/rejudges/{show}"), as_json)
    elif apply is not None:
        _show(client.call("POST", f"/admin/rejudges/{apply}/apply"), as_json)
    elif cancel is not None:
        _show(client.call("POST", f"/admin/rejudges/{cancel}/cancel"), as_json)
    else:
        raise InputError("rejudge: name submissions, or --show, --apply or --cancel with a rejudge's number.")


@app.command()
def audit(
    folder: Folder,
    log: Annotated[
        Path | None, typer.Option(help="A public log as exported, in place of the contest's database.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Recompute the winners from the log and compare. DIR holds the contest.toml. Exit code 1 where they differ.

    Example: fuxian contest audit my-contest
    """
    from fuxian.contest import audit as audits
    from fuxian.contest.place import open_contest
    from fuxian.contest.settings import load_contest

    if log is not None:
        found = audits.audit(load_contest(folder), audits.read_log(log))
    else:
        at = open_contest(folder)
        found = audits.audit_database(at.contest, at.database)
    if as_json:
        print_json(found.as_dict())
    else:
        console = Console()
        for sentence in found.wrong:
            console.print(Text(sentence, style="bold red"), soft_wrap=True)
        winners = (
            ", ".join(f"{paper}: #{number}" for paper, number in sorted(found.winners.items())) or "none yet"
        )
        word = "differs" if found.wrong else "agrees"
        console.print(
            Text(f"{found.events} events, head {found.head[:16]}: {word}. Winners: {winners}"), soft_wrap=True
        )
    raise typer.Exit(1 if found.wrong else 0)


@app.command()
def backup(
    folder: Folder, file: Annotated[Path, typer.Argument(help="A new .tar.gz.")], as_json: AsJson = False
) -> None:
    """Keep everything in one file, while the server goes on.

    Example: fuxian contest backup my-contest contest-backup.tar.gz
    """
    from fuxian.contest.backup import backup as keep
    from fuxian.contest.place import open_contest

    counts = keep(open_contest(folder), file)
    if as_json:
        print_json({"file": str(file), "rows": counts})
    else:
        print(f"{file}: {sum(counts.values())} rows of {len(counts)} tables, and the artifacts.")


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="A backup.")], folder: Folder, as_json: AsJson = False
) -> None:
    """Bring a backup back into a new folder, and into an empty database at DATABASE_URL where that is set.

    Example: fuxian contest restore contest-backup.tar.gz my-contest
    """
    from fuxian.contest.backup import restore as bring_back

    bring_back(file, folder)
    _done({"folder": str(folder)}, f"{folder} is as it was; run: fuxian contest serve {folder}", as_json)


@app.command()
def export(
    folder: Folder, out: Annotated[Path, typer.Argument(help="A new folder.")], as_json: AsJson = False
) -> None:
    """Write what is public: board, submissions, winners, the log, the thread's table.

    Example: fuxian contest export my-contest public
    """
    from fuxian.contest.audit import links_of
    from fuxian.contest.board import thread, views
    from fuxian.contest.place import open_contest
    from fuxian.contest.service import final

    at = open_contest(folder)
    try:
        out.mkdir(parents=True)
    except FileExistsError as error:
        raise InputError(f"{out} is there already; name a new folder.") from error
    _write(out / "board.json", views.board(at))
    _write(out / "winners.json", final.winners(at))
    (out / "board.md").write_text(thread.table(at), encoding="utf-8")
    with (out / "log.jsonl").open("w", encoding="utf-8") as lines:
        for link in links_of(at.database):
            lines.write(json.dumps(link.as_dict(), ensure_ascii=False) + "\n")
    with (out / "submissions.jsonl").open("w", encoding="utf-8") as lines:
        after: int | None = 0
        while after is not None:
            part = views.submissions(at, newest_first=False, limit=views.MOST, after=after)
            lines.writelines(json.dumps(one, ensure_ascii=False) + "\n" for one in part["items"])
            after = part["next"]
    files = ["board.json", "board.md", "winners.json", "submissions.jsonl", "log.jsonl"]
    _done({"folder": str(out), "files": files}, f"{out}: {', '.join(files)}", as_json)


def _client(server: str | None) -> Any:
    from fuxian.contest.client import Client

    return Client(server)


def _show(document: dict[str, Any], as_json: bool) -> None:
    """What a server answered: a document for programs, ``name: value`` lines for people."""
    if as_json:
        print_json(document)
        return
    console = Console()
    for path, value in leaves(document):
        console.print(Text(f"{path}: {'' if value is None else value}"), soft_wrap=True)


def _done(document: dict[str, Any], sentence: str, as_json: bool) -> None:
    if as_json:
        print_json(document)
    else:
        print(sentence)


def _log() -> None:
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    for noisy in ("httpx", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _report(lines: list[Any], as_json: bool) -> None:
    refused = [line for line in lines if not line.used]
    if as_json:
        document = [{"source": line.source, "used": line.used, "said": line.said} for line in lines]
        print_json({"lines": document, "used": len(lines) - len(refused), "refused": len(refused)})
    else:
        console = Console()
        for line in lines:
            style = "" if line.used else "yellow"
            word = "" if line.used else "NOT USED: "
            console.print(Text(f"{line.source}: {word}{line.said}", style=style), soft_wrap=True)
        console.print(f"{len(lines) - len(refused)} used, {len(refused)} not")
    raise typer.Exit(1 if refused else 0)


COLUMNS = ("number", "id", "title", "stars", "state", "registered", "submissions")


def _board_table(papers: list[dict[str, Any]]) -> None:
    names = ("", "paper", "stars", "state", "teams", "submissions", "winner")
    table = Table(*(Column(name, overflow="fold") for name in names))
    for paper in papers:
        winner = paper["winner"]["name"] if paper["winner"] else ""
        table.add_row(
            str(paper["number"]),
            Text(paper["title"]),
            "★" * paper["stars"],
            paper["state"],
            str(paper["registered"]),
            str(paper["submissions"]),
            Text(winner),
        )
    Console().print(table)


def _csv(papers: list[dict[str, Any]]) -> None:
    out = csv.writer(sys.stdout)
    out.writerow([*COLUMNS, "winner", "won_at"])
    for paper in papers:
        winner = paper["winner"] or {}
        row = [*(paper[name] for name in COLUMNS), winner.get("name", ""), winner.get("at", "")]
        out.writerow([_inert(str(value)) for value in row])


def _inert(value: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{value}" if value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def _write(file: Path, document: Any) -> None:
    file.write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
