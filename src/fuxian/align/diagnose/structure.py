"""What one side calls and the other does not: from the calls that hang on the place where the two part."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import SequenceMatcher

from fuxian.align.diagnose import relations
from fuxian.align.diagnose.tried import best
from fuxian.align.diagnose.view import PASSIVE, View, active, ancestors, descendants, in_attention, users
from fuxian.align.divergence import Diagnosis, Divergence
from fuxian.align.locate import MAKERS, Graph, counterparts
from fuxian.align.tracing import Call, plain

ACTIVATIONS = {
    "relu", "relu6", "leaky_relu", "prelu", "elu", "selu", "celu", "gelu", "silu", "sigmoid", "hardsigmoid",
    "hardswish", "tanh", "hardtanh", "mish", "softplus", "softsign", "log_sigmoid", "logsigmoid", "glu", "maxout",
    "swish", "tanhshrink", "hardshrink", "softshrink", "square", "exp",
}  # fmt: skip
NORMS = {
    "batch_norm",
    "layer_norm",
    "group_norm",
    "instance_norm",
    "rms_norm",
    "local_response_norm",
    "normalize",
}
REDUCTIONS = {"mean", "sum", "max", "min", "logsumexp", "norm", "product", "median", "std", "var", "nanmean"}
ARITHMETIC = {"add", "sub", "multiply", "divide", "pow", "scale", "neg"}
LOSSES = ("loss", "entropy", "bce", "kl_div", "nll")
PROBABILITIES = {"softmax", "sigmoid", "log_softmax", "log_sigmoid"}


def family(call: Call) -> str:
    """What kind of operation a call is."""
    operation = plain(call.operation)
    if operation in ACTIVATIONS:
        return "activation"
    if operation in NORMS:
        return "norm"
    if "pool" in operation:
        return "pool"
    if operation in REDUCTIONS:
        return "reduction"
    if "dropout" in operation:
        return "dropout"
    if any(part in operation for part in LOSSES):
        return "loss"
    if operation in PASSIVE:
        return "passive"
    return operation


@dataclass(frozen=True)
class Edit:
    """The first difference between the two lists of calls: ``missing``, ``extra``, ``replaced`` or ``order``."""

    kind: str
    ours: list[Call]
    theirs: list[Call]


def first_edit(view: View, port: Call | None, reference: Call | None) -> Edit | None:
    """Compare what hangs on the port's call with what hangs on the reference's, passive calls aside."""
    ours = active(descendants(view.port, port)) if port is not None else []
    theirs = active(descendants(view.reference, reference)) if reference is not None else []
    ours, theirs = _up_to_agreement(view, ours, theirs)
    if port is not None and reference is None:
        return Edit("extra", ours[:1] or [port], [])
    if reference is not None and port is None:
        return Edit("missing", [], theirs[:1] or [reference])
    words = [[_named(view, c) for c in ours], [_named(None, c) for c in theirs]]
    matcher = SequenceMatcher(None, words[0], words[1], autojunk=False)
    edits = [opcode for opcode in matcher.get_opcodes() if opcode[0] != "equal"]
    met = [any(seen for name in calls[-1].outputs if (seen := same(name))) if calls else True
           for calls, same in ((ours, view.same_in_reference), (theirs, view.same_in_port))]  # fmt: skip
    if edits and edits[-1][0] in ("insert", "delete") and not all(met):
        # The lists were cut off: what only one side has at the end tells nothing.
        edits = [
            e
            for e in edits
            if not (e[0] in ("insert", "delete") and e[2] == len(words[0]) and e[4] == len(words[1]))
        ]
    if not edits:
        return None
    removed = [w for tag, a, b, _, _ in edits if tag in ("delete", "replace") for w in words[0][a:b]]
    added = [w for tag, _, _, c, d in edits if tag in ("insert", "replace") for w in words[1][c:d]]
    tag, a, b, c, d = edits[0]
    moved = set(words[0][a:b]) & set(added) or set(words[1][c:d]) & set(removed)
    kinds = {word.partition(" ")[0] for word in moved}
    if moved and len(edits) > 1 and _as_many(view, port, reference, kinds):
        shown = [[c for c, word in zip(calls, named, strict=True) if word in moved]
                 for calls, named in zip((ours, theirs), words, strict=True)]  # fmt: skip
        return Edit("order", *shown)
    kind = {"delete": "extra", "insert": "missing", "replace": "replaced"}[tag]
    return Edit(kind, ours[a:b], theirs[c:d])


def _as_many(view: View, port: Call | None, reference: Call | None, words: set[str]) -> bool:
    """Whether both sides make these calls as often, in the module that holds the place and all over."""
    if port is None or reference is None:
        return False
    for inside in (True, False):
        counts = []
        for side, first in ((view.port, port), (view.reference, reference)):
            path = _holder(side, first) if inside else ""
            counts.append([_word(c) for c in side.calls if c.path.startswith(path)])
        if any(counts[0].count(word) != counts[1].count(word) for word in words):
            return False
    return True


def _holder(side: Graph, call: Call) -> str:
    """The user's module whose forward makes the call, or calls the framework's own that makes it."""
    kind = side.classes.get(call.path, {}).get("class", "")
    return call.path.rpartition(".")[0] if kind.startswith(("paddle.", "torch.")) else call.path


def moved(divergence: Divergence, view: View) -> Diagnosis | None:
    """The same calls follow on both sides; what the first of them is fed has its elements in another order."""
    port = divergence.port.call if divergence.port is not None else None
    reference = divergence.reference.call if divergence.reference is not None else None
    if port is None or reference is None:
        return None
    ours, theirs = active(descendants(view.port, port)), active(descendants(view.reference, reference))
    for one, two in zip(ours[:2], theirs[:2], strict=False):
        if _word(one) != _word(two):
            break
        for mine in one.inputs:
            for other in two.inputs:
                if other in view.same_in_reference(mine) or mine.startswith("parameters."):
                    continue
                a, b = view.tensor(0, mine), view.tensor(1, other)
                chosen = None if a is None or b is None else best(relations.reordered(a, b))
                if chosen is not None:
                    evidence = f"of what {plain(one.operation)} is fed, {chosen.sentence}"
                    return Diagnosis("permutation", evidence, port.line)
    return None


def _word(call: Call) -> str:
    return {"divide": "multiply", "sub": "add"}.get(plain(call.operation), plain(call.operation))


def _named(view: View | None, call: Call) -> str:
    """The call's operation, with its first parameter by the reference's name; ``view`` for a call of the port."""
    mine = [name for name in call.inputs if name.startswith("parameters.")]
    names = mine if view is None else [o for name in mine for o in (view.same_in_reference(name) or [name])]
    return f"{_word(call)} {names[0]}" if names else _word(call)


def _up_to_agreement(view: View, ours: list[Call], theirs: list[Call]) -> tuple[list[Call], list[Call]]:
    """Calls up to where the two sides meet again."""
    for i, call in enumerate(ours):
        if any(view.same_in_reference(name) for name in call.outputs):
            ours = ours[: i + 1]
            break
    for i, call in enumerate(theirs):
        if any(view.same_in_port(name) for name in call.outputs):
            theirs = theirs[: i + 1]
            break
    return ours, theirs


def diagnose(divergence: Divergence, view: View) -> Diagnosis | None:
    """The cause where one side calls something else than the other."""
    port = divergence.port.call if divergence.port is not None else None
    reference = divergence.reference.call if divergence.reference is not None else None
    # A frontier call that only moves elements stands for the one that is fed by it.
    tied = _weight_alone(view, port, reference)
    if tied is not None:
        return tied
    edit = _skipped(view, port, reference) or first_edit(view, port, reference)
    if edit is None:
        return None
    return cause_of(divergence, view, edit)


def _weight_alone(view: View, port: Call | None, reference: Call | None) -> Diagnosis | None:
    """A product with a weight that the other side does not have: its own, or one that is tied there."""
    if port is None or reference is None:
        return None
    ours = [n for n in port.inputs if n.startswith("parameters.")]
    alone = [n for n in ours if not view.same_in_reference(n)]
    theirs = [n for n in reference.inputs if n.startswith("parameters.") and view.same_in_port(n)]
    shared = [n for n in theirs if len(view.reference.users.get(n, ())) > 1]
    if alone and shared and not set(view.same_in_port(shared[0])) & set(ours):
        evidence = f"the port uses {alone[0][11:]} where the reference uses {shared[0][11:]} again"
        return Diagnosis("untied_weights", evidence, port.line)
    return None


def left_out(divergence: Divergence, view: View) -> Diagnosis | None:
    """The reference's call whose inputs the port has and calls nothing alike on; or the port's, the other way."""
    port = divergence.port.call if divergence.port is not None else None
    reference = divergence.reference.call if divergence.reference is not None else None
    for call, other, same, kind in (
        (reference, view.port, view.same_in_port, "missing"),
        (port, view.reference, view.same_in_reference, "extra"),
    ):
        if call is None or not all(same(name) for name in call.inputs):
            continue
        partners = [set(same(name)) for name in call.inputs]
        made = [
            c for c in other.calls if _word(c) == _word(call) and all(p & set(c.inputs) for p in partners)
        ]
        if not made:
            edit = Edit("missing", [], [call]) if kind == "missing" else Edit("extra", [call], [])
            return cause_of(divergence, view, edit)
    return None


def _skipped(view: View, port: Call | None, reference: Call | None) -> Edit | None:
    """One side goes on where the other makes one more call: the next call's operation tells."""
    if port is None or reference is None:
        return None
    if (
        family(port) == "passive"
        or family(reference) == "passive"
        or plain(port.operation) == plain(reference.operation)
    ):
        return None
    missing = any(counterparts(view.agrees, port, c) for c in users(view.reference, reference.outputs))
    extra = any(counterparts(view.agrees, c, reference) for c in users(view.port, port.outputs))
    if missing and extra:
        if _as_many(view, port, reference, {_word(port), _word(reference)}):
            return Edit("order", [port], [reference])
        counts = [
            [_word(c) for c in side.calls].count(_word(reference)) for side in (view.port, view.reference)
        ]
        missing = counts[0] < counts[1]
    if missing:
        return Edit("missing", [port], [reference])
    return Edit("extra", [port], [reference]) if extra else None


def cause_of(divergence: Divergence, view: View, edit: Edit) -> Diagnosis | None:
    """The name of an edit."""
    line = edit.ours[0].line if edit.ours else ""
    if edit.kind == "order":
        shown = " and ".join(dict.fromkeys(plain(c.operation) for c in [*edit.theirs, *edit.ours]))
        return Diagnosis("wrong_order", f"both sides call {shown}, in another order", line)
    if edit.kind == "replaced":
        return _replaced(divergence, edit, line)
    missing = edit.kind == "missing"
    call = (edit.theirs if missing else edit.ours)[0]
    elsewhere = _elsewhere(view, call, missing=missing)
    if elsewhere is not None:
        evidence = (
            f"{plain(call.operation)} of {call.path or 'the model'} is called on both sides, at another place"
        )
        return Diagnosis("wrong_order", evidence, line or elsewhere.line)
    side = view.reference if missing else view.port
    if plain(call.operation) in MAKERS:
        return None  # What a constant is made with tells nothing of what is computed.
    if _computed_otherwise(view, call, missing=missing):
        return None
    if family(call) == "passive":
        return moved(divergence, view)
    verb = "the reference calls" if missing else "the port calls"
    other = "the port" if missing else "the reference"
    evidence = f"{verb} {plain(call.operation)} ({call.line.rpartition('/')[2]}), {other} does not"
    return Diagnosis(
        _one_sided(view, side, call, missing=missing, loss=divergence.stage == "loss"), evidence, line
    )


def _is_index(view: View, side: Graph, call: Call) -> bool:
    """Whether a call makes whole numbers that another call picks elements with."""
    array = view.tensor(0 if side is view.port else 1, call.outputs[0])
    if array is None or array.dtype.kind not in "iu":
        return False
    picking = {"index", "gather", "take_along_axis", "index_select", "gather_nd", "embedding"}
    return any(plain(user.operation) in picking for user in users(side, call.outputs))


DRAWS = {"rand", "bernoulli", "uniform", "dropout", "randn", "rand_like"}


def _elsewhere(view: View, call: Call, *, missing: bool) -> Call | None:
    """The other side's call with the same parameters, which is made as often, but not here."""
    other, same = (view.port, view.same_in_port) if missing else (view.reference, view.same_in_reference)
    names = {o for name in call.inputs if name.startswith("parameters.") for o in same(name)}
    if not names:
        return None
    theirs = [c for c in other.calls if names & set(c.inputs) and plain(c.operation) == plain(call.operation)]
    own = set(call.inputs)
    side = view.reference if missing else view.port
    times = sum(
        plain(c.operation) == plain(call.operation)
        and any(name.startswith("parameters.") and name in own for name in c.inputs)
        for c in side.calls
    )
    return theirs[0] if len(theirs) >= times > 0 else None


def _computed_otherwise(view: View, call: Call, *, missing: bool) -> bool:
    """Whether the other side computes with the call's parameters too, in other calls."""
    other, same = (view.port, view.same_in_port) if missing else (view.reference, view.same_in_reference)
    names = [name for name in call.inputs if name.startswith("parameters.")]
    users_of = [[user for o in same(name) for user in other.users.get(o, ())] for name in names]
    alike = any(plain(user.operation) == plain(call.operation) for made in users_of for user in made)
    return bool(names) and all(users_of) and not alike


def _draws(side: Graph, path: str) -> bool:
    return any(c.path == path and plain(c.operation) in DRAWS for c in side.calls)


def _one_sided(view: View, side: Graph, call: Call, *, missing: bool, loss: bool) -> str:
    kind, operation = family(call), plain(call.operation)
    if _is_index(view, side, call):
        return "index_offset"
    module = "missing_module" if missing else "extra_module"
    if call.path and _draws(view.port, call.path) != _draws(view.reference, call.path):
        return "dropout_position"
    if operation == "add" and len(call.inputs) >= 2:
        parameter = any(name.startswith("parameters.") for name in call.inputs)
        if parameter and any(name.endswith("bias") for name in call.inputs):
            return "missing_bias"
        if not parameter and _skips(side, call):
            return "residual"
        if in_attention(side, call) and _is_mask(view, side, call):
            return "attention_mask"
        return module
    if operation in ("where", "masked_fill", "tril", "triu") and in_attention(side, call):
        return "attention_mask"
    if operation in ("multiply", "divide", "scale", "pow") and len(_tensors(call)) < 2:
        if loss:
            return "loss_form" if operation == "pow" else "loss_weight"
        return "attention_scale" if in_attention(side, call) else "scale_factor"
    constants = [n for n in call.inputs if n not in side.maker and ".c" in n]
    if operation in ("multiply", "divide") and len(constants) == 1 and not loss:
        return "attention_scale" if in_attention(side, call) else "scale_factor"
    if operation in ("add", "sub") and len(_tensors(call)) < 2:
        return "loss_form" if loss else "constant_offset"
    if kind == "reduction" and loss:
        return "reduction"
    if kind == "dropout":
        return "dropout_position"
    if operation == "pad":
        return "padding_mode" if _mode(call) not in ("constant", "zeros") else "padding"
    if operation == "cast":
        return "precision"
    if kind == "passive" or operation in ("flip", "roll", "gather", "pixel_shuffle"):
        return "permutation"
    if operation in PROBABILITIES and not missing and _near_end(side, call):
        return "logits"
    if kind == "activation" and missing:
        return "missing_module"
    return "loss_form" if loss else module


def _tensors(call: Call) -> list[str]:
    """The tensors among a call's arguments, one that is given twice counted twice."""
    return [v["tensor"] for v in call.arguments.values() if isinstance(v, dict) and "tensor" in v]


def _mode(call: Call) -> str:
    return str(call.arguments.get("mode", "constant"))


def _near_end(side: Graph, call: Call) -> bool:
    return any(name in side.outputs.values() for name in call.outputs)


def _skips(side: Graph, call: Call) -> bool:
    """Whether one summand was made of the other."""
    one, two = (root(side, name) for name in call.inputs[:2])
    behind = [{root(side, n) for n in ancestors(side, name)} for name in (one, two)]
    return one in behind[1] or two in behind[0]


def root(side: Graph, name: str) -> str:
    """What a tensor was before it was moved."""
    while name in side.maker and family(side.maker[name]) == "passive" and side.maker[name].inputs:
        name = side.maker[name].inputs[0]
    return name


def _is_mask(view: View, side: Graph, call: Call) -> bool:
    which = 0 if side is view.port else 1
    for name in call.inputs:
        array = view.tensor(which, name)
        if array is not None and (array.dtype == bool or array.min(initial=0.0) <= -1e4):
            return True
    return False


def _replaced(divergence: Divergence, edit: Edit, line: str) -> Diagnosis | None:
    ours, theirs = edit.ours[0], edit.theirs[0]
    families = family(ours), family(theirs)
    names = plain(ours.operation), plain(theirs.operation)
    evidence = f"the port calls {names[0]} where the reference calls {names[1]}"
    loss = divergence.stage == "loss"
    if families == ("activation", "activation"):
        return Diagnosis("activation", evidence, line)
    if families == ("norm", "norm"):
        return Diagnosis("norm_kind", evidence, line)
    if families == ("pool", "pool"):
        return Diagnosis("pool_kind", evidence, line)
    if set(families) <= {"pool", "reduction"}:
        cause = (
            "pool_kind" if "pool" in families or ({"max", "mean"} == set(names) and not loss) else "reduction"
        )
        return Diagnosis(cause, evidence, line)
    if set(families) == {"loss"} or (loss and set(families) & {"loss"}):
        return Diagnosis("loss_form", evidence, line)
    if {"index", "reduction"} == set(families):
        return Diagnosis("reduction" if not loss else "loss_form", evidence, line)
    if loss:
        return Diagnosis("loss_form", evidence, line)
    return None
