"""Vision transformer: class token, learned positions, pre-norm, drop path, AdamW, warm-up, clipping."""

from __future__ import annotations

import math
from functools import partial

import paddle
import torch
from paddle.nn import functional

from fuxian.recipe import Recipe
from port_bugs.architectures.parts import Accuracy, conv, image_batches, linear

DIM, HEADS, BLOCKS, PATCH = 32, 4, 2, 4
WARMUP, TOTAL, RATE = 3, 12, 1e-2


class TorchDropPath(torch.nn.Module):
    def __init__(self, rate):
        super().__init__()
        self.rate = rate

    def forward(self, x):
        if not self.training or self.rate == 0:
            return x
        keep = 1 - self.rate
        mask = torch.floor(keep + torch.rand((x.shape[0], 1, 1), dtype=x.dtype))
        return x / keep * mask


class TorchAttention(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv = torch.nn.Linear(DIM, 3 * DIM)
        self.proj = torch.nn.Linear(DIM, DIM)

    def forward(self, x):
        batch, length, _ = x.shape
        q, k, v = self.qkv(x).reshape(batch, length, 3, HEADS, DIM // HEADS).permute(2, 0, 3, 1, 4)
        weights = torch.softmax(q @ k.transpose(-2, -1) * (DIM // HEADS) ** -0.5, dim=-1)
        return self.proj((weights @ v).transpose(1, 2).reshape(batch, length, DIM))


class TorchFusedAttention(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.mha = torch.nn.MultiheadAttention(DIM, HEADS, batch_first=True)

    def forward(self, x):
        return self.mha(x, x, x, need_weights=False)[0]


class TorchMlp(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = torch.nn.Linear(DIM, 2 * DIM)
        self.fc2 = torch.nn.Linear(2 * DIM, DIM)
        self.drop = torch.nn.Dropout(0.1)

    def forward(self, x):
        return self.drop(self.fc2(self.drop(torch.nn.functional.gelu(self.fc1(x)))))


class TorchBlock(torch.nn.Module):
    def __init__(self, rate, attention):
        super().__init__()
        self.norm1 = torch.nn.LayerNorm(DIM, eps=1e-6)
        self.attn = attention()
        self.norm2 = torch.nn.LayerNorm(DIM, eps=1e-6)
        self.mlp = TorchMlp()
        self.drop_path = TorchDropPath(rate)

    def forward(self, x):
        x = x + self.drop_path(self.attn(self.norm1(x)))
        return x + self.drop_path(self.mlp(self.norm2(x)))


class TorchViT(torch.nn.Module):
    def __init__(self, attention=TorchAttention):
        super().__init__()
        self.patch = torch.nn.Conv2d(3, DIM, PATCH, PATCH)
        self.cls_token = torch.nn.Parameter(torch.zeros(1, 1, DIM))
        self.pos_embed = torch.nn.Parameter(torch.zeros(1, 17, DIM))
        self.blocks = torch.nn.Sequential(*[TorchBlock(rate, attention) for rate in (0.0, 0.2)])
        self.norm = torch.nn.LayerNorm(DIM, eps=1e-6)
        self.head = torch.nn.Linear(DIM, 10)
        torch.nn.init.trunc_normal_(self.pos_embed, std=0.02)
        torch.nn.init.trunc_normal_(self.cls_token, std=0.02)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), x], dim=1) + self.pos_embed
        x = self.norm(self.blocks(x))
        return self.head(x[:, 0])


class TorchClippedAdamW(torch.optim.AdamW):
    def step(self, closure=None):
        everything = [p for group in self.param_groups for p in group["params"]]
        torch.nn.utils.clip_grad_norm_(everything, 3.0)
        return super().step(closure)


def warmup_cosine(step, cycles=1.0, offset=0, warmup=WARMUP):
    """Share of the peak learning rate: linear from 0 over ``warmup`` steps, then half a cosine to 0."""
    step = step + offset
    if step < warmup:
        return step / warmup
    return 0.5 * (1 + math.cos(math.pi * cycles * (step - warmup) / (TOTAL - warmup)))


def reference(*, attention=TorchAttention) -> Recipe:
    def optimizer(model):
        decayed = [p for p in model.parameters() if p.ndim > 1]
        others = [p for p in model.parameters() if p.ndim == 1]
        adam = TorchClippedAdamW(
            [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}],
            lr=RATE,
            betas=(0.9, 0.95),
        )
        return adam, torch.optim.lr_scheduler.LambdaLR(adam, warmup_cosine)

    return Recipe(
        model=lambda: TorchViT(attention),
        train_data=lambda: image_batches(seed=7, train=True),
        eval_data=lambda: image_batches(seed=8),
        loss=lambda outputs, targets: torch.nn.functional.cross_entropy(outputs, targets[0]),
        optimizer=optimizer,
        metric=Accuracy,
        accumulate=2,
    )


class DropPath(paddle.nn.Layer):
    def __init__(self, rate, rescale=True):
        super().__init__()
        self.rate, self.rescale = rate, rescale

    def forward(self, x):
        if not self.training or self.rate == 0:
            return x
        keep = 1 - self.rate
        mask = paddle.floor(keep + paddle.rand((x.shape[0], 1, 1), dtype=x.dtype))
        return x / keep * mask if self.rescale else x * mask


class Attention(paddle.nn.Layer):
    """``split`` cuts the joint projection into q, k, v of [batch, heads, length, dim / heads]."""

    def __init__(self, split=None, scale=(DIM // HEADS) ** -0.5, softmax_axis=-1, merge=None):
        super().__init__()
        self.qkv = linear(DIM, 3 * DIM)
        self.proj = linear(DIM, DIM)
        self.split = split or split_heads
        self.merge = merge or merge_heads
        self.scale, self.softmax_axis = scale, softmax_axis

    def forward(self, x):
        q, k, v = self.split(self.qkv(x))
        weights = functional.softmax(q @ k.transpose([0, 1, 3, 2]) * self.scale, axis=self.softmax_axis)
        return self.proj(self.merge(weights @ v))


def split_heads(qkv):
    batch, length, _ = qkv.shape
    return qkv.reshape([batch, length, 3, HEADS, DIM // HEADS]).transpose([2, 0, 3, 1, 4]).unbind(0)


def split_as_kqv(qkv):
    k, q, v = split_heads(qkv)
    return q, k, v


def split_heads_first(qkv):
    """Takes the joint axis for [heads, 3, dim], as Megatron stores it, instead of [3, heads, dim]."""
    batch, length, _ = qkv.shape
    return qkv.reshape([batch, length, HEADS, 3, DIM // HEADS]).transpose([3, 0, 2, 1, 4]).unbind(0)


def split_dim_first(qkv):
    """Takes the head axis last: [3, dim, heads] instead of [3, heads, dim]."""
    batch, length, _ = qkv.shape
    return qkv.reshape([batch, length, 3, DIM // HEADS, HEADS]).transpose([2, 0, 4, 1, 3]).unbind(0)


def merge_heads(x):
    batch, _, length, _ = x.shape
    return x.transpose([0, 2, 1, 3]).reshape([batch, length, DIM])


def merge_heads_untransposed(x):
    batch, _, length, _ = x.shape
    return x.reshape([batch, length, DIM])


class BuiltInAttention(paddle.nn.Layer):
    def __init__(self):
        super().__init__()
        self.mha = paddle.nn.MultiHeadAttention(DIM, HEADS)
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            layer = getattr(self.mha, name)
            xavier_as_fused(layer.weight, 4 * DIM if name != "out_proj" else None)
            layer.bias.set_value(paddle.zeros_like(layer.bias))

    def forward(self, x):
        return self.mha(x, x, x)


class SeparateAttention(paddle.nn.Layer):
    """q, k, v, out as four Linear layers: what torch.nn.MultiheadAttention keeps in one in_proj."""

    def __init__(self):
        super().__init__()
        self.q, self.k, self.v, self.out = (paddle.nn.Linear(DIM, DIM) for _ in range(4))
        for layer in (self.q, self.k, self.v):
            xavier_as_fused(layer.weight, 4 * DIM)
        xavier_as_fused(self.out.weight, None)

    def forward(self, x):
        batch, length, _ = x.shape
        q, k, v = (
            layer(x).reshape([batch, length, HEADS, DIM // HEADS]).transpose([0, 2, 1, 3])
            for layer in (self.q, self.k, self.v)
        )
        weights = functional.softmax(q @ k.transpose([0, 1, 3, 2]) / math.sqrt(DIM // HEADS), axis=-1)
        return self.out(merge_heads(weights @ v))


def xavier_as_fused(weight, fans):
    """torch draws in_proj in one piece (fan in + fan out = 4 dim) and out_proj as any Linear."""
    bound = math.sqrt(6 / fans) if fans else 1 / math.sqrt(DIM)
    paddle.nn.initializer.Uniform(-bound, bound)(weight)


class Mlp(paddle.nn.Layer):
    def __init__(self, gelu=functional.gelu, dropout=0.1):
        super().__init__()
        self.fc1 = linear(DIM, 2 * DIM)
        self.fc2 = linear(2 * DIM, DIM)
        self.drop = paddle.nn.Dropout(dropout)
        self.gelu = gelu

    def forward(self, x):
        return self.drop(self.fc2(self.drop(self.gelu(self.fc1(x)))))


class OwnLayerNorm(paddle.nn.Layer):
    """Layer norm written out with mean and rsqrt, as older code bases do."""

    def __init__(self, dim, epsilon):
        super().__init__()
        self.weight = self.create_parameter([dim], default_initializer=paddle.nn.initializer.Constant(1.0))
        self.bias = self.create_parameter([dim], is_bias=True)
        self.epsilon = epsilon

    def forward(self, x):
        centred = x - x.mean(-1, keepdim=True)
        return (
            centred * paddle.rsqrt((centred**2).mean(-1, keepdim=True) + self.epsilon) * self.weight
            + self.bias
        )


class Block(paddle.nn.Layer):
    def __init__(
        self, rate, *, attention=Attention, mlp=Mlp, rescale=True, epsilon=1e-6, norm=paddle.nn.LayerNorm
    ):
        super().__init__()
        self.norm1 = norm(DIM, epsilon=epsilon)
        self.attn = attention()
        self.norm2 = norm(DIM, epsilon=epsilon)
        self.mlp = mlp()
        self.drop_path = DropPath(rate, rescale)

    def forward(self, x):
        x = x + self.drop_path(self.attn(self.norm1(x)))
        return x + self.drop_path(self.mlp(self.norm2(x)))


class PostNormBlock(Block):
    def forward(self, x):
        x = self.norm1(x + self.drop_path(self.attn(x)))
        return self.norm2(x + self.drop_path(self.mlp(x)))


class NoResidualBlock(Block):
    def forward(self, x):
        x = self.drop_path(self.attn(self.norm1(x)))
        return x + self.drop_path(self.mlp(self.norm2(x)))


def add_positions_last(model, x):
    return paddle.concat([model.cls_token.expand([x.shape[0], -1, -1]), x], axis=1) + model.pos_embed


def class_token_last(model, x):
    return paddle.concat([x, model.cls_token.expand([x.shape[0], -1, -1])], axis=1) + model.pos_embed


def positions_on_patches_only(model, x):
    x = x + model.pos_embed[:, 1:]
    return paddle.concat([model.cls_token.expand([x.shape[0], -1, -1]), x], axis=1)


class ViT(paddle.nn.Layer):
    def __init__(
        self,
        *,
        blocks=(Block, Block),
        embed=add_positions_last,
        std=0.02,
        rates=(0.0, 0.2),
        final_norm=True,
        pooled=None,
        column_major=False,
    ):
        super().__init__()
        self.patch = conv(3, DIM, PATCH, stride=PATCH)
        normal = paddle.nn.initializer.TruncatedNormal(std=std)
        self.cls_token = self.create_parameter([1, 1, DIM], default_initializer=normal)
        self.pos_embed = self.create_parameter([1, 17, DIM], default_initializer=normal)
        self.blocks = paddle.nn.Sequential(*[block(rate) for block, rate in zip(blocks, rates, strict=True)])
        self.norm = paddle.nn.LayerNorm(DIM, epsilon=1e-6)
        self.head = linear(DIM, 10)
        self.embed, self.final_norm, self.pooled, self.column_major = embed, final_norm, pooled, column_major

    def forward(self, x):
        x = self.patch(x)
        if self.column_major:
            x = x.transpose([0, 1, 3, 2])
        x = self.embed(self, x.flatten(2).transpose([0, 2, 1]))
        x = self.blocks(x)
        if self.final_norm:
            x = self.norm(x)
        return self.head(x[:, 1:].mean(1) if self.pooled == "mean" else x[:, 0])


def adamw(model, schedule, clip=3.0, decay=0.1, decays=lambda p: p.ndim > 1, **settings):
    """One group, so that the norm is global; ``decays`` chooses what decays, by name as Paddle asks."""
    names = {p.name for p in model.parameters() if decays(p)}
    return paddle.optimizer.AdamW(
        schedule,
        parameters=model.parameters(),
        weight_decay=decay,
        apply_decay_param_fun=names.__contains__,
        grad_clip=paddle.nn.ClipGradByGlobalNorm(clip) if clip else None,
        **{"beta1": 0.9, "beta2": 0.95, **settings},
    )


def adamw_in_groups(model, schedule):
    """Two groups: Paddle then clips each by its own norm."""
    return paddle.optimizer.AdamW(
        schedule,
        parameters=[
            {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": 0.1},
            {"params": [p for p in model.parameters() if p.ndim == 1], "weight_decay": 0.0},
        ],
        beta1=0.9,
        beta2=0.95,
        grad_clip=paddle.nn.ClipGradByGlobalNorm(3.0),
    )


def adam_with_l2(model, schedule):
    decay = paddle.regularizer.L2Decay(0.1)
    for p in model.parameters():
        p.regularizer = decay if p.ndim > 1 else None
    return paddle.optimizer.Adam(
        schedule,
        parameters=model.parameters(),
        beta1=0.9,
        beta2=0.95,
        grad_clip=paddle.nn.ClipGradByGlobalNorm(3.0),
    )


def port(
    *,
    make_optimizer=adamw,
    rate=warmup_cosine,
    accumulate=2,
    schedule_every="step",
    crop_at=2,
    **layers,
) -> Recipe:
    def optimizer(model):
        schedule = paddle.optimizer.lr.LambdaDecay(RATE, rate)
        return make_optimizer(model, schedule), schedule

    return Recipe(
        model=lambda: ViT(**layers),
        train_data=lambda: image_batches(seed=7, train=True),
        eval_data=lambda: image_batches(seed=8, crop_at=crop_at),
        loss=lambda outputs, targets: functional.cross_entropy(outputs, targets[0]),
        optimizer=optimizer,
        metric=Accuracy,
        schedule_every=schedule_every,
        accumulate=accumulate,
    )


def with_attention(**settings):
    return (Block, partial(Block, attention=partial(Attention, **settings)))


def with_mlp(**settings):
    return (Block, partial(Block, mlp=partial(Mlp, **settings)))
