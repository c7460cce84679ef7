"""``fuxian predict``: a reproduced paper's model on the user's own data."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from fuxian.cli.options import AsJson, complete_claim, print_json
from fuxian.cli.paper_options import Help, parse, show_help
from fuxian.errors import InputError
from fuxian.json_files import write_json

Weights = Annotated[Path | None, typer.Option(help="A file of weights; the paper's own if absent.")]
OptionalName = Annotated[
    str | None,
    typer.Argument(
        metavar="PAPER[/CLAIM]|DIR",
        help="As `fuxian papers` lists them, or your own folder.",
        autocompletion=complete_claim,
    ),
]
ROWS = "predictions.json"


def predict(
    context: typer.Context,
    name: OptionalName = None,
    path: Annotated[
        Path | None,
        typer.Argument(help="What to predict on: a picture, folder, video or table, as PAPER says."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="A new folder for what was found.")] = None,
    weights: Weights = None,
    as_json: AsJson = False,
    show: Help = False,
) -> None:
    """Predict on your own data: values, and something to look at.

    DIR gets predictions.json and pictures, tables or a video of what was found. Each paper has options of its own:
    `fuxian predict PAPER --help` shows them, and what PATH may be.

    Example: fuxian predict maml/omniglot-5way-1shot my-characters --out found
    """
    from fuxian.papers.find import find_claim

    if show:
        show_help(context, find_claim(name)[0] if name else None, "predict")
        return
    if name is None or path is None or out is None:
        missing = "PAPER" if name is None else "PATH" if path is None else "--out DIR"
        raise InputError(f"predict: {missing} is missing (see `fuxian predict --help`).")
    folder, claim = find_claim(name)
    options = parse(folder, "predict", context.args)
    if not path.exists():
        raise InputError(f"{path} is not there; give {' '.join(folder.predict_path.split())}")
    file = weights or folder.weights(claim.id)
    new_folder(out)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as place:
        made = Path(place) / "made"
        made.mkdir()
        found = folder.predict(claim, path, file, made, options)
        document = {
            "paper": folder.paper.id,
            "claim": claim.id,
            "weights": file,
            "path": path,
            **found.about,
            "predictions": found.rows,
            "views": [out / view.relative_to(made) for view in found.views],
        }
        write_json(made / ROWS, document)
        made.rename(out)
    document["files"] = sorted(file for file in out.rglob("*") if file.is_file())
    if as_json:
        print_json(document)
        return
    _show(found.rows)
    for view in document["views"]:
        Console().print(f"Look at: {view}", markup=False, soft_wrap=True)


def new_folder(out: Path) -> None:
    """Raises InputError where ``out`` is there and not empty, or cannot be made."""
    if out.is_symlink() or (out.exists() and (not out.is_dir() or any(out.iterdir()))):
        raise InputError(f"{out} is there already; name a new folder with --out.")
    if not out.parent.is_dir():
        raise InputError(f"{out} cannot be made ({out.parent} is no folder); give another --out.")


def _show(rows: list[dict[str, Any]]) -> None:
    """One line for each prediction; a field that is itself a dict becomes several columns, a list its length."""
    if not rows:
        Console().print("Nothing was found.")
        return
    cells = [_cells(prediction) for prediction in rows]
    # Text, since names of the user's files may look like rich's markup.
    table = Table(*(Column(Text(name), overflow="fold") for name, _ in cells[0]))
    for row in cells:
        table.add_row(*(Text(_short(value)) for _, value in row))
    Console().print(table)


def _cells(prediction: dict[str, Any]) -> list[tuple[str, Any]]:
    return [
        cell
        for name, value in prediction.items()
        for cell in (value.items() if isinstance(value, dict) else [(name, value)])
    ]


def _short(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return f"{len(value)}"
    return f"{value:.4f}" if isinstance(value, float) else str(value)
