"""What the ResNet begins with: torchvision's weights under detectron2's names, as the official code converts them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from fuxian.errors import InputError
from fuxian.paper import load_paper
from fuxian.papers.contract import PAPERS
from fuxian.papers.sparse_rcnn.model import SparseRCNN
from fuxian.papers.weights_entries import weights_entries, weights_of
from fuxian.weights import load_tensors

CLASSIFIER = ("fc.weight", "fc.bias")
"""What of an ImageNet classifier has no place in a detector."""


def own_name(name: str) -> str:
    """The name below ``backbone.bottom_up.`` of a parameter or statistic that torchvision's ResNet has."""
    if not name.startswith("layer"):
        name = f"stem.{name}"
    name = re.sub(r"layer(\d)", lambda found: f"res{int(found[1]) + 1}", name)
    name = re.sub(r"bn(\d)", r"conv\1.norm", name)
    return name.replace("downsample.0", "shortcut").replace("downsample.1", "shortcut.norm")


def backbone_state(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """torchvision's tensors under the detector's names."""
    return {
        f"backbone.bottom_up.{own_name(name)}": value
        for name, value in tensors.items()
        if name not in CLASSIFIER and not name.endswith("num_batches_tracked")
    }


def load_backbone(model: SparseRCNN, start: str) -> None:
    """Sets the ResNet of a detector to the weights of an entry of weights.toml, or of a file in torchvision's layout.

    Raises InputError where they are not here, or are another network's.
    """
    paper = load_paper(PAPERS / "sparse_rcnn")
    file = Path(start)
    if start in weights_entries(paper):
        file = weights_of(paper, start)
    elif not file.is_file():
        raise InputError(
            f"the ResNet begins with torchvision's weights, and there is no {start}; give their file with"
            f" --set start=FILE, or train from nothing with --set start=random."
        )
    given = backbone_state(load_tensors(file))
    own = {
        name: value for name, value in model.state_dict().items() if name.startswith("backbone.bottom_up.")
    }
    shapes = {name: tuple(value.shape) for name, value in own.items()}
    if {name: value.shape for name, value in given.items()} != shapes:
        raise InputError(f"{file} holds another network than this claim's ResNet; give torchvision's.")
    for name, value in own.items():
        value.set_value(given[name].astype(str(value.dtype).removeprefix("paddle.")))
