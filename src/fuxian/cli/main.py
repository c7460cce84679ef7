"""The ``fuxian`` command: puts the command groups together and turns what went wrong into a sentence and an exit code.

With ``--json`` the sentence is a document on stdout too, ``{"error": ...}``, whatever went wrong.

Exit codes: 0 done or accepted, 1 rejected or diverged, 2 bad input, 3 inconclusive, 4 the platform's own failure,
130 interrupted.
"""

from __future__ import annotations

import errno
import os
import platform
import sys
import traceback
from contextlib import nullcontext
from typing import Annotated

import typer

import fuxian
from fuxian.cli import (
    align,
    contest,
    data,
    doctor,
    export,
    papers,
    predict,
    reproduce,
    runs,
    submission,
    verify,
    weights,
)
from fuxian.cli.apart import run_apart
from fuxian.cli.commands import built, first_page
from fuxian.cli.options import print_json, stdout_for_json_alone
from fuxian.cli.paper_options import CONTEXT
from fuxian.errors import InputError, PlatformError
from fuxian.invocation import command, program
from fuxian.training.machine import prepare

app = typer.Typer(
    name="fuxian",
    help="复现: takes a research paper to an accepted PaddlePaddle reproduction.",
    invoke_without_command=True,
    pretty_exceptions_enable=False,
)
app.command("papers")(papers.papers)
app.command("reproduce")(reproduce.reproduce)
app.command("train")(reproduce.train)
app.command("evaluate")(reproduce.evaluate)
app.command("runs")(runs.runs)
app.command("compare")(runs.compare)
app.command("predict", context_settings=CONTEXT)(predict.predict)
app.command("export", context_settings=CONTEXT)(export.export)
app.command("new")(submission.new)
app.command("check")(submission.check)
app.command("describe")(submission.describe)
app.command("package")(submission.package)
app.command("verify")(verify.verify)
app.command("doctor")(doctor.doctor)
app.add_typer(data.app, name="data")
app.add_typer(align.app, name="align")
app.add_typer(submission.reference_app, name="reference")
app.add_typer(weights.app, name="weights")
app.add_typer(contest.app, name="contest")


_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM})
"""The machine's own failures; any other error of a file is about the path that was given."""
VERBOSE = "FUXIAN_TRACEBACK"
INTERRUPTED = 130


@app.callback()
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the versions, and exit.")] = False,
    verbose: Annotated[
        bool,
        typer.Option("--verbose", help="Before the command: where something fails, show the whole trace."),
    ] = False,
) -> None:
    """复现: takes a research paper to an accepted PaddlePaddle reproduction."""
    if verbose:
        os.environ[VERBOSE] = "1"
    if version:
        from importlib.metadata import version as of

        typer.echo(
            f"fuxian {fuxian.__version__} (PaddlePaddle {of('paddlepaddle')}, Python {platform.python_version()})"
        )
    elif context.invoked_subcommand is None:
        typer.echo(first_page())


def run() -> None:
    """Entry point of the ``fuxian`` command."""
    if sys.argv[1:3] in (["align", "run"], ["align", "record"]) and "--help" not in sys.argv:
        code, ended = run_apart(_whole)
        if ended:
            _say(ended)
    else:
        code = _whole()
    sys.exit(code)


def _whole() -> int:
    with stdout_for_json_alone() if "--json" in sys.argv[1:] else nullcontext():
        return _run()


def _run() -> int:
    prepare()
    try:
        code = built(app)(prog_name="fuxian", standalone_mode=False)
        if code == INTERRUPTED:  # Typer turns Ctrl-C into this code and says nothing.
            raise KeyboardInterrupt
    except InputError as error:
        _say(str(error))
        code = 2
    except PlatformError as error:
        _say(str(error))
        code = 4
    except KeyboardInterrupt:
        _say("interrupted; what was written so far is kept.")
        code = INTERRUPTED
    except OSError as error:
        _trace()
        if error.filename is None or error.strerror is None:
            code = _defect(error)
        elif error.errno in _FULL:
            _say(
                f"{error.filename}: {error.strerror}. The machine is at its limits: free some room and run again."
            )
            code = 4
        else:
            _say(f"{error.filename}: {error.strerror}; check the path, or give another one.")
            code = 2
    except Exception as error:
        # Usage errors come from the click that Typer carries; both know their own text and exit code.
        if hasattr(error, "exit_code") and hasattr(error, "format_message"):
            _say(f"{error.format_message() or 'name one of these commands'} (see --help)")
            code = 2
        else:
            _trace()
            code = _defect(error)
    return code if isinstance(code, int) else 0


def _trace() -> None:
    if os.environ.get(VERBOSE):
        traceback.print_exc()


def _defect(error: Exception) -> int:
    _say(
        f"internal error, {type(error).__name__}: {error}. This is a defect of Fuxian; run `{command('--verbose')} ...`"
        " and report what it shows."
    )
    return 4


def _say(sentence: str) -> None:
    # Commands that a sentence names are to run as they stand.
    sentence = sentence.replace("`fuxian ", f"`{program('fuxian')} ")
    print(f"fuxian: {sentence}", file=sys.stderr)
    if "--json" in sys.argv[1:]:
        print_json({"error": sentence})


if __name__ == "__main__":
    run()
