"""``fuxian predict``: a reproduced paper's model on the user's own data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from fuxian.cli.options import AsJson, PaperClaim, print_json
from fuxian.errors import InputError

Weights = Annotated[Path | None, typer.Option(help="A file of weights; the committed ones if absent.")]
Steps = Annotated[
    int | None, typer.Option(min=0, help="Gradient steps on the support examples; the paper's own if absent.")
]


def predict(
    *,
    name: PaperClaim,
    folder: Annotated[Path, typer.Argument(help="The data to predict on, laid out as told above.")],
    weights: Weights = None,
    steps: Steps = None,
    out: Annotated[Path | None, typer.Option(help="Write the predictions to this file too, as JSON.")] = None,
    as_json: AsJson = False,
) -> None:
    """Predict on a folder of your own data.

    maml/omniglot-*: FOLDER/support/LABEL/ holds one or more pictures (PNG,
    JPEG, BMP) of each of five labels, FOLDER/query/ the pictures to name;
    dark ink on light paper. The network adapts to the support pictures by
    10 gradient steps. As in the paper's code, batch normalisation uses the
    statistics of all query pictures together: a picture's probabilities
    depend on the other query pictures.

    maml/sinusoid-10shot: FOLDER/support.csv holds the columns x,y and
    FOLDER/query.csv the column x.

    Example: fuxian predict maml/omniglot-5way-1shot my-characters
    """
    from fuxian.papers import shelf

    paper, claim = shelf.find(name)
    file = weights or shelf.committed_weights(paper, claim)
    made = shelf.part(paper, "predict").predict(claim, folder, file, steps=steps)
    document = {"paper": paper.id, "claim": claim.id, "weights": str(file), **made}
    if out is not None:
        _write(out, document)
    if as_json:
        print_json(document)
    else:
        _show(document["predictions"])


def _write(file: Path, document: dict[str, Any]) -> None:
    try:
        file.write_text(json.dumps(document, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"{file}: cannot be written ({error.strerror}); give another --out.") from error


def _show(predictions: list[dict[str, Any]]) -> None:
    """One line for each prediction; a field that is itself a dict becomes several columns."""
    rows = [_cells(prediction) for prediction in predictions]
    # Text, since names of the user's files may look like rich's markup.
    table = Table(*(Column(Text(name), overflow="fold") for name, _ in rows[0]))
    for row in rows:
        table.add_row(*(Text(_short(value)) for _, value in row))
    Console().print(table)


def _cells(prediction: dict[str, Any]) -> list[tuple[str, Any]]:
    return [
        cell
        for name, value in prediction.items()
        for cell in (value.items() if isinstance(value, dict) else [(name, value)])
    ]


def _short(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)
