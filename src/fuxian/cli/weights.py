"""``fuxian weights``: get, convert, compare and inspect files of weights, without running code from them."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fuxian.cli.options import AsJson, print_json
from fuxian.cli.progress import download_bar
from fuxian.errors import InputError
from fuxian.recipe import Recipe, framework_of, load_recipe, to_tensors
from fuxian.weights import carrying, storage
from fuxian.weights.execution import call_order
from fuxian.weights.fitting import as_known, first_fitting, with_prefix
from fuxian.weights.overrides import Overrides, load_overrides
from fuxian.weights.plans import Plan
from fuxian.weights.side_by_side import Comparison, compare, figures

app = typer.Typer(
    help="Get, convert, compare and inspect weights; no file's code is run.", no_args_is_help=True
)

Prefix = Annotated[
    str | None,
    typer.Option(
        help="Read the names that begin with this, and leave it out, as `module.`; '' leaves every name as it is."
        " Without it: what fits the model."
    ),
]
Key = Annotated[str | None, typer.Option(help="The part of a nested file to read, as in `ema.state_dict`.")]


@app.command()
def convert(
    *,
    source: Annotated[Path, typer.Argument(help=".pt, .pth, .bin, .safetensors, .pdparams or .npz.")],
    target: Annotated[Path, typer.Argument(help=".pdparams, .safetensors, .npz, or .pt/.pth (needs torch).")],
    port: Annotated[str | None, typer.Option(help="The port: a recipe file, or module:attribute.")] = None,
    reference: Annotated[
        str | None, typer.Option(help="The reference, likewise; without it, SOURCE's names must do.")
    ] = None,
    map_file: Annotated[
        Path | None, typer.Option("--map", help="A mapping file (.toml, .json) that overrides by name.")
    ] = None,
    to: Annotated[
        Literal["port", "reference"], typer.Option(help="Whose weights TARGET will hold.")
    ] = "port",
    plan_file: Annotated[
        Path | None, typer.Option("--plan", help="A saved plan; then no framework is needed.")
    ] = None,
    save_plan: Annotated[Path | None, typer.Option(help="Save the plan here as JSON.")] = None,
    key: Key = None,
    prefix: Prefix = None,
    as_json: AsJson = False,
) -> None:
    """Carry weights between a torch reference and its Paddle port.

    Layouts come from the layers' classes. Every tensor is accounted for, or nothing is written. Without a model the
    bare tensors are saved again, in the format that TARGET's ending names.

    Example: fuxian weights convert resnet.pth resnet.pdparams --port port.py --reference reference.py
    """
    chosen = [storage.read(source, key)] if key else storage.read_parts(source)
    if plan_file is None and port is None and reference is None and map_file is None:
        if prefix is not None:
            raise InputError("--prefix needs a model whose names it should fit; name the port with --port.")
        _save_again(chosen[0] if key else storage.read(source), target, as_json)
        return
    plan: Plan | None = None
    if plan_file is not None:
        if port or reference or map_file:
            raise InputError("--plan says everything already; leave out --port, --reference and --map.")
        plan = Plan.from_json(_text(plan_file))
    overrides = load_overrides(map_file) if map_file else Overrides()
    if plan is None and port is None:
        raise InputError("No port was given; name its recipe with --port, or a saved plan with --plan.")
    if plan is None and reference is not None:
        plan = _plan_of_recipes(load_recipe(str(port)), load_recipe(reference), overrides)
    if plan is None and to == "reference":
        raise InputError("The reference's layout is not known; name its recipe with --reference.")
    by_port = None if plan is not None else _ByPort(load_recipe(str(port)).model(), overrides, source)
    converter = by_port or _ByPlan(plan, "to_port" if to == "port" else "to_reference")  # type: ignore[arg-type]
    stored, made = first_fitting(chosen, lambda part: converter(part, prefix))
    plan = converter.plan
    storage.save_tensors(target, made)
    if save_plan is not None:
        save_plan.write_text(plan.to_json(), encoding="utf-8")
    kept = plan.port_kept if to == "port" else {}
    dropped = plan.reference_dropped if to == "port" else plan.port_kept
    if as_json:
        links = [
            {
                "port": link.port.tensor,
                "reference": link.reference.tensor,
                "transform": link.transform,
                "how": link.how,
                "note": link.note,
            }
            for link in plan.links
        ]
        about = {"target": str(target), "tensors": len(made), "links": links}
        print_json({**about, "dropped": dropped, "kept": kept, "notes": stored.notes})
        return
    for note in stored.notes:
        typer.echo(f"Note: {note}.", err=True)
    by = [f"{sum(link.how == how for link in plan.links)} {words}" for how, words in _HOW.items()]
    typer.echo(f"{target}: {len(made)} tensors; pairs made {', '.join(by)}.")
    for link in plan.links:
        if link.how == "order" or link.note:
            note = f" ({link.note})" if link.note else ""
            typer.echo(f"  {_HOW[link.how]}: {link.port.tensor} <-> {link.reference.tensor}{note}")
    _show_left("dropped", dropped)
    _show_left("left as the port initialises it", kept)


@dataclass
class _ByPlan:
    """Converts by a plan that two models, or a file, gave."""

    plan: Plan
    direction: carrying.Direction

    def __call__(self, part: storage.Stored, prefix: str | None) -> dict[str, np.ndarray]:
        tensors, notes = carrying.renamed(self.plan, part.tensors, self.direction, prefix)
        other: carrying.Direction = "to_reference" if self.direction == "to_port" else "to_port"
        if carrying.fits(self.plan, part.tensors, other) and not carrying.fits(
            self.plan, tensors, self.direction
        ):
            side = "port" if other == "to_reference" else "reference"
            raise InputError(_ALREADY.format(side=side, other="reference" if side == "port" else "port"))
        made = carrying.apply(self.plan, tensors, self.direction)
        part.notes += notes
        return made


class _ByPort:
    """Converts a bare torch state dict by the port's classes; ``plan`` is how."""

    def __init__(self, model: Any, overrides: Overrides, source: Path) -> None:
        self.model, self.overrides, self.ordered = model, overrides, source.suffix != ".safetensors"
        self.own = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
        torch_names = {"_mean": "running_mean", "_variance": "running_var"}
        self.known = {
            ".".join([*path, torch_names.get(last, last)]) for *path, last in (n.split(".") for n in self.own)
        }
        self.plan = Plan([])

    def __call__(self, part: storage.Stored, prefix: str | None) -> dict[str, np.ndarray]:
        if prefix is None:
            tensors, notes = as_known(part.tensors, self.known)
        else:
            tensors, notes = with_prefix(part.tensors, prefix, self.known)
        own = {name: tensor.shape for name, tensor in part.tensors.items()} == self.own
        if own and self.known != set(self.own):
            raise InputError(_ALREADY.format(side="port", other="reference"))
        try:
            self.plan = carrying.plan(self.model, tensors, overrides=self.overrides, ordered=self.ordered)
        except InputError:
            if own:
                raise InputError(_ALREADY.format(side="port", other="reference")) from None
            raise
        made = carrying.apply(self.plan, tensors)
        part.notes += notes
        return made


_ALREADY = (
    "These are the {side}'s own weights already: leave out --port and --reference to save them again,"
    " or give --to {other} with both models to carry them over."
)


def _save_again(stored: storage.Stored, target: Path, as_json: bool) -> None:
    """The bare tensors under their own names: what a file held beside them is left out."""
    storage.save_tensors(target, stored.tensors)
    if as_json:
        about = {"target": str(target), "tensors": len(stored.tensors), "notes": stored.notes}
        print_json({**about, "links": [], "dropped": {}, "kept": {}})
        return
    for note in stored.notes:
        typer.echo(f"Note: {note}.", err=True)
    typer.echo(f"{target}: {len(stored.tensors)} tensors under their own names; no model was given.")


SHOWN = 4
"""Names of one reason; --json has them all."""


def _show_left(words: str, reasons: Mapping[str, str]) -> None:
    names = defaultdict(list)
    for name, why in reasons.items():
        names[why].append(name)
    for why, same in names.items():
        more = f" and {len(same) - SHOWN} more" if len(same) > SHOWN else ""
        typer.echo(f"  {words}: {', '.join(same[:SHOWN])}{more} ({why})")


_HOW = {"name": "by name", "order": "by order", "map": "by the mapping file"}


def _plan_of_recipes(port: Recipe, reference: Recipe, overrides: Overrides) -> Plan:
    port_model, reference_model = port.model(), reference.model()
    made = carrying.draft(port_model, reference_model, overrides=overrides)
    if made.complete and all(link.how != "order" for link in made.plan.links):
        return made.plan
    # Names do not settle it: let both models run once, if the recipes say on what.
    port_order, reference_order = _call_order(port, port_model), _call_order(reference, reference_model)
    if port_order is None or reference_order is None:
        port_order = reference_order = None
    return carrying.plan(
        port_model,
        reference_model,
        overrides=overrides,
        port_order=port_order,
        reference_order=reference_order,
    )


def _call_order(recipe: Recipe, model: Any) -> list[str] | None:
    data = recipe.eval_data or recipe.train_data
    if data is None:
        return None
    batch = next(iter(data()))
    inputs = to_tensors(framework_of(model), batch["inputs"])
    return call_order(model, lambda: recipe.forward(model, inputs))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: the plan cannot be read; check the path.") from error


@app.command()
def get(
    name: Annotated[
        str,
        typer.Argument(metavar="PAPER[/NAME]", help="A claim, or official weights that weights.toml names."),
    ],
    as_json: AsJson = False,
) -> None:
    """Download weights that are too large to be committed, and check them; a folder of yours may name its own.

    Without NAME: what there is. FUXIAN_MIRROR names a mirror, an address or a folder, that is tried first.

    Example: fuxian weights get maml
    """
    from fuxian.papers.find import find_weights
    from fuxian.papers.weights_entries import get_weights, weights_entries

    folder, entry_name = find_weights(name)
    entries = weights_entries(folder.paper)
    if entry_name:
        with download_bar() as report:
            file = get_weights(folder.paper, entry_name, report)
        if as_json:
            print_json(
                {"paper": folder.paper.id, "name": entry_name, "file": file, "entry": entries.get(entry_name)}
            )
        else:
            typer.echo(f"{file}")
            if entry := entries.get(entry_name):
                typer.echo(f"Licence: {entry.licence}. Source: {entry.source}")
        return
    committed = sorted((folder.paper.folder / "weights").glob("*.safetensors"))
    if as_json:
        print_json({"paper": folder.paper.id, "committed": committed, "entries": list(entries.values())})
        return
    for file in committed:
        typer.echo(f"{file.stem}: {file.stat().st_size / 1e6:.1f} MB, here: {file}")
    for entry in entries.values():
        typer.echo(f"{entry.name}: {entry.bytes / 1e6:.1f} MB, {entry.source}; get it with its name")
    if not committed and not entries:
        typer.echo(f"{folder.paper.id} has no weights.")


@app.command()
def diff(
    first: Annotated[Path, typer.Argument(help="A file of weights.")],
    second: Annotated[Path, typer.Argument(help="Another one, of any format.")],
    key: Key = None,
    second_key: Annotated[
        str | None, typer.Option(help="The part of SECOND; without it, the one that --key names.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare two files tensor by tensor; exit 1 when they differ in any value, shape, dtype or name.

    Names are paired without prefixes, and the frameworks' layouts are told from other differences.

    Example: fuxian weights diff before.safetensors after.pdparams
    """
    sides = storage.read(first, key), storage.read(second, second_key or key)
    result = compare(sides[0].tensors, sides[1].tensors)
    notes = [f"{path}: {n}" for path, side in zip((first, second), sides, strict=True) for n in side.notes]
    if as_json:
        print_json(
            {
                "equal": result.equal,
                "same_numbers": result.same_numbers,
                "notes": notes + result.notes,
                "tensors": result.common,
                "only_first": result.only_first,
                "only_second": result.only_second,
            }
        )
    else:
        for note in (*notes, *result.notes):
            typer.echo(f"Note: {note}.", err=True)
        _show(result, first, second)
    raise typer.Exit(0 if result.equal else 1)


def _show(result: Comparison, first: Path, second: Path) -> None:
    if result.equal:
        typer.echo(f"Equal: {len(result.common)} tensors.")
        return
    table = _table("max abs", "max rel", "what differs")
    for difference in result.common:
        if difference.equal:
            continue
        words = [f"{difference.second} in {second}"] if difference.second else []
        if difference.shapes[0] != difference.shapes[1]:
            words.append(f"shape {difference.shapes[0]} and {difference.shapes[1]}")
        if difference.dtypes[0] != difference.dtypes[1]:
            words.append(f"dtype {difference.dtypes[0]} and {difference.dtypes[1]}")
        if difference.layout:
            words.append(difference.layout)
        table.add_row(
            _printable(difference.name),
            _short(difference.max_abs),
            _short(difference.max_rel),
            _printable(", ".join(words) or "values"),
        )
    for name in result.only_first:
        table.add_row(_printable(name), "", "", f"only in {first}")
    for name in result.only_second:
        table.add_row(_printable(name), "", "", f"only in {second}")
    Console().print(table)
    if result.same_numbers:
        typer.echo(f"Different names, layouts or dtypes, the same numbers: {len(result.common)} tensors.")
        return
    same = sum(difference.equal for difference in result.common)
    typer.echo(f"Different: {same} of {len(result.common)} common tensors are equal.")


@app.command()
def inspect(
    file: Annotated[Path, typer.Argument(help="A file of weights.")],
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """List a file's tensors: names, shapes, dtypes, figures; warn of NaN and infinity.

    Example: fuxian weights inspect model.pth
    """
    stored = storage.read(file, key)
    rows = [figures(name, tensor) for name, tensor in stored.tensors.items()]
    sick = [row.name for row in rows if row.nan or row.infinite]
    elements = sum(tensor.size for tensor in stored.tensors.values())
    warnings = [f"{len(sick)} tensors hold NaN or infinity: {', '.join(sick)}"] if sick else []
    if as_json:
        about = {"file": file, "elements": elements, "tensors": rows}
        print_json({**about, "metadata": stored.metadata, "notes": stored.notes, "warnings": warnings})
        return
    table = _table("shape", "dtype", "mean", "std", "min", "max", *(("NaN", "Inf") if sick else ()))
    for row in rows:
        table.add_row(
            _printable(row.name),
            "x".join(map(str, row.shape)) or "scalar",
            row.dtype,
            *(_short(value) for value in (row.mean, row.std, row.low, row.high)),
            *((str(row.nan or ""), str(row.infinite or "")) if sick else ()),
        )
    Console().print(table)
    typer.echo(f"{len(rows)} tensors, {elements} elements.")
    for note in stored.notes:
        typer.echo(f"Note: {note}.", err=True)
    for warning in warnings:
        typer.echo(f"Warning: {warning}.", err=True)


def _table(*headings: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("tensor", overflow="fold")
    for heading in headings:
        table.add_column(heading, no_wrap=heading != "what differs")
    return table


def _printable(name: str) -> Text:
    """A name from a file, without markup and control characters."""
    return Text("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name))


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"
