"""Rung 1: the submitted weights in the organiser's own model. Runs in the sandbox, where nothing of the submission is.

    python -P -m fuxian.verify.own_model REQUEST

REQUEST is JSON: ``paper`` (a folder), ``claim``, ``inputs`` (a folder of batches) and ``jobs``, each with ``out`` (a
file for predictions, an array ``<batch>.<leaf>`` for every batch) and ``weights`` (a file) or ``fresh`` (the seed of
the model's own initial weights), and ``batches`` where not all are to be predicted. Exit code 2: weights do not fit.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from fuxian.errors import InputError


def main() -> int:
    try:
        run(json.loads(sys.argv[1]))
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def run(request: dict[str, Any]) -> None:
    """See the module. Raises InputError for weights that do not fit the model."""
    from fuxian.training.machine import prepare

    prepare()
    from fuxian.paper import load_paper
    from fuxian.papers.contract import PaperFolder
    from fuxian.recipe import leaves, to_arrays, to_tensors

    folder = PaperFolder(load_paper(Path(request["paper"])))
    recipe = folder.recipe(folder.paper.claim(request["claim"]))

    import paddle

    from fuxian.training.checkpoints import load_evaluated
    from fuxian.training.seeds import seed_everything
    from fuxian.verify.batches import inputs_in

    paddle.set_device("cpu")
    for job in request["jobs"]:
        seed_everything(job.get("fresh", 0))
        if "weights" in job:
            model = load_evaluated(recipe, Path(job["weights"]))
        else:
            built = recipe.model()
            model = recipe.evaluated(built) if recipe.evaluated else built
        model.eval()
        arrays: dict[str, np.ndarray] = {}
        with paddle.set_grad_enabled(recipe.higher_order):
            for name, batch in inputs_in(Path(request["inputs"])):
                if name not in job.get("batches", [name]):
                    continue
                outputs = to_arrays(recipe.forward(model, to_tensors("paddle", batch)))
                arrays |= {f"{name}.{path or 0}": np.asarray(leaf) for path, leaf in leaves(outputs)}
        with Path(job["out"]).open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)


if __name__ == "__main__":
    sys.exit(main())
