"""Draws a ruling's test and scores predictions on it, by the organiser's copy of the paper, in a process of its own.

Nothing of a submission is imported here, and of its files only numbers that were read before get in.

    python -P -m fuxian.verify.examiner        # a JSON request on stdin, a JSON answer in the file that it names
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from fuxian.errors import InputError, PlatformError
from fuxian.own_process import run_module
from fuxian.paper import Claim
from fuxian.recipe import Metric, tree_of, update_metric
from fuxian.verdict import Measurements, Run, measured_run, read_measurements, write_measurements
from fuxian.verify.batches import batch_name, read_tree, write_tree
from fuxian.verify.terms import Terms

SECONDS = 3600.0
MODULE = "fuxian.verify.examiner"
INPUTS, TARGETS, IDS = "inputs", "targets", "ids.json"
Labels = Literal["drawn by the organiser", "public labels"]


@dataclass(frozen=True)
class Test:
    """A drawn test on disk: ``inputs/NNNN.npz``, which a submission sees, and beside them targets and ids."""

    folder: Path
    batches: int
    units: int
    labels: Labels

    @property
    def inputs(self) -> Path:
        return self.folder / INPUTS


def draw_test(terms: Terms, seed: int, folder: Path) -> Test:
    """Draws the test into the new folder.

    Raises InputError where the organiser's paper cannot draw, and PlatformError where drawing fails.
    """
    folder.mkdir()
    made = _ask(
        terms,
        {"do": "draw", "seed": seed, "test": terms.test, "units": terms.units, "folder": str(folder)},
        folder,
    )
    return Test(folder, made["batches"], made["units"], made["labels"])


def score_predictions(
    terms: Terms, test: Test, predicted: Sequence[tuple[Mapping[str, np.ndarray], Sequence[int]]]
) -> list[Run]:
    """The paper's metric over predictions ``NNNN.<leaf>`` of the batches beside them, for each of ``predicted``.

    Raises InputError for predictions of other shapes than the metric takes.
    """
    request: dict[str, Any] = {"do": "score", "folder": str(test.folder), "predicted": []}
    for number, (predictions, batches) in enumerate(predicted):
        file = test.folder / f"predictions-{number}.npz"
        with file.open("wb") as out:
            np.savez(out, allow_pickle=False, **predictions)
        measurements = test.folder / f"measurements-{number}.json"
        request["predicted"].append(
            {"file": str(file), "batches": list(batches), "measurements": str(measurements)}
        )
    _ask(terms, request, test.folder)
    return [read_measurements(Path(one["measurements"])).runs[0] for one in request["predicted"]]


def _ask(terms: Terms, request: dict[str, Any], place: Path) -> Any:
    answer = place / "answer.json"
    whole = {**request, "paper": str(terms.paper_folder), "claim": terms.claim.id, "answer": str(answer)}
    late = f"drawing or scoring took more than {SECONDS / 60:.0f} minutes."
    child = run_module(MODULE, seconds=SECONDS, late=late, stdin=json.dumps(whole))
    try:
        document = json.loads(answer.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        said = (child.stderr.strip().splitlines() or ["it said nothing"])[-1][:200]
        raise PlatformError(
            f"drawing or scoring ended with exit code {child.returncode} ({said})."
        ) from error
    finally:
        answer.unlink(missing_ok=True)
    if "bad_input" in document:
        raise InputError(document["bad_input"])
    return document


def main() -> None:
    """The child."""
    request = json.load(sys.stdin)
    try:
        answer = {"draw": _draw, "score": _score}[request["do"]](request)
    except InputError as error:
        answer = {"bad_input": str(error)}
    Path(request["answer"]).write_text(json.dumps(answer), encoding="utf-8")


def _folder(request: dict[str, Any]) -> tuple[Any, Any]:
    from fuxian.paper import load_paper
    from fuxian.papers.contract import PaperFolder

    folder = PaperFolder(load_paper(Path(request["paper"])))
    return folder, folder.paper.claim(request["claim"])


def _draw(request: dict[str, Any]) -> dict[str, Any]:
    paper, claim = _folder(request)
    place = Path(request["folder"])
    if request["test"] == "drawn":
        batches = paper.draw(claim, request["seed"])
        labels: Labels = "public labels" if paper.has_public_labels(claim) else "drawn by the organiser"
    else:
        data = paper.recipe(claim).eval_data
        if data is None:
            raise InputError(f"{paper.name}: the recipe has no eval_data; add it.")
        batches, labels = data(), "public labels"
    for part in (INPUTS, TARGETS):
        (place / part).mkdir()
    ids: list[list[str]] = []
    for number, batch in enumerate(batches):
        name = batch_name(number)
        write_tree(place / INPUTS / f"{name}.npz", {"inputs": batch["inputs"]})
        hidden = {part: batch[part] for part in ("targets", "meta") if part in batch}
        write_tree(place / TARGETS / f"{name}.npz", hidden, text=True)
        ids.append(list(map(str, batch.get("ids", ()))))
        if request["units"] is not None and sum(map(len, ids)) >= request["units"]:
            break
    if not ids:
        raise InputError(f"{paper.name}: the drawn test has no batch; mend draw.py.")
    drawn = sum(map(len, ids))
    if request["units"] is not None and drawn < request["units"]:
        raise InputError(f"{paper.name}: the test has {drawn} units, and the terms want {request['units']}.")
    (place / IDS).write_text(json.dumps(ids), encoding="utf-8")
    return {"batches": len(ids), "units": sum(map(len, ids)), "labels": labels}


def _score(request: dict[str, Any]) -> dict[str, Any]:
    paper, claim = _folder(request)
    recipe = paper.recipe(claim)
    folder = Path(request["folder"])
    for one in request["predicted"]:
        _score_one(claim, recipe.metric(), folder, one)
    return {}


def _score_one(claim: Claim, metric: Metric, folder: Path, predicted: dict[str, Any]) -> None:
    with np.load(predicted["file"], allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    for number in predicted["batches"]:
        name = batch_name(number)
        hidden = read_tree(folder / TARGETS / f"{name}.npz")
        try:
            update_metric(metric, _outputs(arrays, name), hidden)
        except (ValueError, IndexError, TypeError, KeyError, AttributeError) as error:
            raise InputError(
                f"the outputs of test batch {number} have other shapes than the paper's metric takes"
                f" ({type(error).__name__})."
            ) from error
    run = measured_run(claim, claim.seeds[0], metric.figures(), metric.units())
    write_measurements(Path(predicted["measurements"]), Measurements((run,)))


def _outputs(arrays: dict[str, np.ndarray], batch: str) -> Any:
    """A batch's outputs: the array itself where there is one, else a tuple, or a dict of named ones."""
    own = {
        f"outputs.{name[len(batch) + 1 :]}": value
        for name, value in arrays.items()
        if name.startswith(f"{batch}.")
    }
    outputs = tree_of(own).get("outputs")
    return outputs[0] if isinstance(outputs, tuple) and len(outputs) == 1 else outputs


if __name__ == "__main__":
    main()
