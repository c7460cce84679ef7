"""What has to change in paddle.vision's sources for a model to compute what torchvision's does, as (text, its
replacement): run with ``--mended`` it shows that a table's causes are all there are.

GoogLeNet is another network (no batch norm, no activation after most convolutions, other auxiliary heads) and has none.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

UPSCALED = ('mode="downscale_in_infer"', 'mode="upscale_in_train"')
CEILED = (
    "MaxPool2D(kernel_size=3, stride=2, padding=0)",
    "MaxPool2D(kernel_size=3, stride=2, padding=0, ceil_mode=True)",
)
MENDS: dict[str, tuple[str, list[tuple[str, str]]]] = {
    "alexnet": ("alexnet", [UPSCALED]),
    "inception_v3": (
        "inceptionv3",
        [
            (
                "from ..ops import ConvNormActivation\n",
                "from functools import partial\nfrom ..ops import ConvNormActivation\n"
                "ConvNormActivation = partial(ConvNormActivation, norm_layer=partial(nn.BatchNorm2D, epsilon=1e-3))\n",
            ),
            ('Dropout(p=0.2, mode="downscale_in_infer")', "Dropout(p=0.5)"),
        ],
    ),
    "shufflenet_v2_x2_0": ("shufflenetv2", [("24, 224, 488", "24, 244, 488")]),
    "squeezenet1_0": ("squeezenet", [CEILED, UPSCALED]),
    "squeezenet1_1": (
        "squeezenet",
        [
            CEILED,
            UPSCALED,
            ("stride=2,\n                padding=1,", "stride=2,\n                padding=0,"),
        ],
    ),
}
"""By model: the file of paddle.vision.models, and its changes."""


def mended(name: str) -> ModuleType:
    """The file of a model with its changes made.

    Raises KeyError for a model without mends, ValueError where the source has not the text to change."""
    file, changes = MENDS[name]
    full = f"paddle.vision.models.{file}"
    spec = importlib.util.find_spec(full)
    assert spec is not None and spec.origin is not None
    text = Path(spec.origin).read_text(encoding="utf-8")
    for old, new in changes:
        quoted = [old, old.replace('"', "'")]
        found = next((form for form in quoted if form in text), None)
        if found is None:
            raise ValueError(
                f"{spec.origin} has no {old!r}: this is another Paddle than the mend was written for."
            )
        text = text.replace(found, new)
    module = ModuleType(full)
    module.__package__, module.__file__ = "paddle.vision.models", spec.origin
    sys.modules[f"{full}_mended"] = module
    exec(compile(text, spec.origin, "exec"), module.__dict__)  # noqa: S102
    return module
