"""Faithful pairs made at random, and the same pairs with one mistake planted: what ``align`` says of each.

    python benchmarks/align_generated.py --pairs 2000 --state generated.json     goes on where it stopped

Every pair is a network of both frameworks made from one description: layers of many kinds with options, nesting and
names of the port's own, registered in another order, shared or frozen weights, outputs in tuples and dicts, an
optimizer with its schedule, a loss. The mistake changes one option of the port. All in one process; a pair is made from
its number alone.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import paddle.nn.functional as F
import torch

from align_layers import DOMAINS, OPTIONS, UNARY
from fuxian.align import align
from fuxian.errors import InputError
from fuxian.recipe import Recipe

P, T, TF = paddle.nn, torch.nn, torch.nn.functional
BATCH = 4
Spec = dict[str, Any]


# --- a description, and the network of either framework ---------------------------------------------------------------


def draw(number: int) -> Spec:
    """The description of the pair of this number."""
    rng = np.random.default_rng(number)
    domain = ("vector", "picture", "sequence", "picture", "sequence", "volume", "tokens")[number % 7]
    kinds, shape = DOMAINS[domain]
    start, layers = shape, []
    for place in range(int(rng.integers(2, 6))):
        # Some of Paddle's backward passes end the process where the input needs no gradient: a product comes first.
        first = {"picture": "conv", "volume": "conv3d", "tokens": "embedding"}.get(domain, "linear")
        kind = str(rng.choice(sorted(set(kinds) - {"embedding"}))) if place else first
        options, shape = kinds[kind][0](rng, shape)
        layers.append({"kind": kind, "options": options})
        if rng.random() < 0.7:
            if rng.random() < 0.5:
                layers.append({"kind": str(rng.choice(sorted(UNARY))), "options": {}})
            else:
                kind = str(rng.choice(sorted(OPTIONS)))
                values = OPTIONS[kind][2]
                layers.append(
                    {"kind": kind, "options": {k: v[rng.integers(len(v))] for k, v in values.items()}}
                )
    return {
        "number": number, "domain": domain, "start": start, "end": shape, "layers": layers,
        "names": str(rng.choice(["same", "same", "other", "sequential", "list", "dict"])),
        "backwards": bool(rng.random() < 0.3),
        "again": bool(rng.random() < 0.15), "frozen": bool(rng.random() < 0.15),
        "output": str(rng.choice(["tensor", "tuple", "dict", "list"])),
        "loss": str(rng.choice(["entropy", "mse", "l1", "smooth"])), "smoothing": float(rng.choice([0.0, 0.1])),
        "optimizer": draw_optimizer(rng), "seed": int(rng.integers(1000)),
    }  # fmt: skip


SCHEDULES = ["none", "step", "cosine", "exponential", "milestones", "polynomial", "restarts", "lambda"]


def draw_optimizer(rng: np.random.Generator) -> Spec:
    kind = str(rng.choice(["sgd", "momentum", "adam", "adamw", "adagrad", "adadelta", "nadam", "radam"]))
    return {
        "kind": kind, "rate": float(rng.choice([0.1, 0.01])), "decay": float(rng.choice([0.0, 0.01])),
        "momentum": 0.9, "nesterov": bool(rng.random() < 0.3), "beta1": float(rng.choice([0.9, 0.5])),
        "beta2": float(rng.choice([0.999, 0.99])), "eps": 1e-8, "rho": 0.9,
        "schedule": str(rng.choice(SCHEDULES)), "gamma": 0.5, "every": 3,
        "clip": float(rng.choice([0.0, 0.0, 1.0])) if kind in ("sgd", "momentum", "adamw") else 0.0,
    }  # fmt: skip


def layer_of(nn: Any, layer: Spec, domain: str) -> Any:
    kind, options, side = layer["kind"], layer["options"], 0 if nn is P else 1
    if kind in UNARY:
        return UNARY[kind][side]()
    table = OPTIONS if kind in OPTIONS else DOMAINS[domain][0]
    entry = table[kind]
    return (entry[side] if kind in OPTIONS else entry[1 + side])(*options.values())


HOLDERS: dict[str, Callable] = {
    "sequential": lambda made: P.Sequential(*made),
    "list": P.LayerList,
    "dict": lambda made: P.LayerDict({f"n{i}": layer for i, layer in enumerate(made)}),
}


def network(nn: Any, spec: Spec) -> Any:
    """The model of one framework. The port (Paddle) may have names, nesting and an order of registration of its own."""
    ours = nn is P
    count = len(spec["layers"])
    held = spec["names"] if ours and spec["names"] in HOLDERS else ""
    names = [f"{'part' if ours and spec['names'] == 'other' else 'layer'}{i}" for i in range(count)]
    spatial = len(spec["end"]) > 2
    width = int(spec["end"][0] if spatial else spec["end"][-1])

    class Net(nn.Layer if ours else nn.Module):
        def __init__(self) -> None:
            super().__init__()
            made = [layer_of(nn, layer, spec["domain"]) for layer in spec["layers"]]
            if held:
                self.body = HOLDERS[held](made)
            order = (
                range(count)[::-1] if ours and spec["backwards"] and spec["names"] == "same" else range(count)
            )
            if not held:
                for i in order:
                    setattr(self, names[i], made[i])
            self.head = nn.Linear(width, 3)
            initialise(self, nn, spec)

        def forward(self, x: Any) -> Any:
            for i in range(count):
                layer = getattr(self, names[i]) if not held else self.body[f"n{i}" if held == "dict" else i]
                if ours and spec.get("detach") == i:
                    x = x.detach()
                y = layer(x)
                x = layer(y) if spec["again"] and i == 0 and tuple(y.shape) == tuple(x.shape) else y
            if spatial:  # A mean alone does not see what a norm before it has undone.
                flat = x.reshape([x.shape[0], x.shape[1], -1])
                x = flat.mean(2) + flat[:, :, 0]
            elif len(spec["end"]) == 2:
                x = x.mean(1) + x[:, 0]
            out = self.head(x)
            kind = spec["output"]
            return {
                "tensor": out,
                "tuple": (out, x),
                "dict": {"scores": out, "features": x},
                "list": [out, x],
            }[kind]

    return Net()


def initialise(net: Any, nn: Any, spec: Spec) -> None:
    """Weights from one distribution on both sides, biases from one constant; the first matrix frozen where so drawn."""
    frozen = spec["frozen"] != (nn is P and spec.get("other_frozen", False))
    for name, p in net.named_parameters():
        if name.endswith("weight_g"):
            if nn is P:
                p.set_value(paddle.ones(p.shape, p.dtype))
            else:
                T.init.ones_(p)
        elif p.ndim > 1:
            if nn is P:
                p.set_value(paddle.normal(0.0, 0.3, p.shape).cast(p.dtype))
            else:
                T.init.normal_(p, std=0.3)
        elif "bias" in name:
            if nn is P:
                p.set_value(paddle.zeros(p.shape, p.dtype))
            else:
                T.init.zeros_(p)
    for layer in net.sublayers() if nn is P else net.modules():
        if isinstance(layer, nn.Embedding):  # Paddle gives zeros for a padded row whatever is in it.
            rows = layer.weight.numpy() if nn is P else layer.weight.detach().numpy()
            rows = rows * (np.arange(len(rows)) > 0)[:, None]
            if nn is P:
                layer.weight.set_value(rows)
            else:
                layer.weight.data = torch.from_numpy(rows)
    if frozen:
        weight = net.head.weight
        if nn is P:
            weight.stop_gradient = True
        else:
            weight.requires_grad_(False)


def loss_of(nn: Any, spec: Spec) -> Callable:
    functional = F if nn is P else TF

    def loss(out: Any, targets: tuple) -> Any:
        out = {"tensor": lambda: out, "dict": lambda: out["scores"]}.get(spec["output"], lambda: out[0])()
        if spec["loss"] == "entropy":
            return functional.cross_entropy(out, targets[0], label_smoothing=spec["smoothing"])
        if spec["loss"] == "mse":
            return functional.mse_loss(out, targets[1], reduction=spec.get("reduction", "mean"))
        if spec["loss"] == "l1":
            return functional.l1_loss(out, targets[1])
        return functional.smooth_l1_loss(out, targets[1])

    return loss


def optimizer_of(nn: Any, spec: Spec) -> Callable:
    o = spec["optimizer"]

    def paddle_optimizer(model: Any) -> Any:
        s = {"none": lambda: None,
             "step": lambda: paddle.optimizer.lr.StepDecay(o["rate"], o["every"], o["gamma"]),
             "cosine": lambda: paddle.optimizer.lr.CosineAnnealingDecay(o["rate"], 20),
             "exponential": lambda: paddle.optimizer.lr.ExponentialDecay(o["rate"], o["gamma"]),
             "polynomial": lambda: paddle.optimizer.lr.PolynomialDecay(o["rate"], 20, 0.0, 2.0),
             "restarts": lambda: paddle.optimizer.lr.CosineAnnealingWarmRestarts(o["rate"], 5, 2),
             "lambda": lambda: paddle.optimizer.lr.LambdaDecay(o["rate"], lambda t: 1 / (1 + t)),
             "milestones": lambda: paddle.optimizer.lr.MultiStepDecay(o["rate"], [o["every"], 9], o["gamma"])}[
                 o["schedule"]]()  # fmt: skip
        clip = P.ClipGradByGlobalNorm(o["clip"]) if o["clip"] else None
        kinds, q = paddle.optimizer, {"parameters": model.parameters(), "weight_decay": o["decay"] or None}
        c = q | {"grad_clip": clip}
        rate = s or o["rate"]
        made = {
            "sgd": lambda: kinds.SGD(rate, **c),
            "momentum": lambda: kinds.Momentum(rate, o["momentum"], use_nesterov=o["nesterov"], **c),
            "adam": lambda: kinds.Adam(rate, o["beta1"], o["beta2"], o["eps"], **q),
            "adamw": lambda: kinds.AdamW(rate, o["beta1"], o["beta2"], o["eps"], parameters=model.parameters(),
                                         weight_decay=o["decay"], grad_clip=clip),
            "nadam": lambda: kinds.NAdam(rate, o["beta1"], o["beta2"], o["eps"], **q),
            "radam": lambda: kinds.RAdam(rate, o["beta1"], o["beta2"], o["eps"], **q),
            "adagrad": lambda: kinds.Adagrad(rate, 1e-10, **q),
            "adadelta": lambda: kinds.Adadelta(rate, 1e-6, o["rho"], **q),
        }[o["kind"]]()  # fmt: skip
        return made, s

    def torch_optimizer(model: Any) -> Any:
        kinds, q = torch.optim, {"lr": o["rate"], "weight_decay": o["decay"]}
        p = list(model.parameters())
        clipped = lambda kind: clipping(kind, o["clip"])  # noqa: E731
        made = {
            "sgd": lambda: clipped(kinds.SGD)(p, **q),
            "momentum": lambda: clipped(kinds.SGD)(p, momentum=o["momentum"], nesterov=o["nesterov"], **q),
            "adam": lambda: kinds.Adam(p, betas=(o["beta1"], o["beta2"]), eps=o["eps"], **q),
            "adamw": lambda: clipped(kinds.AdamW)(p, betas=(o["beta1"], o["beta2"]), eps=o["eps"], **q),
            "nadam": lambda: kinds.NAdam(p, betas=(o["beta1"], o["beta2"]), eps=o["eps"], **q),
            "radam": lambda: kinds.RAdam(p, betas=(o["beta1"], o["beta2"]), eps=o["eps"], **q),
            "adagrad": lambda: kinds.Adagrad(p, eps=1e-10, **q),
            "adadelta": lambda: kinds.Adadelta(p, rho=o["rho"], eps=1e-6, **q),
        }[o["kind"]]()
        lr = torch.optim.lr_scheduler
        s = {"none": lambda: None, "step": lambda: lr.StepLR(made, o["every"], o["gamma"]),
             "cosine": lambda: lr.CosineAnnealingLR(made, 20),
             "exponential": lambda: lr.ExponentialLR(made, o["gamma"]),
             "polynomial": lambda: lr.PolynomialLR(made, 20, 2.0),
             "restarts": lambda: lr.CosineAnnealingWarmRestarts(made, 5, 2),
             "lambda": lambda: lr.LambdaLR(made, lambda t: 1 / (1 + t)),
             "milestones": lambda: lr.MultiStepLR(made, [o["every"], 9], o["gamma"])}[o["schedule"]]()  # fmt: skip
        return made, s

    return paddle_optimizer if nn is P else torch_optimizer


def clipping(kind: Any, bound: float) -> Any:
    """torch's optimizer, clipping gradients by their joint norm as Paddle's does."""

    class Clipping(kind):
        def step(self, closure: Any = None) -> None:
            held = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
            norm = sum((p.grad**2).sum() for p in held) ** 0.5
            for p in held:
                p.grad = p.grad * (bound / norm.clamp(min=bound))
            super().step()

    Clipping.__name__ = kind.__name__
    return Clipping if bound else kind


def recipe(nn: Any, spec: Spec) -> Recipe:
    rng = np.random.default_rng(spec["seed"])
    batches = [
        {"inputs": (rng.integers(0, 9, (BATCH, *spec["start"])) if spec["domain"] == "tokens" else
                    rng.standard_normal((BATCH, *spec["start"])).astype("float32"),),
         "targets": (rng.integers(0, 3, BATCH), rng.standard_normal((BATCH, 3)).astype("float32"))}
        for _ in range(3)
    ]  # fmt: skip
    return Recipe(
        model=lambda: network(nn, spec), train_data=lambda: batches, eval_data=lambda: batches[:1],
        loss=loss_of(nn, spec), optimizer=optimizer_of(nn, spec),
    )  # fmt: skip


# --- mistakes ---------------------------------------------------------------------------------------------------------


def plant(spec: Spec) -> tuple[Spec, dict[str, Any]] | None:
    """The port's description with one mistake, and what is right to say of it; None where nothing can be planted."""
    rng = np.random.default_rng([spec["number"], 7])
    wrong = json.loads(json.dumps(spec))
    found: list[Callable[[], dict[str, Any] | None]] = []

    def in_layer(
        i: int, option: str, values: list | None, causes: str
    ) -> Callable[[], dict[str, Any] | None]:
        def change() -> dict[str, Any] | None:
            options = wrong["layers"][i]["options"]
            left = [not options[option]] if values is None else [v for v in values if v != options[option]]
            before = options[option]
            options[option] = left[rng.integers(len(left))]
            said = f"{wrong['layers'][i]['kind']}: {option} {before} -> {options[option]}"
            return {"layer": i, "causes": causes, "mistake": said}

        return change

    for i, layer in enumerate(spec["layers"]):
        kind = layer["kind"]
        if kind in OPTIONS:
            for option, causes in OPTIONS[kind][3].items():
                if option == "axis" and spec["domain"] == "vector":
                    continue  # There is but one.
                found.append(in_layer(i, option, OPTIONS[kind][2][option], causes))
        elif kind not in UNARY:
            for option, (values, causes) in DOMAINS[spec["domain"]][0][kind][3].items():
                if option == "mode" and layer["options"].get("padding") == 0:
                    continue  # It changes nothing.
                found.append(in_layer(i, option, values, causes))
        elif kind != "identity":
            found.append(lambda i=i: _other_activation(wrong, i, rng))  # type: ignore[misc]
    o = wrong["optimizer"]
    causes = {"decay": ("weight_decay", [0.0, 0.01, 0.05]), "rate": ("learning_rate", [0.1, 0.01, 0.02])}
    if o["kind"] in ("adam", "adamw"):
        causes |= {"beta1": ("beta", [0.9, 0.5]), "beta2": ("beta", [0.999, 0.99])}
    if o["kind"] == "momentum":
        causes |= {"nesterov": ("nesterov", [True, False]), "momentum": ("beta", [0.9, 0.8])}
    if o["kind"] == "adadelta":
        causes |= {"rho": ("beta", [0.9, 0.95])}
    if o["schedule"] in ("step", "exponential", "milestones"):
        causes |= {"gamma": ("schedule_gamma schedule_kind", [0.5, 0.1])}
    for option, (cause, values) in causes.items():
        found.append(lambda k=option, c=cause, v=values: _in_optimizer(o, k, c, v, rng))  # type: ignore[misc]
    for i, layer in enumerate(spec["layers"]):
        if layer["kind"] in OPTIONS and layer["kind"] != "dropout":
            found.append(lambda i=i: _left_out(wrong, i))  # type: ignore[misc]
    found.append(lambda: _changed(wrong, {"detach": 1}, "", "detached", "the gradient is cut"))
    found.append(
        lambda: _changed(wrong, {"other_frozen": True}, "head.weight", "frozen", "the head's training")
    )
    if o["kind"] in ("sgd", "momentum", "adamw"):
        found.append(lambda: _in_optimizer(o, "clip", "gradient_clipping", [0.0, 1.0, 0.3], rng))
    if spec["loss"] == "mse":
        found.append(lambda: _changed(wrong, {"reduction": "sum"}, "loss", "reduction", "reduction"))
    if spec["loss"] == "entropy":

        def smoothed() -> dict[str, Any]:
            wrong["smoothing"] = 0.1 - wrong["smoothing"]
            return {"place": "loss", "causes": "label_smoothing", "mistake": "label smoothing"}

        found.append(smoothed)
    order = rng.permutation(len(found))
    truth = found[order[0]]()
    return (wrong, truth) if truth is not None else None


def _left_out(wrong: Spec, i: int) -> dict[str, Any]:
    before = wrong["layers"][i]["kind"]
    wrong["layers"][i] = {"kind": "identity", "options": {}}
    causes = "missing_module activation activation_form scale_factor constant_offset permutation sign"
    return {"layer": i, "place": "", "causes": causes, "mistake": f"{before} left out"}


def _changed(wrong: Spec, change: Spec, place: str, causes: str, mistake: str) -> dict[str, Any]:
    wrong.update(change)
    return {"place": place, "causes": causes, "mistake": mistake}


def _other_activation(wrong: Spec, i: int, rng: np.random.Generator) -> dict[str, Any]:
    before = wrong["layers"][i]["kind"]
    wrong["layers"][i]["kind"] = str(rng.choice([k for k in sorted(UNARY) if k not in (before, "identity")]))
    return {"layer": i, "causes": "activation activation_form missing_module extra_module scale_factor",
            "mistake": f"{before} -> {wrong['layers'][i]['kind']}"}  # fmt: skip


def _in_optimizer(o: Spec, option: str, cause: str, values: list, rng: np.random.Generator) -> dict[str, Any]:
    before = o[option]
    left = [v for v in values if v != before]
    o[option] = left[rng.integers(len(left))]
    return {
        "place": "optimizer",
        "causes": cause,
        "mistake": f"{o['kind']}: {option} {before} -> {o[option]}",
    }


def answer(spec: Spec, port: Spec | None = None, truth: dict[str, Any] | None = None) -> dict[str, Any]:
    """What ``align`` says of a pair; with ``truth``, how right that is."""
    began = time.monotonic()
    try:
        said = align(recipe(P, port or spec), recipe(T, spec))
    except InputError as error:
        return {"verdict": "refused", "seconds": 0.0, "said": str(error), "mistake": (truth or {}).get("mistake"),
                "right_place": False, "right_cause": False, "cause": "refused", "certainty": "unknown"}  # fmt: skip
    first, diagnosis = said.first, said.diagnosis
    found: dict[str, Any] = {"verdict": said.verdict, "seconds": round(time.monotonic() - began, 1)}
    if first is not None and diagnosis is not None:
        found |= {"stage": first.stage, "place": first.place, "cause": diagnosis.cause,
                  "certainty": diagnosis.certainty, "evidence": diagnosis.evidence[:300]}  # fmt: skip
    if truth is not None:
        place = found.get("place")
        if "layer" in truth:
            i = truth["layer"]
            names = {"other": f"part{i}", "dict": f"body.n{i}"}
            names |= dict.fromkeys(("sequential", "list"), f"body.{i}")
            word = names.get(spec["names"], f"layer{i}")
            right = place is not None and (place == word or str(place).startswith(f"{word}."))
            right = right or place == truth.get("place")  # A call that is left out belongs to the model too.
        else:
            right = place == truth["place"] or truth["place"] == "optimizer"
        found |= {"mistake": truth["mistake"], "right_place": bool(right),
                  "right_cause": found.get("cause") in truth["causes"].split()}  # fmt: skip
    return found


def run(number: int, mistakes: bool = True) -> dict[str, Any]:
    """Both answers of the pair of this number."""
    spec = draw(number)
    made = {"faithful": answer(spec)}
    planted = plant(spec) if mistakes else None
    if planted is not None:
        made["planted"] = answer(spec, *planted)
    return made


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--pairs", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0, help="the number of the first pair")
    parser.add_argument("--state", type=Path, help="a JSON file of what was run, to go on from")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after this long")
    parser.add_argument("--no-mistakes", action="store_true", help="the faithful pairs alone")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    state: dict[str, Any] = {}
    if arguments.state and arguments.state.exists():
        state = json.loads(arguments.state.read_text(encoding="utf-8"))
    began = time.monotonic()
    for number in range(arguments.first, arguments.first + arguments.pairs):
        if str(number) in state:
            continue
        if time.monotonic() - began > arguments.seconds:
            break
        state[str(number)] = run(number, not arguments.no_mistakes)
        show(number, state[str(number)])
        if arguments.state:
            arguments.state.write_text(json.dumps(state, indent=1), encoding="utf-8")
    rows = summary(state)
    print(json.dumps(rows if not arguments.json else {"summary": rows, "pairs": state}, indent=1))
    return 1 if rows["false alarms"] else 0


def show(number: int, made: dict[str, Any]) -> None:
    faithful, planted = made["faithful"], made.get("planted")
    if _false_alarm(faithful):
        print(f"{number}: FALSE ALARM {faithful}", file=sys.stderr, flush=True)
    if planted is not None and not (planted["right_place"] and planted["right_cause"]):
        print(f"{number}: {planted}", file=sys.stderr, flush=True)


def _false_alarm(faithful: dict[str, Any]) -> bool:
    """A defect of the framework that is named as one is none: the pair really differs."""
    return faithful["verdict"] not in ("aligned", "refused") and faithful.get("cause") != "framework_defect"


def summary(state: dict[str, Any]) -> dict[str, Any]:
    """Counts over all pairs that were run. A cause that is wrong is worse than none: they are counted apart."""
    refused = [number for number, made in state.items() if made["faithful"]["verdict"] == "refused"]
    state = {number: made for number, made in state.items() if number not in refused}
    planted = [made["planted"] for made in state.values() if "planted" in made]
    found = [p for p in planted if p["verdict"] == "diverged"]
    wrong = [p for p in found if not p["right_cause"] and p["cause"] != "unknown"]
    return {
        "pairs": len(state), "networks that torch refuses": len(refused),
        "false alarms": sum(_false_alarm(made["faithful"]) for made in state.values()),
        "defects of the framework": sum(
            made["faithful"].get("cause") == "framework_defect" for made in state.values()
        ),
        "planted": len(planted), "found": len(found), "placed": sum(p["right_place"] for p in found),
        "named": sum(p["right_cause"] for p in found), "unknown": sum(p["cause"] == "unknown" for p in found),
        "wrong cause, surmised": sum(p["certainty"] == "surmised" for p in wrong),
        "wrong cause, proven": sum(p["certainty"] == "proven" for p in wrong),
        "seconds": round(sum(a["seconds"] for made in state.values() for a in made.values())),
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
