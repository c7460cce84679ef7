"""The cases: what is wrong, and the answers that are right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from paddle import nn

from fuxian import Recipe
from process_bugs import ports
from process_bugs.ports import port


@dataclass(frozen=True)
class Bug:
    """A wrong port: what is wrong, the recipe, the stages, places and causes of which a tool should name one each.

    A place is written without blanks; the model itself is ``model``."""

    name: str
    mistake: str
    recipe: Callable[[], Recipe]
    stages: frozenset[str]
    places: frozenset[str]
    causes: frozenset[str]


def bug(name: str, mistake: str, recipe: Callable[[], Recipe], stages: str, places: str, causes: str) -> Bug:
    return Bug(name, mistake, recipe, *(frozenset(words.split()) for words in (stages, places, causes)))


EVERY = "conv.weight conv.bias norm.weight norm.bias head.weight head.bias"

BUGS = [
    bug("summed-loss", "the loss sums over its examples", partial(
        port, loss=lambda o, t: ports.functional.cross_entropy(o, t[0], reduction="sum")),
        "loss", "total", "loss_summed"),
    bug("class-weights", "a weighted mean, by each share's own weights", partial(port, loss=ports.weighted),
        "loss", "total", "loss_normaliser"),
    bug("positives-of-a-share", "divided by each share's own positives", partial(port, loss=ports.per_positive),
        "loss", "total", "loss_normaliser"),
    bug("loss-over-processes", "the loss is divided by the number of processes", partial(
        port, loss=lambda o, t: ports.cross_entropy(o, t) / ports.world()), "loss", "total", "loss_scale"),
    bug("loss-times-processes", "the loss is multiplied by the number of processes", partial(
        port, loss=lambda o, t: ports.cross_entropy(o, t) * ports.world()), "loss", "total", "loss_scale"),
    bug("negatives-of-a-share", "a contrastive loss sees its own share's negatives", partial(
        port, loss=ports.contrastive), "loss", "total", "examples_coupled"),
    bug("summed-gradients", "a hook sums gradients over the processes", partial(
        port, lambda: ports.on_each(ports.Net(), ports.reduced)), "backward", EVERY, "gradients_summed"),
    bug("averaged-twice", "a hook divides gradients by the number of processes", partial(
        port, lambda: ports.on_each(ports.Net(), lambda g: g / ports.world())),
        "backward", EVERY, "gradients_averaged_twice"),
    bug("marked-as-spread", "a whole parameter is marked as spread over the processes", partial(port, ports.marked),
        "backward", "head.weight", "gradients_not_averaged"),
    bug("own-step", "step() steps an optimizer itself, without averaging", ports.steps_alone,
        "backward", EVERY, "gradients_not_averaged"),
    bug("moved-by-hand", "a parameter is moved by hand, by a share's examples", ports.by_hand,
        "training_steps", "centre", "gradients_not_averaged"),
    bug("held-by-the-loss", "parameters that the loss holds are not averaged", ports.held_by_the_loss,
        "backward", "main.parameter8", "gradients_not_averaged"),
    bug("clip-by-value-in-a-hook", "each process clips its gradients by value", partial(
        port, lambda: ports.on_each(ports.Net(), lambda g: g.clip(-0.01, 0.01))),
        "backward", EVERY, "clipping_before_averaging"),
    bug("clip-by-norm-in-a-hook", "each process clips its gradients by norm", partial(
        port, lambda: ports.on_each(ports.Net(), ports.clipped_by_norm)),
        "backward", EVERY, "clipping_before_averaging"),
    bug("seeded-by-process", "each process draws initial weights of its own", partial(port, ports.seeded_by_process),
        "initialisation", "conv.weight head.weight", "weights_per_process"),
    bug("same-rows", "share() gives both processes the first rows", partial(
        port, train_data=lambda: ports.Shared(lambda n, rank, size: range(n // size))),
        "train_data", "batch_0", "sampler_same_examples"),
    bug("dropped-row", "share() leaves out each share's last row", partial(
        port, train_data=lambda: ports.Shared(lambda n, rank, size: ports.rows(n, rank, size)[:-1])),
        "train_data", "batch_0", "sampler_drops"),
    bug("padded-rows", "share() begins each share with row 0", partial(
        port, train_data=lambda: ports.Shared(lambda n, rank, size: [0, *ports.rows(n, rank, size)])),
        "train_data", "batch_0", "sampler_pads"),
    bug("shared-twice", "a distributed sampler's batches are shared out again", partial(
        port, train_data=ports.by_sampler), "train_data", "batch_0",
        "sampler_drops sampler_unseeded sampler_pads"),
    bug("unseeded-shuffle", "each process shuffles without a seed", partial(
        port, train_data=lambda: ports.shuffled(None)), "train_data", "batch_0", "sampler_unseeded"),
    bug("shuffle-by-process", "each process shuffles by its own number", partial(
        port, train_data=lambda: ports.shuffled(ports.dist.get_rank())), "train_data", "batch_0", "sampler_unseeded"),
    bug("converted-early", "a batch norm added after the conversion is not synchronised", partial(
        port, ports.converted_early), "training_mode", "last", "bn_per_process"),
    bug("hand-written-norm", "a hand-written batch norm takes its own share's statistics", partial(
        port, lambda: ports.Net(ports.HandWrittenNorm)), "training_mode", "norm", "bn_per_process"),
    bug("deviation-of-a-share", "a layer's deviation over the batch is its own share's", partial(
        port, lambda: ports.Net(last=ports.MinibatchDeviation())), "training_mode", "last", "examples_coupled"),
    bug("routed-by-the-first", "the first example of a share decides for all of it", partial(
        port, lambda: ports.Routed(first=True)),
        "training_mode loss", "model total", "examples_coupled"),
    bug("scaled-rate", "the rate is multiplied by the number of processes", partial(
        port, optimizer=lambda model: ports.momentum(model, 0.05 * ports.world())),
        "learning_rate", "main", "learning_rate"),
    bug("schedule-of-a-share", "the schedule's length is divided by the number of processes", partial(
        port, optimizer=ports.cosine_by_own_batches), "learning_rate", "main", "schedule_length"),
    bug("part-of-the-evaluation", "each process evaluates a part, and the first one's figure is taken", partial(
        port, eval_data=ports.in_part), "metric", "top1", "metric_per_process"),
    bug("fails-on-several", "the port raises on several processes", partial(port, loss=ports.fails),
        "training_steps", "model", "error"),
]  # fmt: skip

FAITHFUL: dict[str, Callable[[], Recipe]] = {
    "batch-norm-of-each": port,
    "synchronised": partial(port, lambda: nn.SyncBatchNorm.convert_sync_batchnorm(ports.Net())),
    "group-norm": partial(port, lambda: ports.Net(ports.GroupNorm)),
    "data-parallel": partial(port, ports.wrapped),
    "tokens-time-first": ports.tokens,
    "adversarial": ports.adversarial,
    "accumulated": partial(port, accumulate=2),
    "warm-up-and-clipping": partial(port, optimizer=ports.warm(0.05)),
    "interleaved-shares": partial(
        port, train_data=lambda: ports.Shared(lambda n, rank, size: range(rank, n, size))
    ),
    "mixed-examples": partial(port, forward=ports.mixed),
    "routed": partial(port, ports.Routed),
    "moving-average": partial(port, average=ports.averaged),
    "gathered-positives": partial(port, loss=partial(ports.per_positive, gathered=True)),
    "plateau": partial(port, optimizer=ports.on_plateau, schedule_every="epoch"),
    "loss-in-float32": partial(port, loss=ports.narrow),
}
CASES: dict[str, Callable[[], Recipe]] = {**{case.name: case.recipe for case in BUGS}, **FAITHFUL}


def __getattr__(name: str) -> Callable[[], Recipe]:
    """``process_bugs.catalogue:NAME`` is a recipe, as the command takes it."""
    if name in CASES:
        return CASES[name]
    raise AttributeError(name)
