"""A paper's own options of ``predict`` and ``export``: read from their signatures, parsed, shown by ``--help``."""

from __future__ import annotations

import argparse
import inspect
import typing
from pathlib import Path
from typing import Any, Literal, NoReturn

import typer

from fuxian.errors import InputError
from fuxian.papers.contract import PaperFolder

CONTEXT = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
"""Of a command that hands what it does not know to the paper, ``--help`` included."""
Help = typing.Annotated[
    bool, typer.Option("--help", help="Show this, and with a PAPER what is its own, and exit.")
]


def parse(folder: PaperFolder, part: str, words: list[str]) -> dict[str, Any]:
    """The paper's own options of ``predict`` or ``export`` from the words that the command did not know.

    Raises InputError for unknown, malformed or missing ones.
    """
    parser = _Parser(add_help=False, allow_abbrev=False, argument_default=argparse.SUPPRESS)
    for name, parameter in folder.options(part).items():
        kind, _ = _kind(parameter)
        shape: dict[str, Any] = {"type": kind}
        if typing.get_origin(kind) is Literal:
            shape = {"choices": typing.get_args(kind)}
        elif kind is bool:
            shape = {"action": argparse.BooleanOptionalAction}
        parser.add_argument(f"--{name.replace('_', '-')}", dest=name, required=_required(parameter), **shape)
    try:
        return vars(parser.parse_args(words))
    except argparse.ArgumentError as error:
        raise InputError(f"{folder.name}: {error} (see `fuxian {part} {folder.name} --help`).") from error


def show_help(context: typer.Context, folder: PaperFolder | None, part: str) -> None:
    """Prints the command's help and, of a paper, what its path may be and which options it has."""
    typer.echo(context.get_help())
    if folder is None:
        return
    typer.echo(f"\n{folder.paper.id}: {folder.paper.title}\n")
    if part == "predict":
        typer.echo(f"{folder.predict_path}\n")
    for name, parameter in folder.options(part).items():
        kind, about = _kind(parameter)
        choices = "|".join(map(str, typing.get_args(kind))) or getattr(kind, "__name__", "").upper()
        default = "required" if _required(parameter) else f"default: {parameter.default}"
        typer.echo(f"  --{name.replace('_', '-')} {choices}  {about} [{default}]")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise argparse.ArgumentError(None, message)


def _kind(parameter: inspect.Parameter) -> tuple[Any, str]:
    """The type of an option, without None, and its sentence of help."""
    annotation, about = parameter.annotation, ""
    if hasattr(annotation, "__metadata__"):
        about = next((one for one in annotation.__metadata__ if isinstance(one, str)), "")
        annotation = annotation.__origin__
    if typing.get_origin(annotation) is not Literal:
        without_none = [one for one in typing.get_args(annotation) if one is not type(None)]
        annotation = without_none[0] if without_none else annotation
    known = annotation in (int, float, str, bool, Path) or typing.get_origin(annotation) is Literal
    return (annotation if known else str), about


def _required(parameter: inspect.Parameter) -> bool:
    return parameter.default is parameter.empty
