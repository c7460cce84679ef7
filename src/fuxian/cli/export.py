"""``fuxian export``: a reproduced paper's model as a static graph that Paddle Inference loads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from fuxian.cli.options import AsJson, print_json
from fuxian.cli.paper_options import Help, parse, show_help
from fuxian.cli.predict import OptionalName, Weights
from fuxian.errors import InputError


def export(
    context: typer.Context,
    name: OptionalName = None,
    out: Annotated[Path | None, typer.Option(help="A new folder for the exported network.")] = None,
    weights: Weights = None,
    onnx: Annotated[
        bool, typer.Option("--onnx", help="Also as model.onnx, run by ONNX Runtime and compared.")
    ] = False,
    as_json: AsJson = False,
    show: Help = False,
) -> None:
    """Export the network that `fuxian predict` uses, and check that it computes the same.

    DIR gets model.json, model.pdiparams and inference.json, which names the inputs with their shapes and preprocessing.
    Each paper has options of its own: `fuxian export PAPER --help` shows them.

    Example: fuxian export maml/omniglot-5way-1shot --task my-characters --out my-network
    """
    from fuxian.papers import exporting
    from fuxian.papers.find import find_claim

    if show:
        show_help(context, find_claim(name)[0] if name else None, "export")
        return
    if name is None or out is None:
        missing = "PAPER" if name is None else "--out DIR"
        raise InputError(f"export: {missing} is missing (see `fuxian export --help`).")
    folder, claim = find_claim(name)
    options = parse(folder, "export", context.args)
    file = weights or folder.weights(claim.id)
    made = exporting.export(folder, claim, file, out, options, onnx=onnx)
    if as_json:
        print_json({**made, "weights": file, "out": out})
        return
    console = Console()
    console.print(f"Exported: {out} ({', '.join(made['files'])})", markup=False, soft_wrap=True)
    for one in made["inputs"]:
        shape = ", ".join(map(str, one["shape"]))
        console.print(Text(f"Input {one['name']}: {one['dtype']} [{shape}]; {one['preprocessing']}"))
    check = made["check"]
    console.print(
        f"Loaded again, it predicts as `fuxian predict` but for {check['max_difference']:.1e} of the largest output."
    )
    if "onnx" in made:
        console.print(
            f"ONNX Runtime computes the same of {made['onnx']['file']} but for {made['onnx']['max_difference']:.1e}."
        )
        if "one_at_a_time" in made["onnx"]:
            console.print(f"Give it one example at a time: {made['onnx']['one_at_a_time']}.", soft_wrap=True)
    if not made["onednn"]:
        console.print(f"Run it without oneDNN: {made['why']}.", markup=False, soft_wrap=True)
    elif made.get("without_passes"):
        passes = ", ".join(made["without_passes"])
        console.print(f"Run it without {passes}: {made['why']}.", markup=False, soft_wrap=True)
