"""``fuxian export``: a reproduced paper's model as a static graph that Paddle Inference loads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fuxian.cli.options import AsJson, PaperClaim, print_json
from fuxian.cli.predict import Steps, Weights


def export(
    *,
    name: PaperClaim,
    folder: Annotated[Path, typer.Argument(help="The data to adapt to, laid out as for `fuxian predict`.")],
    out: Annotated[Path, typer.Option(help="A new folder for the exported network.")],
    weights: Weights = None,
    steps: Steps = None,
    as_json: AsJson = False,
) -> None:
    """Export the network that `fuxian predict` uses, and check its predictions.

    maml/*: adapts to FOLDER's support examples and writes the adapted
    network. As with `fuxian predict`, an Omniglot network normalises by the
    statistics of the pictures that it is given together.

    Example: fuxian export maml/omniglot-5way-1shot my-characters --out my-network
    """
    from fuxian.papers import exporting, shelf

    paper, claim = shelf.find(name)
    file = weights or shelf.committed_weights(paper, claim)
    made = exporting.export(paper, claim, folder, file, out, steps=steps)
    if as_json:
        print_json({"paper": paper.id, "claim": claim.id, "weights": str(file), "out": str(out), **made})
        return
    console = Console()
    console.print(f"Exported: {out} ({', '.join(made['files'])})", markup=False, soft_wrap=True)
    difference = f"{made['max_difference']:.1e}"
    console.print(
        f"Loaded again, it predicts as `fuxian predict` but for {difference} of the largest output."
    )
