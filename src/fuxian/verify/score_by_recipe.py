"""Scores predictions by the recipe of a paper that Fuxian has reproduced: by its targets and its metric.

Nothing of the submission's code takes part. The test data are public, so that it could have known the targets.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fuxian.errors import InputError
from fuxian.metrics import Units
from fuxian.papers.contract import PaperFolder
from fuxian.recipe import Recipe, update_metric
from fuxian.submission.manifest import Manifest, reproduced_papers
from fuxian.verdict import Measurements, measured_run
from fuxian.verify.commands import Workspace, output_place, run_command
from fuxian.verify.measured_figure import Measured
from fuxian.verify.numbers import read_numbers
from fuxian.verify.reasons import Failed, Reason

PREDICTIONS = "predictions.npz"
"""What the commands of a recipe call them: an array ``<batch>.<leaf>`` for each of the test split's batches."""


def scored_by_recipe(manifest: Manifest) -> bool:
    """Whether the paper is one of Fuxian's own, and predict writes its outputs as the commands of a recipe do."""
    own = reproduced_papers().get(manifest.paper.id)
    predict = manifest.commands.get("predict")
    is_own = own is not None and manifest.paper.folder.resolve() == own.parent.resolve()
    return is_own and manifest.recipe is not None and predict is not None and predict.output == PREDICTIONS


def score_by_recipe(at: Workspace) -> Measured:
    """Runs predict and scores what it wrote. Raises Failed for predictions that cannot be scored."""
    place = output_place(at.manifest, "predict")
    done = run_command(at, "predict", "predict", without=[PREDICTIONS] if place == "work" else [])
    try:
        predicted = read_numbers(done.made / place / PREDICTIONS)
    except InputError as error:
        raise Failed(Reason.METRIC_MISSING, f"predict: {error}") from error
    recipe = PaperFolder(at.manifest.paper).recipe(at.claim)
    try:
        figures, units = _figures(recipe, predicted)
    except (ValueError, IndexError, TypeError) as error:
        raise Failed(
            Reason.METRIC_INVALID, "predict wrote outputs of other shapes than the paper's recipe gives."
        ) from error
    run = measured_run(at.claim, at.claim.seeds[0], figures, units)
    return Measured(Measurements((run,)), "predictions scored by the paper's recipe", ())


def _figures(
    recipe: Recipe, predicted: dict[str, np.ndarray]
) -> tuple[dict[str, float], Mapping[str, Units]]:
    assert recipe.eval_data is not None and recipe.metric is not None  # noqa: S101 - every paper here has both
    metric = recipe.metric()
    left = dict(predicted)
    for number, batch in enumerate(recipe.eval_data()):
        outputs = left.pop(f"{number:04d}.0", None)
        if outputs is None or outputs.dtype.kind != "f" or not np.isfinite(outputs).all():
            raise Failed(Reason.METRIC_INVALID, f"predict wrote no finite outputs of test batch {number}.")
        update_metric(metric, outputs, batch)
    if left:
        raise Failed(
            Reason.METRIC_INVALID, f"predict wrote {len(left)} arrays more than there are test batches."
        )
    return metric.figures(), metric.units()
