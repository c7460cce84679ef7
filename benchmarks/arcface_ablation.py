"""What the angular margin brings on LFW alone: python benchmarks/arcface_ablation.py RUNS [--iterations N] [--json].

Trains the claim's networks with plain softmax (equation 1) in the folder RUNS, goes on where it stopped, and evaluates
them beside the committed ArcFace weights, networks that were not trained, and raw pixels, on the official pairs.
Printed are the accuracy over ten folds, the share of matched pairs accepted where one of ten mismatched is, the mean
angle between two pictures of one person and of two people, the best threshold, and differences to ArcFace with a 95 %
t interval over the folds.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from fuxian.training.machine import prepare

prepare()

import numpy as np
import paddle
from scipy.stats import t as student

from fuxian.papers.arcface.data import PairBatches, eval_pairs, faces
from fuxian.papers.arcface.metric import metric
from fuxian.papers.arcface.recipe import recipe
from fuxian.papers.arcface.settings import FOLDS
from fuxian.papers.find import find_claim
from fuxian.recipe import to_arrays, to_tensors
from fuxian.training.checkpoints import load_into
from fuxian.training.fit import Length, fit

Scores = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Score, same, fold of each pair."""


def scores_of(model: paddle.nn.Layer | None) -> Scores:
    """Of a model, or of raw pixels: the cosine of the pictures less their own mean."""
    parts = recipe()
    data = PairBatches(faces(FOLDS), eval_pairs(faces(FOLDS), "test", FOLDS), FOLDS)
    columns: list[tuple] = []
    if model is not None:
        model.eval()
    for number in range(len(data)):
        batch = data[number]
        if model is None:
            one, other = (picture.reshape(len(picture), -1) for picture in batch["inputs"][:2])
            one, other = one - one.mean(1, keepdims=True), other - other.mean(1, keepdims=True)
            score = (one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
        else:
            score = to_arrays(parts.forward(model, to_tensors("paddle", batch["inputs"])))
        columns.append((score, *batch["targets"]))
    score, same, fold = (np.concatenate(column) for column in zip(*columns, strict=True))
    return score, same.astype(bool), fold


def best_threshold(score: np.ndarray, same: np.ndarray) -> float:
    """The least score called one person that gets most pairs right."""
    order = np.sort(score)
    thresholds = np.concatenate([[order[0] - 1], (order[1:] + order[:-1]) / 2, [order[-1] + 1]])
    genuine, impostor = np.sort(score[same]), np.sort(score[~same])
    right = len(genuine) - np.searchsorted(genuine, thresholds) + np.searchsorted(impostor, thresholds)
    return float(thresholds[int(np.argmax(right))])


def per_fold(found: Scores) -> np.ndarray:
    """Accuracy [folds], each at the threshold that is best on the others."""
    score, same, fold = found
    accuracies = []
    for one in np.unique(fold):
        own = fold == one
        chosen = best_threshold(score[~own], same[~own])
        accuracies.append(np.mean((score[own] >= chosen) == same[own]))
    return np.array(accuracies)


def row(name: str, found: Scores) -> dict:
    score, same, fold = found
    parts = metric()
    parts.update(score, (same.astype(np.int64), fold))
    figures = parts.figures()
    angles = np.degrees(np.arccos(np.clip(score, -1, 1)))
    return {
        "name": name,
        "accuracy": figures["accuracy"],
        "tar_at_far_0.1": figures["tar_at_far_0.1"],
        "same_person_degrees": float(angles[same].mean()),
        "two_people_degrees": float(angles[~same].mean()),
        "threshold": best_threshold(score, same),
        "folds": per_fold(found).tolist(),
    }


def difference(one: dict, other: dict) -> dict:
    gains = np.array(one["folds"]) - np.array(other["folds"])
    half = float(student.ppf(0.975, len(gains) - 1) * gains.std(ddof=1) / np.sqrt(len(gains)))
    mean = float(gains.mean())
    return {"name": f"{one['name']} - {other['name']}", "mean": mean, "low": mean - half, "high": mean + half}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path, help="folder of the softmax training")
    parser.add_argument("--iterations", type=int, help="of the softmax training; the claim's if absent")
    parser.add_argument("--weights", type=Path, help="ArcFace's weights; the committed ones if absent")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    asked = parser.parse_args()
    folder, claim = find_claim("arcface/lfw-folds")
    iterations = asked.iterations or claim.iterations
    length = Length(iterations=iterations, log_every=20, checkpoint_every=20)
    softmax = fit(
        recipe(loss="softmax", iterations=iterations),
        asked.runs / f"softmax-{iterations}",
        seed=0,
        length=length,
        progress=lambda step, figures: (
            print(f"softmax: step {step} of {iterations}", flush=True) if figures else None
        ),
    )
    arcface = recipe().model()
    load_into(arcface, asked.weights or folder.weights(claim.id))
    paddle.seed(0)
    untrained = recipe().model()
    rows = [
        row("arcface", scores_of(arcface)),
        row("softmax", scores_of(softmax)),
        row("untrained", scores_of(untrained)),
        row("raw pixels", scores_of(None)),
    ]
    differences = [difference(rows[0], other) for other in rows[1:]] + [difference(rows[1], rows[3])]
    if asked.json:
        print(json.dumps({"iterations": iterations, "rows": rows, "differences": differences}))
        return
    print(f"{'':12}{'accuracy':>10}{'TAR@FAR 0.1':>13}{'one person':>12}{'two people':>12}{'threshold':>11}")
    for one in rows:
        print(
            f"{one['name']:12}{one['accuracy']:10.4f}{one['tar_at_far_0.1']:13.4f}"
            f"{one['same_person_degrees']:11.1f}°{one['two_people_degrees']:11.1f}°{one['threshold']:11.3f}"
        )
    for one in differences:
        print(f"{one['name']:24} {one['mean']:+.4f} [{one['low']:+.4f}, {one['high']:+.4f}]")


if __name__ == "__main__":
    main()
