"""The ``fuxian`` command: puts the command groups together and turns what went wrong into a sentence and an exit code.

With ``--json`` the sentence is a document on stdout too, ``{"error": ...}``, whatever went wrong.

Exit codes: 0 done or accepted, 1 rejected or diverged, 2 bad input, 3 inconclusive, 4 the platform's own failure,
130 interrupted.
"""

from __future__ import annotations

import os
import sys
import traceback
from contextlib import nullcontext

import typer

from fuxian.cli import (
    align,
    contest,
    data,
    doctor,
    export,
    papers,
    predict,
    reproduce,
    submission,
    verify,
    weights,
)
from fuxian.cli.apart import run_apart
from fuxian.cli.options import print_json, stdout_for_json_alone
from fuxian.cli.paper_options import CONTEXT
from fuxian.errors import InputError, PlatformError
from fuxian.training.machine import prepare

app = typer.Typer(
    name="fuxian",
    help="复现: takes a research paper to an accepted PaddlePaddle reproduction.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command("papers")(papers.papers)
app.command("reproduce")(reproduce.reproduce)
app.command("train")(reproduce.train)
app.command("evaluate")(reproduce.evaluate)
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
        code = app(standalone_mode=False)
    except InputError as error:
        _say(str(error))
        code = 2
    except PlatformError as error:
        _say(str(error))
        code = 4
    except KeyboardInterrupt:
        _say("interrupted; what was written so far is kept.")
        code = 130
    except Exception as error:
        # Usage errors come from the click that Typer carries; both know their own text and exit code.
        if hasattr(error, "exit_code") and hasattr(error, "format_message"):
            _say(f"{error.format_message()} (see --help)")
            code = 2
        else:
            if os.environ.get("FUXIAN_TRACEBACK"):
                traceback.print_exc()
            _say(
                f"internal error, {type(error).__name__}: {error}. This is a defect of Fuxian; run again with"
                " FUXIAN_TRACEBACK=1 and report what it shows."
            )
            code = 4
    return code if isinstance(code, int) else 0


def _say(sentence: str) -> None:
    print(f"fuxian: {sentence}", file=sys.stderr)
    if "--json" in sys.argv[1:]:
        print_json({"error": sentence})


if __name__ == "__main__":
    run()
