"""``fuxian data``: list, get and find the public data sets."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

from fuxian.cli.options import AsJson, complete_dataset, print_json
from fuxian.datasets import archive, catalogue
from fuxian.datasets.catalogue import CATALOGUE, PublicDataset
from fuxian.datasets.root import find_root
from fuxian.invocation import command

app = typer.Typer(help="List, download and find the public data sets.", no_args_is_help=True)

Name = Annotated[
    str,
    typer.Argument(
        help="A data set's name, as `fuxian data list` shows it.", autocompletion=complete_dataset
    ),
]


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """Show every data set: is it here and whole, its size, licence and folder. Reads all of each archive.

    Exit code: 0 nothing is damaged (absent is fine), 1 something is.

    Example: fuxian data list
    """
    rows = [_describe(dataset) for dataset in CATALOGUE.values()]
    if as_json:
        print_json({"root": find_root(), "datasets": rows})
    else:
        table = Table("name", "state", "size", "licence", Column("path", overflow="fold"))
        table.columns[-1].overflow = "fold"
        for row in rows:
            size = f"{row['bytes'] / 1e6:.1f} MB"
            table.add_row(row["name"], row["state"], size, row["licence"], row["path"])
        Console().print(table)
    damaged = [row["name"] for row in rows if row["state"] == "damaged"]
    for name in damaged:
        mend = command("data", "get", name)
        Console(stderr=True).print(f"{name} is damaged: {mend} mends it.", markup=False, soft_wrap=True)
    raise typer.Exit(1 if damaged else 0)


@app.command()
def get(
    name: Name,
    unpack: Annotated[
        Path | None,
        typer.Option(help="Also unpack the files into this new folder, to look at or to predict on."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Download what is missing or damaged of a data set, and check all of it.

    A download that breaks off goes on where it stopped when the command is run again.

    Example: fuxian data get omniglot
    """
    # httpx takes time to import, and only this command needs it.
    from fuxian.datasets import download

    dataset = catalogue.find(name)
    folder = find_root() / dataset.name
    wanted = [file for file in dataset.files if catalogue.state(file, folder) != "present"]
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not wanted) as progress:
        for file in wanted:
            task = progress.add_task(file.name, total=file.bytes)

            def report(done: int, total: int | None, task: TaskID = task) -> None:
                progress.update(task, completed=done, total=total)

            download.fetch(file, folder, report)
    if unpack is not None:
        archive.unpack([folder / file.name for file in dataset.files], unpack)
    if as_json:
        about = {
            "name": dataset.name,
            "state": "present",
            "path": str(folder),
            "downloaded": [file.name for file in wanted],
            "unpacked": str(unpack) if unpack else None,
        }
        print_json(about)
        return
    typer.echo(f"{dataset.name} is whole: {folder}")
    typer.echo(f"Licence: {dataset.licence}. Please cite: {dataset.citation}")
    if unpack is not None:
        typer.echo(f"Unpacked into {unpack}")


@app.command()
def path(name: Name, as_json: AsJson = False) -> None:
    """Print the folder of a data set, whether or not it is there yet.

    Example: fuxian data path omniglot
    """
    folder = find_root() / catalogue.find(name).name
    if as_json:
        print_json({"name": name, "path": folder, "exists": folder.is_dir()})
    else:
        typer.echo(folder)


def _describe(dataset: PublicDataset) -> dict:
    folder = find_root() / dataset.name
    files = [
        {"name": f.name, "state": catalogue.state(f, folder), "bytes": f.bytes, "url": f.url}
        for f in dataset.files
    ]
    states = {file["state"] for file in files}
    return {
        "name": dataset.name,
        "state": next(state for state in ("damaged", "absent", "present") if state in states),
        "bytes": sum(file.bytes for file in dataset.files),
        "licence": dataset.licence,
        "path": str(folder),
        "title": dataset.title,
        "homepage": dataset.homepage,
        "citation": dataset.citation,
        "files": files,
    }
