"""The catalogue: every wrong port with what a tool should say of it, and every faithful port.

A case names an architecture, the keywords that make its port wrong, and the answers that are right: stages,
places (module or parameter paths of the port; "" is the model itself, a functional call belongs to the module
whose forward makes it) and causes (``fuxian.align.causes``). Where several answers are listed, each is a
truthful description of the same mistake: a setting shows in the configuration before it shows in numbers, and a
function called in a module's forward may be named by that module or by the layer that is fed its result.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import paddle

from fuxian.recipe import Recipe
from port_bugs.architectures import (
    cnn,
    ctr,
    detector,
    few_shot,
    lstm,
    mobilenet_v2,
    resnet50,
    super_resolution,
    transformer,
    unet,
    vit,
)
from port_bugs.architectures.parts import Accuracy

DOCS = "https://www.paddlepaddle.org.cn/documentation/docs/zh/guides/model_convert/convert_from_pytorch/api_difference/"
ISSUES = "https://github.com/PaddlePaddle/Paddle/issues/"


@dataclass(frozen=True)
class Faithful:
    """A port that is right: a tool must not alarm."""

    name: str
    architecture: str
    change: dict[str, Any] = field(default_factory=dict)
    reference_change: dict[str, Any] = field(default_factory=dict)

    def port(self) -> Recipe:
        return _module(self.architecture).port(**self.change)

    def reference(self) -> Recipe:
        return _module(self.architecture).reference(**self.reference_change)


@dataclass(frozen=True)
class Bug(Faithful):
    """A port that is wrong; ``mistake`` says how, ``known_from`` where the mistake is described."""

    stages: frozenset[str] = frozenset()
    places: frozenset[str] = frozenset()
    causes: frozenset[str] = frozenset()
    mistake: str = ""
    known_from: str = ""


def _module(architecture: str) -> Any:
    return importlib.import_module(f"port_bugs.architectures.{architecture}")


def bug(name: str, *said: str, **change: Any) -> Bug:
    """``said`` is stages, places, causes (words; the place ``.`` is the model itself), mistake and known_from."""
    stages, places, causes, mistake, *known_from = said
    architecture = next(a for a in ARCHITECTURES if name.startswith(ARCHITECTURES[a] + "-"))
    if WHOLE in places.split():
        places += " " + FIRST[architecture]
    return Bug(
        name,
        architecture,
        change,
        change.pop("reference_change", {}),
        frozenset(stages.split()),
        frozenset("" if place == "." else place for place in places.split()),
        frozenset(causes.split()),
        mistake,
        "".join(known_from),
    )


ARCHITECTURES = {
    "cnn": "cnn",
    "resnet50": "resnet50",
    "mobilenet_v2": "mobilenet",
    "vit": "vit",
    "transformer": "transformer",
    "lstm": "lstm",
    "unet": "unet",
    "detector": "detector",
    "ctr": "ctr",
    "super_resolution": "sr",
    "few_shot": "maml",
}
"""File name of each architecture and what its cases' names begin with."""

SETTING = "configuration forward"
"""A layer's setting: read off the layer, or seen in what it gives."""
TRAINING = "configuration training_mode"
UPDATE = "configuration optimizer"
DECAY = "configuration regularisation optimizer"
RATE = "configuration learning_rate"
WHOLE = "optimizer"
"""The place of a mistake that concerns every parameter alike; the first parameter is as right."""
FIRST = {
    "cnn": "block1.conv.weight",
    "resnet50": "conv1.weight",
    "mobilenet_v2": "features.0.0.weight",
    "vit": "cls_token patch.weight",
    "transformer": "embedding.weight",
    "lstm": "embedding.weight",
    "unet": "down1.conv1.weight",
    "detector": "level_scale stem.weight",
}


CNN = [
    bug(
        "cnn-bn-epsilon", SETTING, "block2.bn", "epsilon",
        "batch norm keeps TensorFlow's epsilon", block2={"epsilon": 1e-3},
    ),
    bug(
        "cnn-bn-momentum", TRAINING, "block1.bn block1.bn._mean block1.bn._variance", "momentum",
        "torch's momentum copied without taking it from one", DOCS + "nn/torch.nn.BatchNorm2d.html",
        block1={"momentum": 0.1},
    ),
    bug(
        "cnn-bn-affine", SETTING, "block3.bn block3.bn.weight block3.bn.bias",
        "missing_affine missing_parameter",
        "scale and shift switched off", block3={"affine": False},
    ),
    bug(
        "cnn-bn-batch-statistics", SETTING, "block2.bn", "bn_statistics train_eval_switch",
        "use_global_stats=False also normalises by the batch in evaluation mode",
        block2={"global_stats": False},
    ),
    bug(
        "cnn-bn-frozen", TRAINING, "block2.bn", "bn_statistics train_eval_switch",
        "running statistics used while training", block2={"global_stats": True},
    ),
    bug("cnn-padding", SETTING, "block3.conv", "padding", "no padding", block3={"padding": 0}),
    bug(
        "cnn-dilation", SETTING, "block2.conv", "dilation padding",
        "an ordinary convolution, padded to the same size", block2={"dilation": 1, "padding": 1},
    ),
    bug("cnn-stride", SETTING, "block3.conv", "stride", "no stride; the adaptive pool hides it",
        block3={"stride": 1}),
    bug(
        "cnn-ceil-mode", SETTING, "pool1", "ceil_mode", "ceil_mode left out",
        pool1=lambda: paddle.nn.MaxPool2D(3, 2),
    ),
    bug(
        "cnn-avg-pool-exclusive", SETTING, "pool2", "count_include_pad",
        "Paddle's default leaves the padding out of the mean", DOCS + "nn/torch.nn.AvgPool2d.html",
        exclusive=True,
    ),
    bug(
        "cnn-pool-kind", SETTING, "pool1", "pool_kind", "average pool for maximum pool",
        pool1=lambda: paddle.nn.AvgPool2D(3, 2, ceil_mode=True),
    ),
    bug(
        "cnn-flatten-order", "forward", ". fc1", "permutation",
        "flattened channels last, as TensorFlow code does", channels_last=True,
    ),
    bug(
        "cnn-relu-before-bn", "forward backward training_mode", "block2 block2.bn", "wrong_order",
        "activation before the norm", block2={"relu_first": True},
    ),
    bug(
        "cnn-conv-bias", SETTING, "block2.conv block2.conv.bias", "missing_bias extra_parameter",
        "the convolution before a norm keeps its default bias", block2={"bias": True},
    ),
    bug(
        "cnn-softmax-output", "forward", ".", "extra_module logits",
        "softmax in the model, and again in the loss", softmax=True,
    ),
    bug(
        "cnn-float16", "forward", "block2", "precision",
        "features pass through float16", block2={"half": True},
    ),
    bug(
        "cnn-dropout-rate", TRAINING, "dropout", "dropout_rate",
        "probability to keep taken for probability to drop", dropout=lambda: paddle.nn.Dropout(0.2),
    ),
    bug(
        "cnn-dropout-mode", SETTING, "dropout", "dropout_mode",
        "downscale_in_infer scales at evaluation", DOCS + "nn/torch.nn.Dropout.html",
        dropout=lambda: paddle.nn.Dropout(0.5, mode="downscale_in_infer"),
    ),
    bug(
        "cnn-dropout-at-eval", "forward", "dropout", "train_eval_switch",
        "functional dropout without training=self.training", dropout=lambda: cnn.Dropout(0.5),
    ),
    bug("cnn-label-smoothing", "loss", "loss", "label_smoothing", "label smoothing left out", smoothing=0.0),
    bug("cnn-loss-sum", "loss", "loss", "reduction", "loss summed over the batch", reduction="sum"),
    bug("cnn-nesterov", UPDATE, WHOLE, "nesterov", "use_nesterov left out", nesterov=False),
    bug("cnn-momentum", UPDATE, WHOLE, "beta momentum", "another momentum of the optimizer", momentum=0.95),
    bug("cnn-no-decay", DECAY, WHOLE, "weight_decay", "weight decay left out", decay=0.0),
    bug(
        "cnn-l1-decay", DECAY, WHOLE, "weight_decay_kind weight_decay",
        "L1Decay for L2Decay", decay_kind=paddle.regularizer.L1Decay,
    ),
    bug("cnn-milestones", RATE, WHOLE, "schedule_length", "milestones counted from one", milestones=(3, 5)),
    bug("cnn-gamma", RATE, WHOLE, "schedule_gamma", "another decay factor", gamma=0.5),
    bug("cnn-schedule-unit", RATE, WHOLE, "schedule_unit", "schedule stepped each step",
        schedule_every="step"),
    bug("cnn-learning-rate", RATE + " optimizer", WHOLE, "learning_rate", "twice the rate",
        learning_rate=0.1),
    bug(
        "cnn-bgr", "eval_data", "inputs.0", "channel_order",
        "pictures read by OpenCV as BGR", data={"bgr": True},
    ),
    bug(
        "cnn-normalisation", "eval_data", "inputs.0", "input_normalisation",
        "mean and deviation of one half in place of ImageNet's", data={"mean": (0.5,) * 3, "std": (0.5,) * 3},
    ),
    bug(
        "cnn-not-scaled", "eval_data", "inputs.0", "input_normalisation",
        "pictures of 0 to 255 normalised as if of 0 to 1", data={"scale": 1.0},
    ),
    bug(
        "cnn-drop-last", "eval_data", "inputs.0 targets.0 batches", "batch_composition",
        "the last evaluation batch is dropped", evaluation={"drop_last": True},
    ),
    bug("cnn-labels-from-one", "eval_data", "targets.0", "label_mapping index_offset",
        "labels counted from one", data={"first_label": 1}),
    bug("cnn-no-flip", "train_data", "inputs.0", "augmentation", "no random flip", train={"flip": False}),
    bug(
        "cnn-no-shuffle", "train_data", "inputs.0 targets.0 batches", "shuffling",
        "training data not shuffled", train={"shuffle": False},
    ),
    bug(
        "cnn-metric-of-batches", "metric", "top1", "metric_form",
        "mean of the batches' accuracies, the last batch being smaller",
        metric=partial(Accuracy, mean_of_batches=True),
    ),
    bug(
        "cnn-init-default", "initialisation", "fc1 fc1.weight fc1.bias",
        "init_distribution init_scale init_constant",
        "Paddle's Xavier weights and zero bias kept", DOCS + "nn/torch.nn.Linear.html",
        fc1=cnn.wide_initial_fc1,
    ),
    bug(
        "cnn-init-fan-out", "initialisation", "fc1 fc1.weight", "init_scale",
        "bound from the number of outputs", fc1=cnn.fan_out_fc1,
    ),
]  # fmt: skip

RESNET = [
    bug(
        "resnet50-stride-place", SETTING, "layer2.0.conv1", "stride",
        "version 1: the stride is in the first 1x1", block_changes={"all": {"stride_in_first": True}},
    ),
    bug(
        "resnet50-residual-gain", "initialisation", "layer*.bn3 layer*.bn3.weight", "init_constant",
        "the last norm of each block starts at one", block_changes={"all": {"residual_gain": 1.0}},
    ),
    bug(
        "resnet50-relu-before-add", "forward", "layer2.1", "wrong_order residual",
        "activation before the sum", block_changes={"2.1": {"relu_before_add": True}},
    ),
    bug(
        "resnet50-residual", "forward", "layer3.2", "residual missing_module",
        "one block without its shortcut", block_changes={"3.2": {"residual": False}},
    ),
    bug(
        "resnet50-shortcut-norm", SETTING, "layer2.0.downsample layer2.0.downsample.1*",
        "missing_parameter missing_module",
        "no norm on the shortcut", block_changes={"2.0": {"shortcut_norm": False}},
    ),
    bug("resnet50-stem-relu", "forward", ". maxpool", "activation missing_module",
        "no activation after the stem",
        stem_relu=False),
    bug(
        "resnet50-max-pool-padding", SETTING, "maxpool", "padding ceil_mode",
        "the pool's padding replaced by ceil_mode", stem_padding=0,
    ),
    bug(
        "resnet50-global-pool", SETTING, "avgpool", "pool_kind",
        "global maximum pool", pool=lambda: paddle.nn.AdaptiveMaxPool2D(1),
    ),
    bug(
        "resnet50-deep-epsilon", SETTING, "layer4.1.bn3", "epsilon",
        "one norm deep inside has another epsilon", block_changes={"4.1": {"eps3": 1e-4}},
    ),
    bug(
        "resnet50-decay-group",
        DECAY, "bn1 bn1.weight bn1.bias", "weight_decay_group parameter_group",
        "norms and biases decay too", groups=resnet50.decay_everywhere,
    ),
    bug(
        "resnet50-cosine-period", RATE, WHOLE, "schedule_length",
        "a period of twice the length, as in the official NLP example", cosine_steps=20,
    ),
    bug("resnet50-cosine-floor", RATE, WHOLE, "schedule_kind schedule_length learning_rate",
        "the cosine ends above zero", lowest=0.01),
    bug(
        "resnet50-init-fan-in", "initialisation", "*conv* *downsample.0*", "init_scale",
        "He initialisation by fan in", block_changes={"all": {"fan": "fan_in"}},
    ),
]  # fmt: skip

MOBILENET = [
    bug("mobilenet-relu6", SETTING, "features.0.2", "activation", "ReLU for ReLU6",
        stem={"activation": paddle.nn.ReLU}),
    bug(
        "mobilenet-same-padding", SETTING, "features.2.conv.1 features.2.conv.1.0 features.2.conv.1.1",
        "padding extra_module",
        "TensorFlow's SAME padding, one sided for stride 2", blocks={2: {"depthwise": {"same": True}}},
    ),
    bug("mobilenet-residual", "forward", "features.3", "residual missing_module", "no shortcut",
        blocks={3: {"residual": False}}),
    bug(
        "mobilenet-linear-bottleneck", "forward", "features.2 features.2.conv features.2.conv.4",
        "extra_module activation",
        "an activation after the linear bottleneck", blocks={2: {"last_activation": True}},
    ),
    bug(
        "mobilenet-depthwise", SETTING, "features.3.conv.1.0 features.3.conv.1.0.weight", "groups",
        "the depthwise convolution without groups", blocks={3: {"depthwise": {"groups": 1}}},
    ),
    bug("mobilenet-dropout", TRAINING, "classifier.0", "dropout_rate", "another dropout rate", dropout=0.5),
    bug("mobilenet-mean-pool", "forward", ".", "pool_kind reduction", "maximum over the map", pooling="max"),
    bug("mobilenet-ema-decay", "optimizer training_steps", "*", "ema_decay beta",
        "another decay of the moving average", ema_decay=0.99),
    bug("mobilenet-top5", "metric", "top1", "metric_form", "top-5 accuracy under top-1's name", k=5),
    bug("mobilenet-decay", DECAY, WHOLE, "weight_decay", "a tenth of the weight decay", decay=4e-5),
    bug("mobilenet-exponential", RATE, WHOLE, "schedule_gamma", "another decay factor", gamma=0.97),
    bug(
        "mobilenet-hardsigmoid", "forward", ". classifier.0", "activation_form",
        "Paddle 1's slope of 0.2", DOCS + "nn/torch.nn.Hardsigmoid.html",
        net=mobilenet_v2.HardMobileNet, slope=0.2, reference_change={"net": mobilenet_v2.TorchHardMobileNet},
    ),
    bug(
        "mobilenet-hardswish", "forward", ".", "activation",
        "swish for hardswish",
        net=mobilenet_v2.HardMobileNet, swish=paddle.nn.functional.swish,
        reference_change={"net": mobilenet_v2.TorchHardMobileNet},
    ),
]  # fmt: skip

ATTENTION = "blocks.1.attn"
VIT = [
    bug("vit-kqv", "forward", ATTENTION, "qkv_order", "the joint projection read as k, q, v",
        blocks=vit.with_attention(split=vit.split_as_kqv)),
    bug(
        "vit-heads-first", "forward", ATTENTION, "head_order qkv_order permutation",
        "joint projection read as [heads, 3, dim]", blocks=vit.with_attention(split=vit.split_heads_first),
    ),
    bug(
        "vit-head-dim-first", "forward", ATTENTION, "head_order permutation",
        "heads read as [dim, heads]", blocks=vit.with_attention(split=vit.split_dim_first),
    ),
    bug(
        "vit-merge-heads", "forward", ATTENTION, "head_order permutation",
        "heads joined without the transpose", blocks=vit.with_attention(merge=vit.merge_heads_untransposed),
    ),
    bug("vit-attention-scale", "forward", ATTENTION, "attention_scale scale_factor",
        "scaled by the model's size, not the head's", blocks=vit.with_attention(scale=vit.DIM**-0.5)),
    bug("vit-softmax-axis", "forward", ATTENTION, "softmax_axis", "softmax over the queries",
        blocks=vit.with_attention(softmax_axis=-2)),
    bug(
        "vit-gelu-tanh", "forward", "blocks.1.mlp", "activation_form",
        "the tanh approximation of gelu",
        blocks=vit.with_mlp(gelu=partial(paddle.nn.functional.gelu, approximate=True)),
    ),
    bug("vit-norm-epsilon", SETTING, "blocks.1.norm1 blocks.1.norm2", "epsilon", "Paddle's default epsilon",
        blocks=(vit.Block, partial(vit.Block, epsilon=1e-5))),
    bug("vit-class-token-last", "forward", ".", "permutation wrong_order", "class token joined at the end",
        embed=vit.class_token_last),
    bug("vit-positions-before-token", "forward", ".", "wrong_order wrong_input missing_module",
        "positions added before the class token is joined", embed=vit.positions_on_patches_only),
    bug("vit-post-norm", "forward", "blocks.1 blocks.1.attn blocks.1.norm1", "wrong_order wrong_input",
        "norm after the sum", blocks=(vit.Block, vit.PostNormBlock)),
    bug("vit-residual", "forward", "blocks.1", "residual missing_module", "no residual around the attention",
        blocks=(vit.Block, vit.NoResidualBlock)),
    bug("vit-final-norm", "forward", ". norm", "missing_module", "the last norm is built and not called",
        final_norm=False),
    bug("vit-mean-pooling", "forward", ".", "reduction extra_module wrong_input",
        "mean of the patches in place of the class token", pooled="mean"),
    bug("vit-column-major-patches", "forward", ".", "permutation extra_module",
        "patches numbered column by column",
        column_major=True),
    bug("vit-drop-path-scale", "training_mode", "blocks.1.drop_path",
        "scale_factor dropout_mode missing_module",
        "kept paths not divided by the keep rate", blocks=(vit.Block, partial(vit.Block, rescale=False))),
    bug("vit-drop-path-rates", TRAINING, "blocks.0.drop_path blocks.1.drop_path",
        "dropout_rate dropout_position", "rates fall with depth in place of growing", rates=(0.2, 0.0)),
    bug("vit-init-std", "initialisation", "cls_token pos_embed", "init_scale", "ten times the deviation",
        std=0.2),
    bug("vit-warmup", RATE, WHOLE, "warmup", "the warm-up is one step ahead",
        rate=partial(vit.warmup_cosine, offset=1)),
    bug("vit-warmup-length", RATE, WHOLE, "warmup schedule_length", "another length of the warm-up",
        rate=partial(vit.warmup_cosine, warmup=5)),
    bug("vit-cosine-cycles", RATE, WHOLE, "schedule_length schedule_kind", "two half waves",
        rate=partial(vit.warmup_cosine, cycles=2.0)),
    bug(
        "vit-clip-by-group", UPDATE + " training_steps", "*", "gradient_clipping",
        "parameter groups: Paddle clips each by its own norm", make_optimizer=vit.adamw_in_groups,
    ),
    bug("vit-clip-norm", UPDATE + " training_steps", "*", "gradient_clipping", "another norm to clip at",
        make_optimizer=partial(vit.adamw, clip=6.0)),
    bug("vit-no-clip", UPDATE + " training_steps", "*", "gradient_clipping", "no clipping",
        make_optimizer=partial(vit.adamw, clip=None)),
    bug("vit-adam-l2", DECAY, "*", "weight_decay_kind optimizer_kind", "Adam with L2 for AdamW",
        ISSUES + "26578", make_optimizer=vit.adam_with_l2),
    bug("vit-decay-group", DECAY, "patch patch.bias", "weight_decay_group parameter_group",
        "everything decays",
        make_optimizer=partial(vit.adamw, decays=lambda p: True)),
    bug("vit-beta2", UPDATE, "*", "beta", "Paddle's default beta2",
        make_optimizer=partial(vit.adamw, beta2=0.999)),
    bug("vit-accumulation", "configuration training_steps", "*", "accumulation", "no gradient accumulation",
        accumulate=1),
    bug("vit-eval-crop", "eval_data", "inputs.0", "resize", "corner crop for centre crop", crop_at=0),
]  # fmt: skip

TRANSFORMER = [
    bug("transformer-no-causal-mask", "forward", ". decoder.0.self_attn", "attention_mask",
        "the decoder sees the future", causal=transformer.no_causal_mask),
    bug("transformer-strict-causal-mask", "forward", ". decoder.0.self_attn", "attention_mask",
        "the causal mask is off by one", causal=transformer.strictly_causal_mask),
    bug("transformer-mask-inverted", "forward", ". encoder.0.self_attn", "attention_mask",
        "True means masked in torch and kept in Paddle", DOCS + "nn/torch.nn.MultiheadAttention.html",
        pad_hidden=False),
    bug("transformer-memory-mask", "forward", ". decoder.0.cross_attn", "attention_mask",
        "padding of the source is attended to", memory_masked=False),
    bug("transformer-kv-swapped", "forward", "encoder.0.self_attn", "qkv_order", "key and value exchanged",
        encoder_layer=transformer.with_attention(swapped=True)),
    bug("transformer-attention-unscaled", "forward", "encoder.0.self_attn",
        "attention_scale scale_factor missing_module",
        "scores not divided by sqrt(d)", encoder_layer=transformer.with_attention(scaled=False)),
    bug("transformer-mask-fill", "forward", "encoder.0.self_attn", "attention_mask", "-1e-9 for -1e9",
        encoder_layer=transformer.with_attention(fill=-1e-9)),
    bug("transformer-pre-norm", "forward",
        "encoder.0 encoder.0.self_attn encoder.0.norm1 encoder.0.self_attn.q_proj",
        "wrong_order wrong_input",
        "norm before each part", encoder_layer=transformer.with_encoder(pre_norm=True)),
    bug("transformer-embedding-scale", "forward", ".", "scale_factor", "embeddings not multiplied by sqrt(d)",
        scale=1.0),
    bug("transformer-position-offset", "configuration initialisation forward", ". positions",
        "index_offset init_constant",
        "positions counted from one", table=partial(transformer.positions, first=1)),
    bug("transformer-position-order", "configuration initialisation forward", ". positions",
        "permutation init_constant",
        "sines first and cosines last, not in turn", table=partial(transformer.positions, interleaved=False)),
    bug("transformer-untied", "configuration forward", ". generator generator.weight",
        "untied_weights extra_parameter",
        "the output projection has its own weight", tied=False),
    bug("transformer-memory-detached", "backward", ". encoder.1*", "detached",
        "the encoder learns nothing", detach_memory=True),
    bug("transformer-feed-forward-gelu", "forward", "encoder.0.feed_forward", "activation", "gelu for relu",
        encoder_layer=transformer.with_encoder(
            feed_forward=partial(transformer.FeedForward, activation=paddle.nn.functional.gelu))),
    bug("transformer-ignore-index", "loss", "loss", "ignore_index", "padding is learnt too", ignore=-100),
    bug("transformer-loss-mean", "loss", "loss", "reduction",
        "divided by all words, padding included", divide=lambda labels: float(labels.size)),
    bug("transformer-adam-epsilon", UPDATE, "*", "optimizer_epsilon", "Paddle's default epsilon",
        epsilon=1e-8),
    bug("transformer-noam-offset", RATE, WHOLE, "warmup", "the first step counts twice",
        rate=partial(transformer.noam, offset=0)),
    bug("transformer-noam-warmup", RATE, WHOLE, "warmup schedule_length", "another length of the warm-up",
        rate=partial(transformer.noam, warmup=6)),
    bug("transformer-target-shift", "eval_data", "targets.0", "index_offset label_mapping",
        "the decoder is to predict the word it reads", data={"shift": 0}),
    bug("transformer-padding-side", "eval_data", "inputs.0", "padding permutation padding_mode",
        "sources padded on the left", data={"padded_left": True}),
    bug("transformer-metric-padding", "metric", "accuracy", "metric_form ignore_index",
        "padding counts as words",
        metric=partial(transformer.TokenAccuracy, count_padding=True)),
    bug("transformer-init-std", "initialisation", "embedding embedding.weight", "init_scale",
        "embeddings start at deviation one", std=1.0),
]  # fmt: skip

LSTM = [
    bug("lstm-gate-order", "forward", "cell", "gate_order", "gates read as input, forget, output, cell",
        cell={"gates": lstm.gates_ifog}),
    bug("lstm-lengths", "forward", "lstm .", "sequence_lengths",
        "padding is run through, forwards and backwards",
        lengths_used=False),
    bug("lstm-last-step", "forward", ".", "index_offset sequence_lengths wrong_input",
        "the last step of the padding in place of the last word", choose=lstm.last_of_all),
    bug("lstm-plain-mean", "forward", ".", "reduction", "mean over the padding too", masked_mean=False),
    bug("lstm-not-detached", "backward", ". cell*", "not_detached", "the truncated gradient is not cut",
        detach=False),
    bug("lstm-concat-order", "forward", ".", "wrong_order permutation", "mean first, last step second",
        last_first=False),
    bug("lstm-forget-bias", "initialisation", "cell cell.bias", "init_constant", "forget gates start at zero",
        cell={"forget_bias": 0.0}),
    bug("lstm-no-tanh", "forward", "cell", "missing_module activation", "the cell's tanh left out",
        cell={"tanh_of_cell": False}),
    bug("lstm-hard-sigmoid", "forward", "cell", "activation activation_form",
        "Keras' hard sigmoid in the gates",
        cell={"hard": True}),
    bug("lstm-clip-value", UPDATE + " training_steps", "*", "gradient_clipping",
        "clipped by value, not by norm",
        clip=paddle.nn.ClipGradByValue),
    bug("lstm-step-size", RATE, WHOLE, "schedule_length", "another step size", step_size=3),
    bug("lstm-sorted", "eval_data", "inputs.0 inputs.1 targets.0 batches", "shuffling",
        "texts sorted by length, as old packing needed", data={"sort": True}),
    bug("lstm-truncate-left", "eval_data", "inputs.0", "resize index_offset permutation",
        "long texts keep their end, not their start", data={"truncate_left": True}),
]  # fmt: skip

UNET = [
    bug("unet-align-corners", "forward", ".", "align_corners", "align_corners left at its default",
        DOCS + "functional/torch.nn.functional.interpolate.html", upsample={"align_corners": False}),
    bug("unet-nearest", "forward", ".", "interpolation_mode", "nearest in place of bilinear",
        upsample={"mode": "nearest", "align_corners": False}),
    bug("unet-concat-order", "forward", ". merge1", "wrong_order permutation channel_order",
        "upsampled features before the skip", skip_first=False),
    bug("unet-leaky-slope", "forward", "down2", "activation_form", "the default slope",
        doubles={"down2": {"slope": 0.01}}),
    bug("unet-group-count", SETTING, "middle.norm1", "groups normalised_axes", "another number of groups",
        doubles={"middle": {"groups": 2}}),
    bug("unet-padding-mode", SETTING, "down1.conv1", "padding_mode", "zeros in place of reflection",
        doubles={"down1": {"padding_mode": "zeros"}}),
    bug("unet-prelu-shared", "configuration forward", "merge1.act merge1.act._weight merge1.act.weight",
        "shape",
        "one slope for all channels", doubles={"merge1": {"prelu_each": False}}),
    bug("unet-pool-kind", "forward", ".", "pool_kind", "maximum pool for average pool",
        pool=paddle.nn.functional.max_pool2d),
    bug("unet-transposed-padding", SETTING, "up2 .", "padding",
        "the transposed convolution cropped, not padded",
        offset=0),
    bug("unet-class-weight", "loss", "entropy loss", "class_weight", "class weights left out",
        entropy=partial(unet.weighted_entropy, weights=(1.0, 1.0, 1.0))),
    bug("unet-ignored-as-background", "loss", "entropy loss", "ignore_index",
        "unlabelled pixels become background",
        entropy=partial(unet.weighted_entropy, ignored=None)),
    bug("unet-weighted-mean", "loss", "entropy loss", "reduction", "not divided by the weights' sum",
        entropy=partial(unet.weighted_entropy, reduction="none")),
    bug("unet-dice-smooth", "loss", "dice loss", "loss_form epsilon", "another smoothing constant",
        dice=partial(unet.dice_loss, smooth=1e-5)),
    bug("unet-dice-squared", "loss", "dice loss", "loss_form", "V-Net's squared denominator",
        dice=partial(unet.dice_loss, squared=True)),
    bug("unet-dice-batch", "loss", "dice loss", "reduction axis loss_form",
        "dice of the batch as one picture",
        dice=partial(unet.dice_loss, axes=(0, 2, 3))),
    bug("unet-dice-axis", "loss", "dice loss", "softmax_axis axis", "softmax over the picture's rows",
        dice=partial(unet.dice_loss, softmax_axis=2)),
    bug("unet-dice-weight", "loss", "total loss", "loss_weight", "dice counts a half", dice_weight=0.5),
    bug("unet-polynomial", RATE, WHOLE, "schedule_gamma schedule_kind", "another power", power=1.0),
    bug("unet-adamw", DECAY, "*", "weight_decay_kind optimizer_kind", "AdamW for Adam with L2",
        decoupled=True),
    bug("unet-foreground", "metric", "miou", "metric_form", "background left out of the mean",
        metric=partial(unet.IoU, foreground_only=True)),
    bug("unet-iou-of-pictures", "metric", "miou", "metric_form", "mean of the pictures' figures",
        metric=partial(unet.IoU, mean_of_pictures=True)),
    bug("unet-input-range", "eval_data", "inputs.0", "input_normalisation", "pictures not normalised",
        data={"zero_mean": False}),
]  # fmt: skip

DETECTOR = [
    bug("detector-flatten", "forward", "head", "permutation", "maps reshaped channels first",
        head={"flat": detector.flatten_channels_first}),
    bug("detector-anchor-major", "forward", "head", "permutation", "predictions ordered anchor by anchor",
        head={"flat": detector.flatten_anchor_major}),
    bug("detector-prior", "initialisation", "head.scores head.scores.bias",
        "init_constant init_distribution init_scale",
        "the bias does not start at the prior", head={"prior": None}),
    bug("detector-not-detached", "backward", ". refine* head*", "not_detached",
        "the refinement's gradient reaches the first boxes", detach=False),
    bug("detector-top-down", "forward", ".", "missing_module residual", "the pyramid's top-down sum left out",
        top_down=False),
    bug("detector-upsample", "forward", ".", "interpolation_mode", "bilinear in place of nearest",
        upsample="bilinear"),
    bug("detector-anchor-centre", "configuration initialisation forward", ". anchors",
        "constant_offset init_constant index_offset",
        "anchors at the cells' corners", anchor_boxes=partial(detector.anchors, centre=0.0)),
    bug("detector-anchor-order", "configuration initialisation forward", ". anchors",
        "permutation init_constant",
        "anchors ordered ratio by ratio", anchor_boxes=partial(detector.anchors, by_ratio_first=True)),
    bug("detector-decode-weights", "forward", ".", "scale_factor", "offsets decoded without their weights",
        decode_weights=(1.0, 1.0, 1.0, 1.0)),
    bug("detector-level-scale", "forward backward", ". level_scale",
        "missing_module scale_factor detached", "the level's scale is not used",
        scale_levels=False),
    bug("detector-box-clip", "forward", ".", "missing_module", "boxes not clipped to the picture",
        clip=False),
    bug("detector-tower-relu", "forward", "head head.scores", "missing_module activation",
        "no activation in the head", head={"relu": False}),
    bug("detector-focal-alpha", "loss", "focal loss", "class_weight loss_form", "alpha on the wrong side",
        alpha=0.75),
    bug("detector-focal-gamma", "loss", "focal loss", "loss_form", "another gamma", gamma=1.0),
    bug("detector-focal-softmax", "loss", "focal loss", "loss_form logits", "softmax for sigmoid",
        softmax=True),
    bug("detector-huber", "loss", "box loss", "loss_form scale_factor",
        "Paddle's smooth L1 is Huber's by default",
        DOCS + "torch_more_args/torch.nn.SmoothL1Loss.html", box_loss=detector.huber),
    bug("detector-normaliser", "loss", "focal total loss", "reduction",
        "divided by the anchors, not the positives",
        per_anchor=True),
    bug("detector-encode-weights", "eval_data", "targets.1", "label_mapping scale_factor input_normalisation",
        "targets encoded without weights", data={"weights": (1.0, 1.0, 1.0, 1.0)}),
    bug("detector-match-threshold", "eval_data", "targets.0", "label_mapping",
        "another threshold of matching",
        data={"threshold": 0.25}),
    bug("detector-warmup", RATE, WHOLE, "warmup", "another start of the warm-up",
        warm=partial(detector.warmup, first=0.001)),
    bug("detector-backbone-rate", "configuration learning_rate optimizer", "stem* c3* c4*",
        "learning_rate parameter_group", "the backbone's smaller rate forgotten", backbone_rate=1.0),
    bug("detector-iou-pixel", "metric", "mean_iou recall", "metric_form",
        "boxes one pixel wider, as VOC counts",
        metric=partial(detector.Recall, extra=1.0)),
]  # fmt: skip

CTR = [
    bug("ctr-cross-transposed", "forward", "cross", "transposed_weight", "a square weight used transposed",
        cross={"transposed": False}),
    bug("ctr-pairs-half", "forward", ".", "scale_factor", "the factor of one half left out",
        pairs=ctr.pairs_without_half),
    bug("ctr-pairs-axis", "forward", ".", "axis reduction", "summed over the factors, not over the fields",
        pairs=ctr.pairs_of_factors),
    bug("ctr-through-numpy", "backward", ". second second.weight", "detached",
        "the graph is left through numpy",
        pairs=ctr.pairs_through_numpy),
    bug("ctr-plain-mean", "forward", ".", "reduction", "the history's padding counts", pool=ctr.plain_mean),
    bug("ctr-field-offset", "forward", ". first", "index_offset wrong_input missing_module",
        "all fields share the first field's rows", offset=False),
    bug("ctr-padding-idx", SETTING, "second", "padding_idx",
        "row 0 of a real field declared padding: Paddle returns zeros for it", padded=0),
    bug("ctr-wide", "forward", ". wide cross", "missing_module", "the wide part is not added", wide_used=False),
    bug("ctr-broadcast", "forward", ".", "shape", "[N] + [N, 1] gives [N, N]", squeeze_first=True),
    bug("ctr-double-sigmoid", "forward", ".", "logits extra_module", "a sigmoid before the loss with logits",
        output_sigmoid=True),
    bug("ctr-init-std", "initialisation", "first* second* past*", "init_scale", "a tenth of the deviation",
        std=0.01),
    bug("ctr-accumulator", UPDATE + " initialisation", "*", "optimizer_state init_constant",
        "Adagrad starts from zero", accumulator=0.0),
    bug("ctr-decay-group", DECAY, "past* cross*", "weight_decay_group parameter_group",
        "all parameters decay, not the tables alone", decay_all=True),
    bug("ctr-forgotten", UPDATE + " training_steps", "wide wide.weight wide.bias", "parameter_group",
        "the wide part is not given to the optimizer", forgotten=("wide",)),
    bug("ctr-frozen", "configuration backward", "past past.weight", "frozen detached",
        "the history's table is not trained", past_trained=False),
    bug("ctr-no-log", "eval_data", "inputs.1", "input_normalisation", "dense features without the logarithm",
        data={"log": False}),
    bug("ctr-auc-of-batches", "metric", "auc", "metric_form", "mean of the batches' areas",
        metric=partial(ctr.AUC, mean_of_batches=True)),
    bug("ctr-cross-residual", "forward", "cross", "residual missing_module",
        "the cross layer's residual left out",
        cross={"residual": False}),
    bug("ctr-loss-sum", "loss", "loss", "reduction", "loss summed over the batch", reduction="sum"),
]  # fmt: skip

SUPER_RESOLUTION = [
    bug("sr-depth-to-space", "forward", "shuffle", "permutation", "TensorFlow's order of depth to space",
        shuffle=super_resolution.DepthToSpace),
    bug("sr-leaky-slope", SETTING, "blocks.0.body.1", "activation_form", "the default slope",
        blocks=lambda: paddle.nn.Sequential(
            super_resolution.Block(slope=0.01), *[super_resolution.Block() for _ in range(1)])),
    bug("sr-residual-scale", "forward", "blocks.1", "scale_factor", "residuals not scaled down",
        blocks=lambda: paddle.nn.Sequential(super_resolution.Block(), super_resolution.Block(weight=1.0))),
    bug("sr-shared-block", "configuration forward", "blocks*", "tied_weights missing_parameter",
        "one block applied twice", blocks=super_resolution.SharedBlocks),
    bug("sr-mean-shift", "configuration initialisation forward", ". mean",
        "input_normalisation init_constant constant_offset",
        "a mean of one half", mean=(0.5, 0.5, 0.5)),
    bug("sr-bilinear", "forward", ".", "interpolation_mode", "bilinear in place of bicubic", mode="bilinear"),
    bug("sr-long-skip", "forward", ".", "residual missing_module", "the long skip left out", long_skip=False),
    bug("sr-clip-output", "forward", ".", "extra_module", "outputs clipped in the model", eval_clip=True),
    bug("sr-in-place", "forward", ".", "wrong_input",
        "the mean is taken off the input in place, the skip gets it too",
        in_place=True),
    bug("sr-l2", "loss", "loss", "loss_form", "squared for absolute error", criterion=super_resolution.l2),
    bug("sr-charbonnier", "loss", "loss", "loss_form", "Charbonnier for absolute error",
        criterion=super_resolution.charbonnier),
    bug("sr-psnr-of-mean", "metric", "psnr", "metric_form", "PSNR of the mean error",
        metric=partial(super_resolution.PSNR, of_mean_error=True)),
    bug("sr-psnr-border", "metric", "psnr", "metric_form", "the border counts",
        metric=partial(super_resolution.PSNR, border=0)),
    bug("sr-beta1", UPDATE, "*", "beta", "a GAN's beta1", beta1=0.5),
]  # fmt: skip

FEW_SHOT = [
    bug("maml-silent-first-order", "backward higher_order", ". conv1* conv2* fc*", "first_order",
        "create_graph through a convolution without its input's gradient", gradient=few_shot.weights_only),
    bug("maml-first-order", "backward higher_order", ". conv1* conv2* fc*", "first_order detached",
        "inner gradients detached", gradient=few_shot.first_order),
    bug("maml-inner-steps", "forward", ".", "missing_module", "one inner step too few", steps=1),
    bug("maml-inner-rate", "forward", ".", "scale_factor", "a tenth of the inner rate", rate=0.01),
    bug("maml-stale-weights", "forward", ".", "wrong_input",
        "each inner step starts from the initial weights",
        from_start=True),
]  # fmt: skip

BUGS: list[Bug] = [
    *CNN, *RESNET, *MOBILENET, *VIT, *TRANSFORMER, *LSTM, *UNET, *DETECTOR, *CTR, *SUPER_RESOLUTION, *FEW_SHOT
]  # fmt: skip

FAITHFUL: list[Faithful] = [
    *(Faithful(f"{short}-faithful", architecture) for architecture, short in ARCHITECTURES.items()),
    Faithful("cnn-functional-style", "cnn", {"net": cnn.FunctionalNet}),
    Faithful("cnn-other-nesting", "cnn", {"net": cnn.NestedNet}),
    Faithful("cnn-channels-last", "cnn", {"net": cnn.ChannelsLastNet}),
    Faithful("cnn-compat-linear", "cnn", {"fc1": cnn.torch_layout_fc1}),
    Faithful("resnet50-decay-by-regularizer", "resnet50", {"groups": resnet50.decay_by_regularizer}),
    Faithful(
        "mobilenet-hardsigmoid-and-7x7-pool",
        "mobilenet_v2",
        {"net": mobilenet_v2.HardMobileNet},
        {"net": mobilenet_v2.TorchHardMobileNet},
    ),
    Faithful(
        "vit-both-built-in-attention",
        "vit",
        {"blocks": (partial(vit.Block, attention=vit.BuiltInAttention),) * 2},
        {"attention": vit.TorchFusedAttention},
    ),
    Faithful(
        "vit-separate-against-fused-attention",
        "vit",
        {"blocks": (partial(vit.Block, attention=vit.SeparateAttention),) * 2},
        {"attention": vit.TorchFusedAttention},
    ),
    Faithful("vit-own-layer-norm", "vit", {"blocks": (partial(vit.Block, norm=vit.OwnLayerNorm),) * 2}),
    Faithful(
        "transformer-additive-mask",
        "transformer",
        {"encoder_layer": transformer.with_attention(additive=True)},
    ),
    Faithful("lstm-built-in-cell", "lstm", {"cell_kind": lstm.BuiltInCell}, {"cell": lstm.TorchBuiltInCell}),
    Faithful("unet-layers-only", "unet", {"net": unet.ModuleUNet}),
    Faithful("detector-other-definition-order", "detector", {"net": detector.ReorderedDetector}),
    Faithful("detector-focal-by-log-sigmoid", "detector", {"focal_form": detector.focal_by_log_sigmoid}),
    Faithful("ctr-pair-by-pair", "ctr", {"pairs": ctr.pair_by_pair}),
    Faithful(
        "sr-shared-blocks",
        "super_resolution",
        {"blocks": super_resolution.SharedBlocks},
        {"blocks": super_resolution.TorchSharedBlocks},
    ),
    Faithful("maml-convolution-as-matmul", "few_shot", {"net": few_shot.MatmulNet}),
]
