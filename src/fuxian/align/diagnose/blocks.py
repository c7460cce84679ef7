"""Settings of the frameworks' own blocks (encoder and decoder layers, attention) around the place that differs."""

from __future__ import annotations

from typing import Any

from fuxian.align.diagnose.tried import number
from fuxian.align.divergence import Diagnosis, Divergence
from fuxian.align.locate import Graph

NAMES = {
    "normalize_before": "norm first", "norm_first": "norm first", "num_heads": "heads", "nhead": "heads",
    "embed_dim": "width", "activation": "activation", "need_weights": "weights returned",
    "dropout": "dropout",
}  # fmt: skip
CAUSES = {"norm first": "wrong_order", "heads": "head_order", "width": "shape", "activation": "activation",
          "dropout": "dropout_rate"}  # fmt: skip
BLOCKS = ("TransformerEncoderLayer", "TransformerDecoderLayer", "MultiHeadAttention", "MultiheadAttention")


def diagnose(divergence: Divergence, port: Graph, reference: Graph) -> Diagnosis | None:
    """A setting of the innermost block around the place that both frameworks have and state otherwise."""
    ours = _blocks(port, divergence.place)
    theirs = _blocks(reference, divergence.reference_place)
    for kind in dict.fromkeys(_kind(block) for block in ours):
        pair = [next((b for b in side if _kind(b) == kind), None) for side in (ours, theirs)]
        if pair[0] is None or pair[1] is None:
            continue
        settings = [_settings(block) for block in pair]
        for name, cause in CAUSES.items():
            if cause == "dropout_rate" and divergence.stage != "training_mode":
                continue
            one, two = (side.get(name) for side in settings)
            if one is not None and two is not None and one != two:
                said = f"the port's {kind} has {name} = {number(one)}, the reference's {number(two)}"
                return Diagnosis(cause, said, place=pair[0]["path"])
        if settings[0].get("time first") != settings[1].get("time first") and _same_input(
            port, reference, pair
        ):
            said = (
                f"the reference's {kind} takes [time, batch, features], Paddle's [batch, time, features], and both are"
                " given the same tensor"
            )
            return Diagnosis("axis", said)
    return None


def _kind(module: dict[str, Any]) -> str:
    return str(module["class"]).rpartition(".")[2].replace("Multihead", "MultiHead")


def _blocks(side: Graph, place: str) -> list[dict[str, Any]]:
    """The frameworks' own blocks that hold a place, the innermost first."""
    parts = place.split(".") if place else []
    paths = [".".join(parts[:i]) for i in range(len(parts), -1, -1)]
    found = [side.classes[path] for path in paths if path in side.classes]
    return [m for m in found if m["class"].startswith(("paddle.", "torch.")) and m["class"].endswith(BLOCKS)]


def _settings(module: dict[str, Any] | None) -> dict[str, Any]:
    settings = module["settings"] if module is not None else {}
    found = {NAMES[name]: value for name, value in settings.items() if name in NAMES}
    config = settings.get("_config")
    if isinstance(config, dict):
        found |= {NAMES[name]: value for name, value in config.items() if name in NAMES}
    found["time first"] = settings.get("batch_first") is False
    return found


def _same_input(port: Graph, reference: Graph, pair: list[dict[str, Any] | None]) -> bool:
    """Whether the two blocks are fed tensors of one shape, laid out alike."""
    shapes = []
    for side, module in zip((port, reference), pair, strict=True):
        span = next((s for s in side.spans if module is not None and s.path == module["path"]), None)
        name = next(
            (n for n in (span.inputs if span is not None else ()) if side.sketch(n) is not None), None
        )
        shapes.append(side.shape(name) if name is not None else None)
    return shapes[0] is not None and shapes[0] == shapes[1]
