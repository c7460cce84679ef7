"""What the two auxiliary losses bring: python benchmarks/portraitnet_ablation.py RUNS [--iterations N] [--json].

Trains the claim's network without both auxiliary losses, with the boundary loss alone and with the consistency
constraint alone in the folder RUNS, goes on where it stopped, and evaluates them beside the committed weights, which
both losses trained. Printed are the foreground IoU and the boundary IoU of the test pictures, both again where the same
pictures are darkened and brightened, the agreement (IoU of what is found in changed light with what is found as it
was), and each difference to the first of them, with a 95 % t interval over the pictures. One
training each: the intervals say how far the pictures carry, not how far another seed would.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from fuxian.training.machine import prepare

prepare()

import numpy as np
import paddle
from PIL import Image, ImageEnhance
from scipy.stats import t as student

from fuxian.papers.find import find_claim
from fuxian.papers.portraitnet import data
from fuxian.papers.portraitnet.metric import THRESHOLD, boundary, iou
from fuxian.papers.portraitnet.model import PortraitNet
from fuxian.papers.portraitnet.recipe import recipe
from fuxian.papers.portraitnet.settings import SETTINGS
from fuxian.training.checkpoints import load_into
from fuxian.training.fit import Length, fit

VARIANTS = {"base": (False, False), "+ edge": (True, False), "+ consistency": (False, True)}
"""By name: whether there is the boundary loss, and the consistency constraint."""
LIGHTS = (0.4, 1.6)
"""Factors of brightness, the ends of what training changes light by."""
AT_ONCE = 16
FIGURES = ("iou", "boundary_iou", "iou_relit", "boundary_iou_relit", "agreement")


def found(network: PortraitNet, pictures: list[np.ndarray]) -> np.ndarray:
    """Where there is a person, bool [N, S, S]."""
    made = []
    with paddle.no_grad():
        for at in range(0, len(pictures), AT_ONCE):
            batch = np.stack([data.normalised(one) for one in pictures[at : at + AT_ONCE]])
            made.append(network.foreground(paddle.to_tensor(batch)).numpy() > THRESHOLD)
    return np.concatenate(made)


def measured(network: PortraitNet, limit: int | None) -> dict[str, list[float]]:
    """The figures of each test picture."""
    network.eval()
    side = SETTINGS["portraits"].side
    examples = data.examples_of("portraits", "test")
    padded = [data.padded(examples[row], side) for row in range(limit or len(examples))]
    pictures = [picture for picture, _ in padded]
    masks = [data.smoothed(mask) == 1 for _, mask in padded]
    plain = found(network, pictures)
    lit = [
        found(
            network,
            [np.asarray(ImageEnhance.Brightness(Image.fromarray(p)).enhance(light)) for p in pictures],
        )
        for light in LIGHTS
    ]

    def over_lights(measure) -> list[float]:
        return np.mean([[measure(one, at) for at, one in enumerate(many)] for many in lit], axis=0).tolist()

    return {
        "iou": [iou(one, mask) for one, mask in zip(plain, masks, strict=True)],
        "boundary_iou": [iou(boundary(one), boundary(mask)) for one, mask in zip(plain, masks, strict=True)],
        "iou_relit": over_lights(lambda one, at: iou(one, masks[at])),
        "boundary_iou_relit": over_lights(lambda one, at: iou(boundary(one), boundary(masks[at]))),
        "agreement": over_lights(lambda one, at: iou(one, plain[at])),
    }


def gain(one: list[float], other: list[float]) -> dict[str, float]:
    """The mean difference over pictures, with its 95 % t interval."""
    gains = np.array(one) - np.array(other)
    half = float(student.ppf(0.975, len(gains) - 1) * gains.std(ddof=1) / np.sqrt(len(gains)))
    mean = float(gains.mean())
    return {"mean": mean, "low": mean - half, "high": mean + half}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path, help="folder of the trainings")
    parser.add_argument("--iterations", type=int, help="of each training; the claim's if absent")
    parser.add_argument(
        "--weights", type=Path, help="of the network with both losses; the committed if absent"
    )
    parser.add_argument("--pictures", type=int, help="test on the first ones alone")
    parser.add_argument(
        "--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS), help="all if absent"
    )
    parser.add_argument("--train-only", action="store_true", help="train them and compare nothing")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    asked = parser.parse_args()
    folder, claim = find_claim("portraitnet/portraits")
    iterations = asked.iterations or claim.iterations
    length = Length(iterations=iterations, log_every=20, checkpoint_every=20)
    rows = {}
    for name in asked.variants:
        edge, consistency = VARIANTS[name]
        network = fit(
            recipe(edge=edge, consistency=consistency, iterations=iterations),
            asked.runs / f"{name.replace('+ ', '')}-{iterations}",
            seed=0,
            length=length,
            progress=lambda step, figures, name=name: (
                print(f"{name}: step {step} of {iterations}", flush=True)
                if figures and not asked.json
                else None
            ),
        )
        if not asked.train_only:
            rows[name] = measured(network, asked.pictures)
    if asked.train_only:
        return
    network = PortraitNet()
    load_into(network, asked.weights or folder.weights(claim.id))
    rows["both"] = measured(network, asked.pictures)
    first = next(iter(rows))
    gains = {
        name: {figure: gain(row[figure], rows[first][figure]) for figure in FIGURES}
        for name, row in rows.items()
        if name != first
    }
    means = {name: {figure: float(np.mean(row[figure])) for figure in FIGURES} for name, row in rows.items()}
    if asked.json:
        print(json.dumps({"iterations": iterations, "means": means, "gains": gains}))
        return
    print(f"{'':16}" + "".join(f"{figure:>22}" for figure in FIGURES))
    for name, row in means.items():
        print(f"{name:16}" + "".join(f"{row[figure]:22.4f}" for figure in FIGURES))
    for name, row in gains.items():
        cells = (row[figure] for figure in FIGURES)
        shown = "".join(f"{c['mean']:+8.4f} [{c['low']:+.3f},{c['high']:+.3f}]".rjust(22) for c in cells)
        print(f"{name} - {first}".ljust(16) + shown)


if __name__ == "__main__":
    main()
