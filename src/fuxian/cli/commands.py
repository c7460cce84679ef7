"""The tree of commands as people see it: flags without a type, and a first page for who types ``fuxian`` alone."""

from __future__ import annotations

from typing import Any

import typer

from fuxian.invocation import command

FIRST_STEPS = (
    (("reproduce", "maml/sinusoid-10shot", "--quick"), "half a minute: trains, evaluates, writes a report"),
    (("papers",), "what is reproduced, with the last verdicts"),
    (("new", "my-paper"), "a reproduction of your own, from a template"),
    (("align", "run", "PORT", "REFERENCE"), "proves a port equal to its reference, or names the cause"),
    (("doctor",), "what this machine can and cannot do"),
    (("--help",), "every command"),
)


def first_page() -> str:
    """What ``fuxian`` alone says: what it is, and what to type first."""
    lines = ["复现 Fuxian takes a research paper to an accepted PaddlePaddle reproduction. To begin:", ""]
    shown = [(command(*arguments), about) for arguments, about in FIRST_STEPS]
    width = max(len(line) for line, _ in shown)
    return "\n".join([*lines, *(f"  {line.ljust(width)}   {about}" for line, about in shown)])


def built(app: typer.Typer) -> Any:
    """The command of an app, ready to be called; its flags are shown without a type."""
    root = typer.main.get_command(app)
    _without_types(root, typer.Context(root))
    return root


def _without_types(one: Any, context: Any) -> None:
    for parameter in [*one.params, one.get_help_option(context)]:
        if getattr(parameter, "is_flag", False) and parameter.metavar is None:
            parameter.metavar = ""
    for name in getattr(one, "commands", {}):
        _without_types(one.commands[name], context)
