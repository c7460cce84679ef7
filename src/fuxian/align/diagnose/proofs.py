"""Proves a surmised cause by what both sides recorded: what follows the change would get what the reference's got.

A call that one side alone makes is proven to be the difference where its inputs agree and what follows it is the same
call on the other side, fed with those inputs. Settings that both sides state are proven where each reproduces its side.
"""

from __future__ import annotations

import numpy as np

from fuxian.align.diagnose.recompute import rerun
from fuxian.align.diagnose.settings import canonical
from fuxian.align.diagnose.tried import error
from fuxian.align.diagnose.view import View, view
from fuxian.align.divergence import Diagnosis, Divergence
from fuxian.align.locate import Graph
from fuxian.align.tracing import Call, plain

EXACT = 1e-6
ONE_SIDED = {"extra_module", "missing_module", "logits", "activation", "precision", "residual"}
LONGEST = 4
"""Calls in a row that one side alone makes."""


def shown(divergence: Divergence, found: Diagnosis) -> bool:
    """Whether the recorded tensors prove the cause."""
    if found.cause in ONE_SIDED and divergence.kind == "call":
        seen = view(divergence)
        return seen is not None and (_alone(seen, 0) or _alone(seen, 1))
    if found.cause == "pool_kind":
        return _of_other_kind(divergence)
    if found.cause == "dropout_rate":
        return _each_drops_its_share(divergence)
    if found.cause == "momentum":
        return _each_moves_by_its_share(divergence)
    alone = "alone, the reference has none" in found.evidence
    return found.cause in ("missing_bias", "missing_affine") and alone


def _alone(seen: View, which: int) -> bool:
    """Whether the calls at the place are this side's alone: the other feeds their inputs to the call after them."""
    side, other = (seen.port, seen.reference) if which == 0 else (seen.reference, seen.port)
    same = seen.same_in_reference if which == 0 else seen.same_in_port
    scene = seen.scenes[which]
    calls = [] if scene is None else scene.calls[:LONGEST]
    given: list[str] = []
    for count, call in enumerate(calls, 1):
        fresh = [name for name in call.inputs if not name.startswith("parameters.")]
        if count == 1:
            given = [twin for name in fresh for twin in same(name)]
            if not given or len([n for n in fresh if same(n)]) < len(set(fresh)):
                return False
        if any(same(name) for name in call.outputs):
            return False
        after = _users(side, call.outputs)
        if any(_operation(a) == _operation(b) for a in after for b in _users(other, given)):
            return True
        if not after and not [b for b in _users(other, given) if b.section == call.section]:
            return True
    return False


def _users(side: Graph, names: list[str]) -> list[Call]:
    wanted = set(names)
    return [call for call in side.calls if wanted & set(call.inputs)]


def _operation(call: Call) -> str:
    return plain(call.operation)


def _of_other_kind(divergence: Divergence) -> bool:
    """Whether the port's pool, run with the reference's operation and settings, gives the reference's tensor."""
    port, reference = divergence.port, divergence.reference
    if port is None or reference is None or port.call is None or reference.call is None:
        return False
    run = rerun(reference, reference.call, lambda _: None)
    mine, wanted = port.inputs(), reference.outputs()
    if run is None or not mine or not wanted or mine[0].shape != run.tensors["x"].shape:
        return False
    run.tensors["x"] = mine[0]
    return error(run(), wanted[0]) < EXACT


def _each_drops_its_share(divergence: Divergence) -> bool:
    """Whether each side keeps what its own rate keeps of the shared draws, scaled as its own rate scales."""
    scenes = divergence.port, divergence.reference
    kept: list[np.ndarray] = []
    rates: list[float] = []
    for scene in scenes:
        if scene is None or scene.call is None or not scene.inputs() or not scene.outputs():
            return False
        rate = canonical(scene, scene.call).get("p")
        given, made = scene.inputs()[0], scene.outputs()[0]
        if not isinstance(rate, (int, float)) or not 0 <= rate < 1 or given.shape != made.shape:
            return False
        stays = made != 0
        if error(np.where(stays, given / (1 - rate), 0.0), made) > EXACT:
            return False
        kept.append(stays)
        rates.append(float(rate))
    low, high = (0, 1) if rates[0] < rates[1] else (1, 0)
    return rates[0] != rates[1] and kept[0].shape == kept[1].shape and not (kept[high] & ~kept[low]).any()


def _each_moves_by_its_share(divergence: Divergence) -> bool:
    """Whether both running means moved towards the same batch's mean, each by its own share."""
    scenes, names = (divergence.port, divergence.reference), (divergence.place, divergence.reference_place)
    if divergence.recordings is None:
        return False
    means = []
    for scene, recording, path, leaf in zip(
        scenes, divergence.recordings, names, ("_mean", "running_mean"), strict=True
    ):
        share = canonical(scene, scene.call).get("momentum") if scene is not None and scene.call else None
        after = f"train/buffers/{path}.{leaf}"
        before = f"weights/{divergence.reference_place}.running_mean"
        held = divergence.recordings[1]
        if not share or not all(
            name in side and side.kept(name) for name, side in ((after, recording), (before, held))
        ):
            return False
        start = held.get(before)
        means.append((recording.get(after) - start) / float(share) + start)
    return error(means[0], means[1]) < 1e-5
