"""Why a call gives another result: its settings, its inputs, what it computes, or another call in its place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from fuxian.align import defects
from fuxian.align.diagnose import attention, blocks, kernels, losses, relations, search, structure
from fuxian.align.diagnose.recompute import Run, rerun
from fuxian.align.diagnose.settings import CAUSES, canonical, differing
from fuxian.align.diagnose.tried import FITS, Hypothesis, best, error, number
from fuxian.align.diagnose.view import PASSIVE, View, ancestors, in_attention, users, view
from fuxian.align.divergence import Diagnosis, Divergence, Scene
from fuxian.align.locate import Graph, counterparts
from fuxian.align.tracing import Call, plain

ORDERED = {"sub", "divide", "matmul", "pow", "concat", "stack", "where", "scaled_dot_product_attention"}
"""Operations for which the order of the inputs matters."""


def diagnose(divergence: Divergence) -> Diagnosis | None:
    """The cause of a forward pass, a loss or a training pass that differs."""
    seen = view(divergence)
    if seen is None or divergence.port is None or divergence.reference is None:
        return None
    return first_proven(_attempts(divergence, seen)) or first_proven(_last_attempts(divergence, seen))


def first_proven(attempts: Iterable[Diagnosis | None]) -> Diagnosis | None:
    """The first attempt that a recomputation proves; where none does, the first that says anything."""
    surmised = None
    for found in attempts:
        if found is not None and found.proven:
            return found
        surmised = surmised or found
    return surmised


def _attempts(divergence: Divergence, seen: View) -> Iterator[Diagnosis | None]:
    """What each hypothesis says of the divergence, the more specific ones first."""
    assert divergence.port is not None and divergence.reference is not None  # noqa: S101
    port, reference = divergence.port.call, divergence.reference.call
    yield _clipped_by_paddle(divergence)
    yield _dropout(divergence, seen)
    yield _running_statistics(divergence)
    yield _narrowed(divergence, seen)
    yield _lengths(divergence, seen)
    if divergence.stage != "loss":
        yield attention.diagnose(seen, port, reference)
        yield blocks.diagnose(divergence, seen.port, seen.reference)
    if port is not None and reference is not None and _same_operation(port, reference):
        yield _settings(divergence, divergence.port, divergence.reference, port, reference)
    yield search.diagnose(divergence, seen)
    divergence = _together(divergence)
    assert divergence.port is not None and divergence.reference is not None  # noqa: S101
    port, reference = divergence.port.call, divergence.reference.call
    seen.scenes = divergence.port, divergence.reference
    alike = port is not None and reference is not None and _same_operation(port, reference)
    if alike and port is not None and reference is not None and not _shared(seen, port, reference):
        exchanged = _inputs(divergence, seen, port, reference)
        made = [sum(plain(c.operation) == plain(reference.operation) for c in side.calls)
                for side in (seen.port, seen.reference)]  # fmt: skip
        if exchanged is not None and (exchanged.cause != "wrong_input" or made[0] == made[1]):
            yield exchanged
        yield structure.left_out(divergence, seen)
    if alike:
        assert port is not None and reference is not None  # noqa: S101
        yield from _same_call(divergence, seen, port, reference)
    if divergence.stage == "loss":
        yield losses.diagnose(divergence, seen)
    yield _turned(divergence, seen)
    yield _untraced(divergence, seen)
    other = first_proven([
        _other_source(seen, port, reference), _functions(divergence, seen), structure.diagnose(divergence, seen)
    ])  # fmt: skip
    if not (alike and other is not None and other.cause in ("missing_module", "extra_module")):
        yield other
    yield structure.moved(divergence, seen)


def _last_attempts(divergence: Divergence, seen: View) -> Iterator[Diagnosis | None]:
    """What is asked only where nothing else says anything: how the two places' results relate."""
    chosen = best(_outputs(divergence, seen))
    yield None if chosen is None else chosen.diagnosis()
    assert divergence.port is not None and divergence.reference is not None  # noqa: S101
    made, wanted = _outputs_of(divergence)
    if made is None or wanted is None or made.ndim == wanted.ndim:
        yield _picked(divergence.port.call, divergence.reference.call)
    yield first_proven([_functions(divergence, seen), structure.diagnose(divergence, seen)])
    yield _bad_numbers(divergence)
    yield _lasting_shape(divergence)


def _clipped_by_paddle(divergence: Divergence) -> Diagnosis | None:
    """Paddle's log_softmax and cross_entropy, which cut logits off far below the largest: run with such logits the
    call gives the port's result, and with those it was given it does not."""
    scene = divergence.port
    made = _outputs_of(divergence)[0]
    if scene is None or scene.call is None or made is None or scene.framework != "paddle":
        return None
    said = defects.OF_SOFTMAX.get(plain(scene.call.operation))
    run = rerun(scene, scene.call, lambda _: None) if said is not None else None
    if said is None or run is None:
        return None
    before, x = error(run(), made), run.tensors["x"]
    run.tensors["x"] = np.maximum(
        x - x.max(int(run.settings.get("axis", -1)), keepdims=True), defects.CLIPPED
    )
    chosen = best([Hypothesis("framework_defect", said, before, error(run(), made), 0)])
    return None if chosen is None else Diagnosis("framework_defect", said, scene.line, proven=chosen.proves)


def _together(divergence: Divergence) -> Divergence:
    """Where one side's first calls only move elements, the place from the call on that the other side makes too."""
    port, reference = divergence.port, divergence.reference
    assert port is not None and reference is not None  # noqa: S101
    if port.call is None or reference.call is None or _same_operation(port.call, reference.call):
        return divergence
    scenes = [port, reference]
    for which, other in ((0, reference.call), (1, port.call)):
        calls = scenes[which].calls
        for i, call in enumerate(calls):
            if _same_operation(call, other):
                scenes[which] = replace(scenes[which], calls=calls[i:])
                return replace(divergence, port=scenes[0], reference=scenes[1])
            if plain(call.operation) not in PASSIVE:
                break
    return divergence


def _shared(seen: View, port: Call, reference: Call) -> bool:
    """Whether any of the two calls' inputs agree."""
    return any(o in reference.inputs for name in port.inputs for o in seen.same_in_reference(name))


def _lengths(divergence: Divergence, seen: View) -> Diagnosis | None:
    """A recurrent layer that one side tells the sequences' lengths."""
    recurrent = ("lstm", "gru", "rnn")
    calls = [s.calls if s is not None else [] for s in (divergence.port, divergence.reference)]
    if not any(plain(c.operation) in (*recurrent, "pack_padded_sequence") for side in calls for c in side):
        return None
    told = []
    for side in (seen.port, seen.reference):
        packed = any("packed" in c.operation or "pack_padded" in c.operation for c in side.calls)
        lengths = [c.arguments.get("sequence_length") for c in side.calls if plain(c.operation) in recurrent]
        told.append(packed or any(isinstance(length, dict) for length in lengths))
    if told[0] == told[1]:
        return None
    who = "reference" if told[1] else "port"
    return Diagnosis("sequence_lengths", f"only the {who}'s recurrent layer is told the sequences' lengths")


def failure(divergence: Divergence) -> Diagnosis:
    """What an exception of the port says."""
    message = str(divergence.facts.get("message", ""))
    if divergence.facts.get("defect"):
        return Diagnosis("framework_defect", message, str(divergence.facts.get("line", "")), proven=True)
    words = message.lower()
    cause = "error"
    if any(part in words for part in ("shape", "dimension", "broadcast", "size", "dims")):
        cause = "shape"
    elif any(part in words for part in ("dtype", "data type", "float64", "float32")):
        cause = "dtype"
    return Diagnosis(cause, f"the port raised {message}", str(divergence.facts.get("line", "")), proven=True)


def _same_operation(port: Call, reference: Call) -> bool:
    one, two = plain(port.operation), plain(reference.operation)
    return one == two or {one, two} <= {"sub", "add"} or {one, two} <= {"divide", "multiply"}


# --- the same operation on both sides -----------------------------------------------------------------------------


def _same_call(divergence: Divergence, seen: View, port: Call, reference: Call) -> Iterator[Diagnosis | None]:
    ours, theirs = divergence.port, divergence.reference
    assert ours is not None and theirs is not None  # noqa: S101
    yield _settings(divergence, ours, theirs, port, reference)
    yield _padding(divergence, seen, port, reference)
    yield _terms_alone(seen, port, reference)
    yield _stated(divergence, port, reference)
    yield _inputs(divergence, seen, port, reference)
    yield _masks(seen, port, reference)
    yield _axes(divergence, seen, port, reference)
    yield _constants(divergence, seen, port, reference)
    chosen = best(_weights(divergence, ours, theirs, port, reference))
    yield None if chosen is None else chosen.diagnosis()


def _parameter(divergence: Divergence, scene: Scene, identity: str) -> np.ndarray | None:
    """A parameter's elements, the port's from what the reference gave it."""
    if identity in scene.tensors:
        return scene.tensors[identity]
    name = identity.removeprefix("parameters.")
    if scene is divergence.port and divergence.to_port is not None:
        try:
            return divergence.to_port(name)
        except (KeyError, ValueError, TypeError):
            return None
    if divergence.recordings is None:
        return None
    recording = divergence.recordings[0 if scene is divergence.port else 1]
    full = f"weights/{name}"
    return recording.get(full) if full in recording and recording.kept(full) else None


def _outputs_of(divergence: Divergence) -> tuple[np.ndarray | None, np.ndarray | None]:
    """What the two calls gave first."""
    found = []
    for scene in (divergence.port, divergence.reference):
        call = scene.call if scene is not None else None
        names = call.outputs if call is not None else []
        found.append(
            next((scene.tensors[n] for n in names if n in scene.tensors), None) if scene is not None else None
        )
    return found[0], found[1]


def _settings(
    divergence: Divergence, ours: Scene, theirs: Scene, port: Call, reference: Call
) -> Diagnosis | None:
    """The reference's call, run with the port's settings, gives the port's result; setting by setting, its own."""
    one, two = canonical(ours, port), canonical(theirs, reference)
    made, wanted = _outputs_of(divergence)
    run = rerun(theirs, reference, lambda i: _parameter(divergence, theirs, i))
    if wanted is None or run is None:
        return None
    itself = error(run(), wanted)
    if not itself < 1e-4:
        return None
    before = error(made, wanted) if made is not None else divergence.error
    names = differing(one, two)
    if "loss" in run.operation or "entropy" in run.operation or "bce" in run.operation:
        for name in ("class_weight", "pos_weight"):
            if (run.settings.get(name) is None) != (not _has_tensor(port, name)):
                one[name], two[name] = None, run.settings.get(name)
                names.append(name)
    names = [name for name in names if name in one and name in run.settings and name != "momentum"]
    results = {name: run(**{name: one[name]}) for name in names}
    names = [name for name in names if error(results[name], wanted) > 10 * max(itself, 1e-12)]
    if not names or itself > FITS * before:
        return None
    enough = max(1e-4, 0.01 * min(before, 1.0))
    alone = [n for n in names if made is not None and error(results[n], made) <= enough][:1]
    name = (alone or names)[0]
    cause = _setting_cause(name, one, two, plain(port.operation))
    change = " and ".join(_setting_words(n, one[n], two[n]) for n in alone or names)
    together = run(**{n: one[n] for n in names})
    if alone or (made is not None and error(together, made) <= enough):
        return replace(Hypothesis(cause, f"with {change}", before, itself).diagnosis(), proven=True)
    return Diagnosis(cause, f"the port has {_setting_words(name, two[name], one[name])}, which matters here")


def _setting_words(name: str, mine: object, other: object) -> str:
    shown = "the reference's" if isinstance(other, np.ndarray) else number(other)
    before = "the port's" if isinstance(mine, np.ndarray) else number(mine)
    if name == "scaled":
        return f"what the other framework does ({defects.LP_POOL})"
    return f"{name}={shown} in place of {before}"


def _has_tensor(call: Call, name: str) -> bool:
    argument = call.arguments.get("weight" if name == "class_weight" else name)
    return isinstance(argument, dict) and "tensor" in argument


def _setting_cause(name: str, one: dict, two: dict, operation: str) -> str:
    if name == "mode":
        if "interpolate" in operation:
            return "interpolation_mode"
        return (
            "padding_mode"
            if "pad" in operation
            else "dropout_mode"
            if "dropout" in operation
            else "interpolation_mode"
        )
    if name == "axis":
        return "softmax_axis" if "softmax" in operation else "axis"
    if name == "padding" and "dilation" in one and "dilation" in two and one["dilation"] != two["dilation"]:
        return "dilation"
    if name == "p" and "dropout" not in operation and "attention" not in operation:
        return "loss_form" if "loss" in operation else "norm_kind"
    if name == "size" and "interpolate" not in operation:
        return "kernel_size"
    if name == "alpha" and operation == "add":
        return "scale_factor"
    return CAUSES[name]


def _padding(divergence: Divergence, seen: View, port: Call, reference: Call) -> Diagnosis | None:
    """What a call that pads puts before and after its input, as the tensors show."""
    if plain(port.operation) != "pad":
        return None
    found = []
    for side, call, result in zip((0, 1), (port, reference), _outputs_of(divergence), strict=True):
        source = seen.tensor(side, call.inputs[0])
        found.append(None if source is None or result is None else relations.padding_of(source, result))
    if None in found:
        return None
    if found[0] == found[1]:
        return Diagnosis("padding_mode", "both sides pad by the same number of elements, with other values")
    shown = [", ".join(f"{before} and {after}" for before, after in pads) for pads in found]  # type: ignore[union-attr]
    return Diagnosis(
        "padding",
        f"before and after each axis the port pads by {shown[0]}; the reference by {shown[1]}",
        proven=True,
    )


def _terms_alone(seen: View, port: Call, reference: Call) -> Diagnosis | None:
    """A bias, or a scale and shift, that only one side's layer has; a weight that is tied on one side."""
    ours = [n for n in port.inputs if n.startswith("parameters.") and not seen.same_in_reference(n)]
    theirs = [n for n in reference.inputs if n.startswith("parameters.") and not seen.same_in_port(n)]
    own = [n for n in reference.inputs if n.startswith("parameters.")]
    for name in port.inputs:
        # The port's weight has a partner, which is not the one that the reference uses here.
        times = len(seen.port.users.get(name, ()))
        weight = name.startswith("parameters.") and not name.endswith("bias")
        if weight and own and times > 1 and not set(seen.same_in_reference(name)) & set(own):
            evidence = f"the port uses {name[11:]} {times} times, here in place of {own[0][11:]}"
            return Diagnosis("tied_weights", evidence)
    for names, who, other in ((ours, "port", "reference"), (theirs, "reference", "port")):
        for name in names:
            leaf = name.rpartition(".")[2]
            if leaf not in ("bias", "weight", "scale"):
                continue
            norm = structure.family(port) == "norm"
            if norm or (leaf == "bias" and bool(ours) != bool(theirs)):
                shown = name.removeprefix("parameters.")
                cause = "missing_affine" if norm else "missing_bias"
                return Diagnosis(cause, f"{shown} is the {who}'s alone, the {other} has none")
    return None


def _stated(divergence: Divergence, port: Call, reference: Call) -> Diagnosis | None:
    """A setting that differs where the call could not be run again, or could not tell."""
    assert divergence.port is not None and divergence.reference is not None  # noqa: S101
    theirs = divergence.reference
    one, two = canonical(divergence.port, port), canonical(theirs, reference)
    operation = plain(port.operation)
    if operation in (
        "multiply",
        "divide",
        "add",
        "sub",
        "index",
        "mean",
        "sum",
        "max",
        "min",
        "concat",
        "stack",
    ):
        return None
    run = rerun(theirs, reference, lambda i: _parameter(divergence, theirs, i))
    wanted = _outputs_of(divergence)[1]
    told = run is not None and wanted is not None and error(run(), wanted) < 1e-4
    for name in differing(one, two):
        if name == "axis" and _axes_alike(divergence, one, two):
            continue
        useful = told and run is not None and wanted is not None and name in run.settings
        if useful and error(run(**{name: one[name]}), wanted) < 1e-9:  # type: ignore[misc, arg-type]
            continue
        cause = _setting_cause(name, one, two, operation)
        return Diagnosis(
            cause, f"the port's {name} is {number(one[name])}, the reference's {number(two[name])}"
        )
    return None


def _axes_alike(divergence: Divergence, one: dict, two: dict) -> bool:
    dimensions = (
        max((a.ndim for a in divergence.port.inputs()), default=0) if divergence.port is not None else 0
    )
    axes = [s["axis"] if isinstance(s["axis"], list) else [s["axis"]] for s in (one, two)]
    try:
        return bool(dimensions) and sorted(a % dimensions for a in axes[0]) == sorted(
            a % dimensions for a in axes[1]
        )
    except TypeError:
        return False


def _inputs(divergence: Divergence, seen: View, port: Call, reference: Call) -> Diagnosis | None:
    """Inputs that are not those of the reference's call: exchanged, reordered, taken from elsewhere, shifted."""
    mine, theirs = list(port.inputs), list(reference.inputs)
    if (
        plain(port.operation) not in structure.ARITHMETIC
    ):  # There a parameter is a layer's, and looked at as a weight.
        mine, theirs = ([n for n in names if not n.startswith("parameters.")] for names in (mine, theirs))
    attention = in_attention(seen.reference, reference)
    pairs = _paired(seen, mine, theirs)
    operations = plain(port.operation), plain(reference.operation)
    if operations[0] != operations[1] and len(mine) > 1 and all(pairs.values()):
        cause = "sign" if set(operations) <= {"add", "sub"} else "scale_factor"
        evidence = f"of the same two tensors the port calls {operations[0]}, the reference {operations[1]}"
        return Diagnosis("loss_form" if divergence.stage == "loss" else cause, evidence)
    if all(partner is not None for partner in pairs.values()) and len(mine) == len(theirs):
        order = [theirs.index(str(pairs[n])) for n in mine]
        if order != sorted(order) and plain(port.operation) in ORDERED:
            evidence = f"{plain(port.operation)} takes the reference's inputs in the order {order}"
            if attention and plain(port.operation) == "matmul":
                return Diagnosis("qkv_order", evidence)
            return Diagnosis(
                "sign" if plain(port.operation) == "sub" else "wrong_order", evidence, proven=True
            )
    left = [n for n in theirs if n not in pairs.values()]
    for name in mine:
        if pairs.get(name) is not None:
            continue
        elsewhere = [o for o in seen.same_in_reference(name) if o not in reference.inputs]
        for other in left:
            found = _pair_of_inputs(divergence, seen, (name, other), attention, elsewhere)
            if found is not None:
                return found
        moved = {structure.root(seen.reference, other) for other in left}
        if elsewhere and left and not (name.startswith("parameters.") and moved & set(elsewhere)):
            repeated = _repetitions(seen, port, reference)
            if repeated is not None:
                return repeated
            where = _made_by(seen.reference, elsewhere[0])
            evidence = (
                f"{plain(port.operation)} is fed {where} in place of {_made_by(seen.reference, left[0])}"
            )
            made = seen.reference.maker.get(left[0]), seen.reference.maker.get(elsewhere[0])
            siblings = made[0] is not None and made[1] is not None and made[0].operation == made[1].operation
            if attention and siblings:
                return Diagnosis("qkv_order", evidence)
            if siblings and made[0] is made[1] and _in_cell(seen.reference, reference):
                return Diagnosis("gate_order", evidence)
            return Diagnosis("wrong_input", evidence)
    return None


def _repetitions(seen: View, port: Call, reference: Call) -> Diagnosis | None:
    """One side is already past the lines of which the other makes one more round. Rounds that agree tell which of the
    two sides' lines belong together."""
    for call, side, other, same, cause in (
        (reference, seen.reference, seen.port, seen.same_in_port, "missing_module"),
        (port, seen.port, seen.reference, seen.same_in_reference, "extra_module"),
    ):
        rounds = [c for c in side.calls if c.line == call.line and _same_operation(c, call)]
        partners = [other.maker.get(o) for c in rounds for name in c.outputs for o in same(name)]
        lines = {c.line for c in partners if c is not None and _same_operation(c, call)}
        found = [c for c in other.calls if c.line in lines and _same_operation(c, call)]
        if 0 < len(found) < len(rounds):
            who = ("reference", "port") if cause == "missing_module" else ("port", "reference")
            evidence = (
                f"the {who[0]} calls {plain(call.operation)} {len(rounds)} times in one line"
                f" ({call.line.rpartition('/')[2]}), the {who[1]} {len(found)} times"
            )
            return Diagnosis(cause, evidence)
    return None


def _paired(seen: View, mine: list[str], theirs: list[str]) -> dict[str, str | None]:
    """Each of the port's inputs with the reference's input that agrees with it."""
    free = list(theirs)
    found: dict[str, str | None] = {}
    for place, name in enumerate(mine):
        partners = [o for o in seen.same_in_reference(name) if o in free]
        if (
            not partners
        ):  # Constants of one element and integers may have been left out of the graph's agreement.
            array = seen.tensor(0, name)
            partners = [o for o in free if array is not None and _close(array, seen.tensor(1, o))]
        at = theirs[place] if place < len(theirs) else None
        chosen = at if at in partners else partners[0] if partners else None
        if chosen is not None:
            free.remove(chosen)
        found[name] = chosen
    return found


def _close(one: np.ndarray, two: np.ndarray | None) -> bool:
    return two is not None and one.shape == two.shape and error(one, two) < 1e-7


def _made_by(side: Graph, name: str) -> str:
    call = side.maker.get(name)
    return name if call is None else f"the result of {plain(call.operation)} ({call.line.rpartition('/')[2]})"


def _in_cell(side: Graph, call: Call) -> bool:
    """Whether both a sigmoid and a tanh are near: the gates of a recurrent cell."""
    near = {plain(c.operation) for c in side.calls if c.path == call.path and abs(c.index - call.index) <= 16}
    return "tanh" in near and bool(near & {"sigmoid", "hardsigmoid"})


def _pair_of_inputs(
    divergence: Divergence, seen: View, names: tuple[str, str], attention: bool, elsewhere: list[str]
) -> Diagnosis | None:
    """Two inputs that should agree: what makes the one of the other."""
    mine, theirs = seen.tensor(0, names[0]), seen.tensor(1, names[1])
    if mine is None or theirs is None:
        return None
    if (_is_mask(mine) or _is_mask(theirs)) and (bool in (mine.dtype, theirs.dtype) or attention):
        cause = "attention_mask" if attention or divergence.stage != "loss" else "ignore_index"
        return Diagnosis(cause, "the masks differ" + _mask_words(mine, theirs))
    if mine.dtype.kind in "iu" and mine.shape == theirs.shape:
        offsets = np.unique(theirs.astype(np.int64) - mine.astype(np.int64))
        if offsets.size == 1:
            return Diagnosis(
                "index_offset", f"with {offsets[0]} added to the index the inputs agree", proven=True
            )
        return Diagnosis("index_offset", f"the indices differ, by {offsets[0]} to {offsets[-1]}")
    if elsewhere:
        return None
    chosen = best(relations.reordered(mine, theirs))
    if chosen is not None:
        return replace(chosen.diagnosis("of the input, "), cause="head_order" if attention else chosen.cause)
    chosen = best(
        h
        for h in relations.elementwise(mine, theirs)
        if h.cause in ("scale_factor", "sign", "constant_offset")
    )
    if chosen is not None and names[0] not in seen.port.maker:
        return chosen.diagnosis("of the input, ")
    return None


def _is_mask(array: np.ndarray) -> bool:
    if array.dtype == bool:
        return True
    if array.size < 4 or array.dtype.kind != "f":
        return False
    values = np.unique(array)
    return bool(
        values.size <= 2 and (values[0] <= -1e4 or np.isneginf(values[0]) or set(values) <= {0.0, 1.0})
    )


def _mask_words(mine: np.ndarray, theirs: np.ndarray) -> str:
    kept = [np.broadcast_to(m if m.dtype == bool else m >= m.max(), m.shape) for m in (mine, theirs)]
    if kept[0].shape != kept[1].shape:
        return f": shape {list(mine.shape)} in place of {list(theirs.shape)}"
    if (kept[0] == ~kept[1]).all():
        return ": one is the inverse of the other"
    return f" at {int((kept[0] != kept[1]).sum())} of {kept[0].size} places"


def _masks(seen: View, port: Call, reference: Call) -> Diagnosis | None:
    """A mask's fill value, or a mask that only one side's attention has."""
    if plain(port.operation) in ("where", "masked_fill") and in_attention(seen.reference, reference):
        return Diagnosis("attention_mask", "the scores are masked in another way")
    return None


def _axes(divergence: Divergence, seen: View, port: Call, reference: Call) -> Diagnosis | None:
    """Softmax and reductions: the axis, or the reduction, that each side's tensors show."""
    operation = plain(port.operation)
    sources = seen.tensor(0, port.inputs[0]), seen.tensor(1, reference.inputs[0])
    results = _outputs_of(divergence)
    if any(array is None for array in (*sources, *results)):
        return None
    if operation in ("softmax", "log_softmax"):
        power = np.exp if operation == "log_softmax" else (lambda x: x)
        axes = [relations.softmax_axis(s, power(r)) for s, r in zip(sources, results, strict=True)]  # type: ignore[arg-type]
        if None not in axes and axes[0] != axes[1]:
            return Diagnosis(
                "softmax_axis",
                f"the port's softmax is over axis {axes[0]}, the reference's over {axes[1]}",
                proven=True,
            )
    if structure.family(port) == "reduction":
        found = [relations.reduction_of(s, r) for s, r in zip(sources, results, strict=True)]  # type: ignore[arg-type]
        if found[0] is not None and found[1] is not None and found[0] != found[1]:
            words = [f"{name} over axes {list(axes)}" for name, axes in (found[0], found[1])]
            cause = "reduction" if divergence.stage == "loss" or found[0][0] != found[1][0] else "axis"
            return Diagnosis(
                cause, f"the port takes the {words[0]}, the reference the {words[1]}", proven=True
            )
    return None


def _constants(divergence: Divergence, seen: View, port: Call, reference: Call) -> Diagnosis | None:
    """Arithmetic with another number."""
    operation = plain(port.operation)
    if operation not in structure.ARITHMETIC:
        return None
    found: list[float | None] = []
    for side, call, result in zip((0, 1), (port, reference), _outputs_of(divergence), strict=True):
        source = seen.tensor(side, call.inputs[0])
        found.append(
            None
            if source is None or result is None
            else relations.constant_of(source, result, plain(call.operation))
        )
    if found[0] is None or found[1] is None or np.isclose(found[0], found[1], rtol=1e-9, atol=0):
        return _constant_tensors(divergence, seen, port, reference)
    if np.float32(found[0]) == np.float32(found[1]):
        evidence = f"in float32 the port's {found[0]:.16g} and the reference's {found[1]:.16g} are one number"
        return Diagnosis("precision", evidence, proven=True)
    word = {
        "multiply": "multiplies by",
        "divide": "multiplies by",
        "add": "adds",
        "sub": "adds",
        "pow": "raises to",
    }
    verb = word.get(operation, operation)
    evidence = f"the port {verb} {number(found[0])}, the reference {verb} {number(found[1])}"
    if operation == "pow":
        return Diagnosis(
            "loss_form" if divergence.stage == "loss" else "activation_form", evidence, proven=True
        )
    if np.isclose(found[0], -found[1]):
        return Diagnosis("sign", evidence, proven=True)
    if operation in ("multiply", "divide", "scale"):
        if divergence.stage == "loss":
            whole = divergence.place == "total"
            return Diagnosis("loss_weight" if whole else _share(port, reference), evidence, proven=True)
        return Diagnosis(
            "attention_scale" if in_attention(seen.reference, reference) else "scale_factor",
            evidence,
            proven=True,
        )
    if divergence.stage == "loss":
        return Diagnosis("loss_form", evidence, proven=True)
    if _before_root(seen.reference, reference):
        return Diagnosis("epsilon", evidence, proven=True)
    if abs(found[0]) > 1e3 or abs(found[1]) > 1e3:
        return Diagnosis("attention_mask", evidence, proven=True)
    return Diagnosis("constant_offset", evidence, proven=True)


def _constant_tensors(divergence: Divergence, seen: View, port: Call, reference: Call) -> Diagnosis | None:
    """Arithmetic with a tensor that comes from no call and is another on each side."""
    held = []
    for which, side, call in ((0, seen.port, port), (1, seen.reference, reference)):
        names = [n for n in call.inputs if ".c" in n and n not in side.maker]
        held.append(seen.tensor(which, names[0]) if len(names) == 1 else None)
    if held[0] is None or held[1] is None or _close(held[0], held[1]):
        return None
    operation = plain(port.operation)
    shown = [number(array.reshape(-1)[:6].tolist()) for array in held if array is not None]
    evidence = f"the port's constant in {operation} begins with {shown[0]}, the reference's with {shown[1]}"
    if operation not in ("multiply", "divide", "scale"):
        return Diagnosis("loss_form" if divergence.stage == "loss" else "constant_offset", evidence)
    return Diagnosis("loss_weight" if divergence.stage == "loss" else "scale_factor", evidence)


def _share(port: Call, reference: Call) -> str:
    return "reduction" if "divide" in (plain(port.operation), plain(reference.operation)) else "loss_form"


def _before_root(side: Graph, call: Call) -> bool:
    """Whether a root, or a division, follows: what is added there is an epsilon."""
    return any(
        plain(user.operation) in ("sqrt", "rsqrt", "divide", "log")
        for n in call.outputs
        for user in side.users[n]
    )


def _weights(
    divergence: Divergence, ours: Scene, theirs: Scene, port: Call, reference: Call
) -> Iterator[Hypothesis]:
    """The same inputs, the weight used in another way, or a term left out."""
    made, wanted = _outputs_of(divergence)
    if made is None or wanted is None:
        return
    before = error(made, wanted)
    source = ours.inputs()[0] if ours.inputs() else None
    if plain(port.operation) in ("matmul", "linear") and source is not None:
        arrays = [_parameter(divergence, ours, n) for n in port.inputs if n.startswith("parameters.")]
        arrays += [a for a in ours.inputs()[1:] if a.ndim >= 2]
        for weight in arrays:
            if weight is None or weight.ndim < 2 or weight.shape[-1] != weight.shape[-2]:
                continue
            products = [source @ weight, source @ np.swapaxes(weight, -1, -2)]
            for one, two in (products, products[::-1]):
                if one.shape != made.shape:
                    continue
                # What is added to the product is the same on both sides.
                after = error(made - one + two, wanted)
                yield Hypothesis("transposed_weight", "with the weight transposed", before, after, 1)
    run = rerun(theirs, reference, lambda i: _parameter(divergence, theirs, i))
    if run is None:
        return
    result = run()
    if result is None or error(result, wanted) > min(1e-4, FITS * before):
        return
    if "padding_idx" in run.settings and plain(port.operation) == "embedding":
        indices = run.tensors["x"].astype(int)
        rows = made.reshape(-1, made.shape[-1]), wanted.reshape(-1, wanted.shape[-1])
        differ = np.unique(indices.reshape(-1)[(rows[0] != rows[1]).any(1)])
        if differ.size == 1:
            there = indices.reshape(-1) == differ[0]
            who = "reference" if rows[0][there].any() else "port"
            repaired = np.where(there[:, None], result.reshape(rows[1].shape), rows[0])
            words = f"with row {differ[0]}, which is zero on the {who}'s side, as in the reference"
            yield Hypothesis("padding_idx", words, before, error(repaired, rows[1]), 1)
    changes = {
        "use_batch": ("bn_statistics", not run.settings.get("use_batch")) if run.operation == "batch_norm" else None,
        "transposed": ("transposed_weight", True) if run.operation == "linear" else None,
        "align_mode": ("align_corners", 1) if run.operation == "interpolate" else None,
        "zero_padding": ("padding_idx", True) if run.operation == "embedding" else None,
        "probabilities": ("logits", True) if "entropy" in run.operation or "bce" in run.operation else None,
        "count_include_pad": ("count_include_pad", not run.settings.get("count_include_pad", True)),
        "ceil_mode": ("ceil_mode", not run.settings.get("ceil_mode", False)),
        "is_huber": ("loss_form", True) if run.operation == "smooth_l1_loss" else None,
    }  # fmt: skip
    for name, change in changes.items():
        if change is not None:
            after = error(run(**{name: change[1]}), made)
            words = f"against the reference's call with {name}={change[1]}"
            yield Hypothesis(change[0], words, before, after, 1)
    for term in [t for t in ("bias", "weight") if t in run.tensors]:
        kept = run.tensors.pop(term)
        after = error(run(), made)
        run.tensors[term] = kept
        cause = "missing_bias" if term == "bias" and "norm" not in run.operation else "missing_affine"
        yield Hypothesis(cause, f"against the reference's call without its {term}", before, after, 1)


# --- kinds of calls that are looked at first ------------------------------------------------------------------------


def _turned(divergence: Divergence, seen: View) -> Diagnosis | None:
    """A square weight that the port turns before a product: its own product with the weight as it lies is tried."""
    assert divergence.port is not None  # noqa: S101
    wanted = _outputs_of(divergence)[1]
    if wanted is None:
        return None
    tried = []
    for turn in divergence.port.calls:
        if plain(turn.operation) != "transpose" or not turn.inputs[0].startswith("parameters."):
            continue
        weight = _parameter(divergence, divergence.port, turn.inputs[0])
        for product in users(seen.port, turn.outputs, 1):
            source, made = (seen.tensor(0, name) for name in (product.inputs[0], product.outputs[0]))
            if weight is None or source is None or made is None or plain(product.operation) != "matmul":
                continue
            if weight.ndim != 2 or source.shape[-1] != weight.shape[0] or made.shape != wanted.shape:
                continue
            for last in [product, *users(seen.port, product.outputs, 1)]:
                ended = seen.tensor(0, last.outputs[0])
                if ended is None or ended.shape != wanted.shape:
                    continue
                after = error(ended - made + source @ weight, wanted)
                words = f"with {turn.inputs[0].removeprefix('parameters.')} as it lies"
                tried.append(Hypothesis("transposed_weight", words, error(ended, wanted), after, 1))
    chosen = best(tried)
    return chosen.diagnosis(line=divergence.port.line) if chosen is not None else None


def _dropout(divergence: Divergence, seen: View) -> Diagnosis | None:
    """Dropout on one side: in evaluation, a factor or zeros; in training, the share that is kept."""
    scenes = divergence.port, divergence.reference
    calls = [
        next((c for c in s.calls[:1] if "dropout" in c.operation), None) if s is not None else None
        for s in scenes
    ]
    if not any(calls):
        return None
    training = divergence.stage == "training_mode"
    ours = calls[0]
    if ours is None:
        return Diagnosis("dropout_position", "the reference drops elements here, the port does not")
    assert divergence.port is not None  # noqa: S101
    source, result = seen.tensor(0, ours.inputs[0]), _outputs_of(divergence)[0]
    if not training and source is not None and result is not None:
        factor = relations.constant_of(source, result, "multiply")
        if factor is not None:
            evidence = f"in evaluation mode the port multiplies by {factor:.4g}, as downscale_in_infer does"
            return Diagnosis("dropout_mode", evidence, proven=True)
        share = float((result == 0).mean() - (source == 0).mean())
        return Diagnosis(
            "train_eval_switch", f"in evaluation mode the port drops {share:.0%} of the elements"
        )
    if calls[1] is None:
        return Diagnosis("dropout_position", "the port drops elements here, the reference does not")
    assert divergence.reference is not None  # noqa: S101
    one, two = canonical(divergence.port, ours), canonical(divergence.reference, calls[1])
    if not np.isclose(float(one.get("p", 0.5)), float(two.get("p", 0.5))):
        return Diagnosis(
            "dropout_rate", f"the port drops {number(one['p'])}, the reference {number(two['p'])}"
        )
    if one.get("mode") != two.get("mode"):
        return Diagnosis(
            "dropout_mode", f"the port's mode is {one.get('mode')}, the reference's {two.get('mode')}"
        )
    if bool(one.get("training", True)) != bool(two.get("training", True)):
        return Diagnosis("train_eval_switch", "only one side drops in training")
    return Diagnosis("dropout_rate", "the kept elements differ, given the same draws")


def _running_statistics(divergence: Divergence) -> Diagnosis | None:
    """Batch norm in training: which statistics, and by how much the running ones move."""
    port = divergence.port.call if divergence.port is not None else None
    reference = divergence.reference.call if divergence.reference is not None else None
    if divergence.stage != "training_mode" or port is None or reference is None:
        return None
    if not (port.operation == reference.operation == "batch_norm"):
        return None
    assert divergence.port is not None and divergence.reference is not None  # noqa: S101
    made, wanted = _outputs_of(divergence)
    one, two = canonical(divergence.port, port), canonical(divergence.reference, reference)
    same = made is not None and wanted is not None and error(made, wanted) < 1e-6
    rates = one.get("momentum"), two.get("momentum")
    if same and None not in rates and not np.isclose(float(rates[0]), float(rates[1])):  # type: ignore[arg-type]
        evidence = (
            f"the running statistics take {number(rates[0])} of each batch's, the reference's {number(rates[1])}"
            f" (momentum={number(1 - float(rates[1]))} in Paddle)"  # type: ignore[arg-type]
        )
        return Diagnosis("momentum", evidence)
    if same:
        return Diagnosis("bn_statistics", "the outputs agree, the running statistics do not move alike")
    if np.isclose(float(one.get("epsilon", 0)), float(two.get("epsilon", 0))):
        return Diagnosis("bn_statistics", "the outputs of the normalisation differ, and not its epsilon")
    return None


def _narrowed(divergence: Divergence, seen: View) -> Diagnosis | None:
    """A value that passes through a narrower type on the port's side alone."""
    if divergence.port is None:
        return None
    wide = seen.reference.recording.data.get("dtype", "float64")
    bits = {"float16": 11, "bfloat16": 8, "float32": 24, "float64": 53}
    for call in divergence.port.calls:
        if plain(call.operation) != "cast":
            continue
        asked = " ".join(str(v) for v in call.arguments.values())
        kind = next((k for k in ("bfloat16", "float16", "float32", "half") if k in asked), None)
        if kind is None and call.name.rpartition(".")[2] in ("half", "bfloat16", "float"):
            kind = {"half": "float16", "bfloat16": "bfloat16", "float": "float32"}[
                call.name.rpartition(".")[2]
            ]
        kind = "float16" if kind == "half" else kind
        if kind is not None and bits[kind] < bits.get(wide, 53) and divergence.error < 0.05:
            evidence = (
                f"the port casts to {kind} here, and differs by {divergence.error:.2g}; {kind} rounds by up to"
                f" {2.0 ** -bits[kind]:.2g}"
            )
            return Diagnosis("precision", evidence, call.line)
    return None


# --- other operations -----------------------------------------------------------------------------------------------


def _functions(divergence: Divergence, seen: View) -> Diagnosis | None:
    """Activations, written as one call or several: which function each side applies to the shared tensor."""
    port, reference = divergence.port, divergence.reference
    assert port is not None and reference is not None  # noqa: S101
    if port.call is None or reference.call is None:
        return None
    found = []
    last = [port.call, reference.call]
    for side, scene in enumerate((port, reference)):
        assert scene.call is not None  # noqa: S101
        source = seen.tensor(side, scene.call.inputs[0]) if scene.call.inputs else None
        told = None
        for call in scene.calls[:6]:
            result = seen.tensor(side, call.outputs[0]) if call.outputs else None
            if source is not None and result is not None and source.size > 1:
                told = relations.function_of(source, result)
            if told is not None:
                last[side] = call
                break
        found.append(told)
    if found[0] is None or found[1] is None or found[0][0] == found[1][0]:
        return None
    (ours, kind), (theirs, wanted) = found[0], found[1]
    families = structure.family(port.call), structure.family(reference.call)
    if kind == wanted == "clip":
        return Diagnosis("activation_form", f"the port applies {ours}, the reference {theirs}", proven=True)
    if "activation" not in families or {kind, wanted} & {"identity", "clip"}:
        return None
    if families[0] != families[1] and not _same_next(seen, last[0], last[1]):
        return None
    cause = "activation_form" if kind == wanted else "activation"
    return Diagnosis(
        cause, f"the port applies {ours}, the reference {theirs}: each reproduces its side", proven=True
    )


def _untraced(divergence: Divergence, seen: View) -> Diagnosis | None:
    """A call that the reference makes and the port's trace does not show: what it is of is fed to the port's next call
    as a constant. The reference's call is run with changes until it gives that constant."""
    port, reference = divergence.port, divergence.reference
    if port is None or reference is None or port.call is None or reference.call is None:
        return None
    after = list(users(seen.reference, reference.call.outputs))
    after += [
        u for call in after if plain(call.operation) == "pad" for u in users(seen.reference, call.outputs)
    ]
    if plain(port.call.operation) not in {plain(call.operation) for call in after}:
        return None
    for name in port.call.inputs:
        if name.startswith("parameters.") or name in seen.port.maker or seen.same_in_reference(name):
            continue
        made, wanted = seen.tensor(0, name), _outputs_of(divergence)[1]
        source = seen.tensor(1, reference.call.inputs[0])
        if made is None or wanted is None or source is None:
            continue
        told = relations.function_of(source, made)
        if told is not None and structure.family(reference.call) == "activation":
            return Diagnosis(
                "activation",
                f"the port applies {told[0]} where the reference calls {reference.call.operation}",
            )
        run = rerun(reference, reference.call, lambda i: _parameter(divergence, reference, i))
        if run is None or error(run(), wanted) > 1e-4:
            continue
        before = error(made, wanted)
        tried = [
            Hypothesis(cause, f"against the reference's call with {change}", before, error(result, made))
            for cause, change, result in _changed(run)
        ]
        chosen = best(tried)
        if chosen is not None:
            return chosen.diagnosis()
    return None


def _changed(run: Run) -> Iterator[tuple[str, str, np.ndarray | None]]:
    """A call with each of its usual settings changed."""
    if "pool" in run.operation:
        other = "avg" if "max" in run.operation else "max"
        kernel = kernels.adaptive_pool if "adaptive" in run.operation else kernels.pool
        settings = {"count_include_pad": False, **run.settings}
        yield "pool_kind", f"a pool of kind {other}", kernel(run.tensors["x"], other, settings)
        for name in ("ceil_mode", "count_include_pad"):
            yield (
                name,
                f"{name} reversed",
                run(**{name: not run.settings.get(name, name == "count_include_pad")}),
            )
    if run.operation == "interpolate":
        yield (
            "align_corners",
            "align_corners reversed",
            run(align_corners=not run.settings.get("align_corners")),
        )
        for mode in ("nearest", "bilinear", "bicubic", "area"):
            yield "interpolation_mode", f"mode={mode}", run(mode=mode)
    for power in range(-12, -1):
        if "epsilon" in run.settings:
            yield "epsilon", f"epsilon=1e{power}", run(epsilon=10.0**power)


def _other_source(seen: View, port: Call | None, reference: Call | None) -> Diagnosis | None:
    """One side feeds a call with what its first call makes; the other side feeds it with a tensor that both sides have
    and that this is not made of. Nothing is missing then: another tensor was taken."""
    if port is None or reference is None:
        return None
    for call, side, other, same, mine in (
        (port, seen.port, reference, seen.same_in_port, True),
        (reference, seen.reference, port, seen.same_in_reference, False),
    ):
        fed = [
            user for user in users(side, call.outputs)
            if counterparts(seen.agrees, *((user, other) if mine else (other, user)))
        ]  # fmt: skip
        taken = [name for name in other.inputs if not name.startswith("parameters.")]
        if not fed or len(taken) != 1 or not same(taken[0]):
            continue
        behind = {name for made in call.outputs for name in ancestors(side, made)}
        if behind & set(same(taken[0])) or _moved_alone(side, call, same(taken[0])):
            continue
        sources = _made_by(side, call.outputs[0]), _made_by(seen.reference if mine else seen.port, taken[0])
        one, two = sources if mine else sources[::-1]
        return Diagnosis("wrong_input", f"{plain(other.operation)} is fed {one} in place of {two}")
    return None


def _moved_alone(side: Graph, call: Call, names: list[str]) -> bool:
    """Whether the call and the tensors come from one tensor by moving elements alone."""
    roots = {structure.root(side, name) for name in names}
    return any(structure.root(side, name) in roots for name in call.inputs)


def _same_next(seen: View, port: Call, reference: Call) -> bool:
    """Whether the same operation goes on with what the two calls give."""
    ours = {plain(call.operation) for call in users(seen.port, port.outputs)}
    return bool(ours & {plain(call.operation) for call in users(seen.reference, reference.outputs)})


def _outputs(divergence: Divergence, seen: View) -> Iterator[Hypothesis]:
    """Relations between what the two places give in the end."""
    port, reference = divergence.port, divergence.reference
    assert port is not None and reference is not None  # noqa: S101
    pairs = []
    if port.calls and reference.calls:
        pairs = [(port.calls[0], reference.calls[0]), (port.calls[-1], reference.calls[-1])]
    for one, two in pairs:
        mine = next((a for a in (seen.tensor(0, n) for n in one.outputs) if a is not None), None)
        theirs = next((a for a in (seen.tensor(1, n) for n in two.outputs) if a is not None), None)
        if mine is None or theirs is None:
            continue
        attention = in_attention(seen.reference, two)
        for hypothesis in relations.elementwise(mine, theirs):
            cause = hypothesis.cause
            if attention:
                cause = {"permutation": "head_order", "scale_factor": "attention_scale"}.get(cause, cause)
            elif divergence.stage == "loss" and cause == "scale_factor":
                cause = "reduction"
            yield Hypothesis(cause, hypothesis.change, hypothesis.before, hypothesis.after, hypothesis.cost)
        yield from _terms(seen, mine, theirs, two)


def _terms(seen: View, mine: np.ndarray, theirs: np.ndarray, call: Call) -> Iterator[Hypothesis]:
    """A term that one side adds and the other does not: any tensor made before."""
    if mine.shape != theirs.shape or mine.size < 2 or mine.dtype.kind != "f":
        return
    before = error(mine, theirs)
    for earlier in seen.reference.calls[: call.index]:
        for name in earlier.outputs:
            term = seen.tensor(1, name)
            if term is None or term.shape != theirs.shape or term.dtype.kind != "f":
                continue
            yield Hypothesis("residual", f"with {name} added", before, error(mine + term, theirs), 2)
            yield Hypothesis("residual", f"with {name} taken off", before, error(mine - term, theirs), 2)


def _picked(port: Call | None, reference: Call | None) -> Diagnosis | None:
    """Other places of one tensor, picked by numbers or slices."""
    if (
        port is None
        or reference is None
        or not plain(port.operation) == plain(reference.operation) == "index"
    ):
        return None
    picks = [
        [v for v in c.arguments.values() if not (isinstance(v, dict) and "tensor" in v)]
        for c in (port, reference)
    ]
    if not all(picks) or picks[0] == picks[1]:
        return None
    return Diagnosis(
        "index_offset", f"the port picks {number(picks[0][-1])}, the reference {number(picks[1][-1])}"
    )


def _bad_numbers(divergence: Divergence) -> Diagnosis | None:
    made, wanted = _outputs_of(divergence)
    if made is not None and wanted is not None and not np.isfinite(made).all() and np.isfinite(wanted).all():
        return Diagnosis(
            "nan", f"{int((~np.isfinite(made)).sum())} of {made.size} elements are NaN or infinite"
        )
    return None


def _lasting_shape(divergence: Divergence) -> Diagnosis | None:
    made, wanted = _outputs_of(divergence)
    if made is not None and wanted is not None and made.shape != wanted.shape:
        return Diagnosis("shape", f"shape {list(made.shape)} in place of {list(wanted.shape)}")
    return None
