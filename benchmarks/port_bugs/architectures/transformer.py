"""Encoder-decoder transformer: tied embeddings, sinusoidal positions, masks, post-norm, Noam rate."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import paddle
import torch

from fuxian.recipe import Recipe
from port_bugs.architectures.parts import linear

VOCAB, DIM, HEADS, LENGTH, PAD = 23, 32, 4, 9, 0
WARMUP = 4


def sentences(*, seed, count=10, batch=4, shift=1, padded_left=False, drop_last=False):
    """Pairs of padded sentences: the decoder reads target[:-1] and predicts target[1:] (``shift`` = 1)."""
    rng = np.random.default_rng(seed)
    for start in range(0, count, batch):
        rows = min(batch, count - start)
        if drop_last and rows < batch:
            return
        source, target = (np.full((rows, LENGTH + 1), PAD, "int64") for _ in range(2))
        for row in range(rows):
            for side in (source, target):
                words = rng.integers(3, VOCAB, rng.integers(4, LENGTH))
                sentence = [1, *words, 2]
                if padded_left and side is source:
                    side[row, -len(sentence) :] = sentence
                else:
                    side[row, : len(sentence)] = sentence
        labels = target[:, shift : shift + LENGTH]
        yield {"inputs": (source, target[:, :LENGTH]), "targets": (labels,)}


class TokenAccuracy:
    """Share of the words predicted right; padding does not count."""

    def __init__(self, count_padding=False):
        self.hits, self.count_padding = [], count_padding

    def update(self, outputs, targets):
        right = outputs.argmax(-1) == targets[0]
        counted = np.ones_like(right) if self.count_padding else targets[0] != PAD
        self.hits += right[counted].astype(float).tolist()

    def figures(self, selection=None):
        return {"accuracy": float(np.mean(self.hits))}

    def examples(self):
        return {"accuracy": self.hits}


def positions(length, dim, first=0, interleaved=True):
    """Sinusoids of Vaswani et al. 3.5, [length, dim]."""
    at = np.arange(first, first + length)[:, None]
    angle = at / 10000.0 ** (np.arange(0, dim, 2) / dim)
    if interleaved:
        return np.stack([np.sin(angle), np.cos(angle)], -1).reshape(length, dim)
    return np.concatenate([np.sin(angle), np.cos(angle)], -1)


class TorchAttention(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (torch.nn.Linear(DIM, DIM) for _ in range(4))

    def forward(self, query, memory, keep):
        def heads(x):
            return x.view(x.shape[0], x.shape[1], HEADS, -1).transpose(1, 2)

        q, k, v = heads(self.q_proj(query)), heads(self.k_proj(memory)), heads(self.v_proj(memory))
        scores = q @ k.transpose(-2, -1) / math.sqrt(DIM // HEADS)
        weights = torch.softmax(scores.masked_fill(~keep, -1e9), dim=-1)
        return self.out_proj((weights @ v).transpose(1, 2).reshape(query.shape))


class TorchFeedForward(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear1, self.linear2 = torch.nn.Linear(DIM, 2 * DIM), torch.nn.Linear(2 * DIM, DIM)
        self.dropout = torch.nn.Dropout(0.1)

    def forward(self, x):
        return self.linear2(self.dropout(torch.relu(self.linear1(x))))


class TorchEncoderLayer(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.self_attn, self.feed_forward = TorchAttention(), TorchFeedForward()
        self.norm1, self.norm2 = torch.nn.LayerNorm(DIM), torch.nn.LayerNorm(DIM)

    def forward(self, x, keep):
        x = self.norm1(x + self.self_attn(x, x, keep))
        return self.norm2(x + self.feed_forward(x))


class TorchDecoderLayer(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.self_attn, self.cross_attn, self.feed_forward = (
            TorchAttention(),
            TorchAttention(),
            TorchFeedForward(),
        )
        self.norm1, self.norm2, self.norm3 = (torch.nn.LayerNorm(DIM) for _ in range(3))

    def forward(self, x, memory, keep, keep_memory):
        x = self.norm1(x + self.self_attn(x, x, keep))
        x = self.norm2(x + self.cross_attn(x, memory, keep_memory))
        return self.norm3(x + self.feed_forward(x))


class TorchTransformer(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = torch.nn.Embedding(VOCAB, DIM, padding_idx=PAD)
        torch.nn.init.normal_(self.embedding.weight, std=DIM**-0.5)
        with torch.no_grad():
            self.embedding.weight[PAD] = 0
        self.encoder = torch.nn.ModuleList([TorchEncoderLayer() for _ in range(2)])
        self.decoder = torch.nn.ModuleList([TorchDecoderLayer() for _ in range(2)])
        self.register_buffer(
            "positions", torch.tensor(positions(LENGTH + 1, DIM)).to(torch.get_default_dtype())
        )

    def embed(self, tokens):
        return self.embedding(tokens) * math.sqrt(DIM) + self.positions[: tokens.shape[1]]

    def forward(self, source, target):
        keep_source = (source != PAD)[:, None, None, :]
        length = target.shape[1]
        causal = torch.tril(torch.ones(length, length, dtype=torch.bool))
        keep_target = (target != PAD)[:, None, None, :] & causal
        memory = self.embed(source)
        for layer in self.encoder:
            memory = layer(memory, keep_source)
        x = self.embed(target)
        for layer in self.decoder:
            x = layer(x, memory, keep_target, keep_source)
        return x @ self.embedding.weight.t()


def noam(step, offset=1, warmup=WARMUP):
    step = max(step + offset, 1)
    return DIM**-0.5 * min(step**-0.5, step * warmup**-1.5)


def reference() -> Recipe:
    def optimizer(model):
        adam = torch.optim.Adam(model.parameters(), lr=1.0, betas=(0.9, 0.98), eps=1e-9)
        return adam, torch.optim.lr_scheduler.LambdaLR(adam, noam)

    def loss(outputs, targets):
        return torch.nn.functional.cross_entropy(
            outputs.reshape(-1, VOCAB), targets[0].reshape(-1), ignore_index=PAD, label_smoothing=0.1
        )

    return Recipe(
        model=TorchTransformer,
        train_data=lambda: sentences(seed=1),
        eval_data=lambda: sentences(seed=2),
        loss=loss,
        optimizer=optimizer,
        metric=TokenAccuracy,
    )


class Attention(paddle.nn.Layer):
    def __init__(self, fill=-1e9, swapped=False, scaled=True, additive=False):
        super().__init__()
        self.q_proj, self.k_proj, self.v_proj = (linear(DIM, DIM) for _ in range(3))
        self.out_proj = linear(DIM, DIM)
        self.fill, self.swapped, self.scaled, self.additive = fill, swapped, scaled, additive

    def forward(self, query, memory, keep):
        def heads(x):
            return x.reshape([x.shape[0], x.shape[1], HEADS, DIM // HEADS]).transpose([0, 2, 1, 3])

        q, k, v = heads(self.q_proj(query)), heads(self.k_proj(memory)), heads(self.v_proj(memory))
        if self.swapped:
            k, v = v, k
        scores = q @ k.transpose([0, 1, 3, 2])
        if self.scaled:
            scores = scores / math.sqrt(DIM // HEADS)
        if self.additive:
            scores = scores + (1 - keep.astype(scores.dtype)) * -1e9
        else:
            scores = paddle.where(keep, scores, paddle.full_like(scores, self.fill))
        weights = paddle.nn.functional.softmax(scores, axis=-1)
        return self.out_proj((weights @ v).transpose([0, 2, 1, 3]).reshape(query.shape))


class FeedForward(paddle.nn.Layer):
    def __init__(self, activation=paddle.nn.functional.relu):
        super().__init__()
        self.linear1, self.linear2 = linear(DIM, 2 * DIM), linear(2 * DIM, DIM)
        self.dropout = paddle.nn.Dropout(0.1)
        self.activation = activation

    def forward(self, x):
        return self.linear2(self.dropout(self.activation(self.linear1(x))))


class EncoderLayer(paddle.nn.Layer):
    def __init__(self, attention=Attention, feed_forward=FeedForward, pre_norm=False):
        super().__init__()
        self.self_attn, self.feed_forward = attention(), feed_forward()
        self.norm1, self.norm2 = paddle.nn.LayerNorm(DIM), paddle.nn.LayerNorm(DIM)
        self.pre_norm = pre_norm

    def forward(self, x, keep):
        if self.pre_norm:
            normal = self.norm1(x)
            x = x + self.self_attn(normal, normal, keep)
            return x + self.feed_forward(self.norm2(x))
        x = self.norm1(x + self.self_attn(x, x, keep))
        return self.norm2(x + self.feed_forward(x))


class DecoderLayer(paddle.nn.Layer):
    def __init__(self):
        super().__init__()
        self.self_attn, self.cross_attn, self.feed_forward = Attention(), Attention(), FeedForward()
        self.norm1, self.norm2, self.norm3 = (paddle.nn.LayerNorm(DIM) for _ in range(3))

    def forward(self, x, memory, keep, keep_memory):
        x = self.norm1(x + self.self_attn(x, x, keep))
        x = self.norm2(x + self.cross_attn(x, memory, keep_memory))
        return self.norm3(x + self.feed_forward(x))


def causal_mask(length):
    return paddle.tril(paddle.ones([length, length], dtype="bool"))


def strictly_causal_mask(length):
    """Forbids a word to see itself; the first word then sees nothing and its softmax is even."""
    return paddle.tril(paddle.ones([length, length], dtype="bool"), diagonal=-1)


def no_causal_mask(length):
    return paddle.ones([length, length], dtype="bool")


class Transformer(paddle.nn.Layer):
    def __init__(
        self,
        *,
        encoder_layer=EncoderLayer,
        causal=causal_mask,
        pad_hidden=True,
        memory_masked=True,
        scale=DIM**0.5,
        table=positions,
        tied=True,
        std=DIM**-0.5,
        detach_memory=False,
    ):
        super().__init__()
        normal = paddle.ParamAttr(initializer=paddle.nn.initializer.Normal(0.0, std))
        self.embedding = paddle.nn.Embedding(VOCAB, DIM, padding_idx=PAD, weight_attr=normal)
        self.encoder = paddle.nn.LayerList([encoder_layer() for _ in range(2)])
        self.decoder = paddle.nn.LayerList([DecoderLayer() for _ in range(2)])
        self.generator = None if tied else paddle.nn.Linear(DIM, VOCAB, bias_attr=False)
        self.register_buffer(
            "positions", paddle.to_tensor(table(LENGTH + 1, DIM), dtype=paddle.get_default_dtype())
        )
        self.causal, self.pad_hidden, self.memory_masked = causal, pad_hidden, memory_masked
        self.scale, self.detach_memory = scale, detach_memory

    def embed(self, tokens):
        return self.embedding(tokens) * self.scale + self.positions[: tokens.shape[1]]

    def forward(self, source, target):
        keep_source = (source != PAD).unsqueeze([1, 2])
        if not self.pad_hidden:
            keep_source = (source == PAD).unsqueeze([1, 2])
        keep_target = paddle.logical_and((target != PAD).unsqueeze([1, 2]), self.causal(target.shape[1]))
        memory = self.embed(source)
        for layer in self.encoder:
            memory = layer(memory, keep_source)
        if self.detach_memory:
            memory = memory.detach()
        keep_memory = keep_source if self.memory_masked else paddle.ones_like(keep_source)
        x = self.embed(target)
        for layer in self.decoder:
            x = layer(x, memory, keep_target, keep_memory)
        if self.generator is not None:
            return self.generator(x)
        return x @ self.embedding.weight.t()


def port(
    *,
    betas=(0.9, 0.98),
    epsilon=1e-9,
    rate=noam,
    ignore=PAD,
    smoothing=0.1,
    divide=None,
    data=(),
    metric=TokenAccuracy,
    **layers,
) -> Recipe:
    def optimizer(model):
        schedule = paddle.optimizer.lr.LambdaDecay(1.0, rate)
        adam = paddle.optimizer.Adam(
            schedule, beta1=betas[0], beta2=betas[1], epsilon=epsilon, parameters=model.parameters()
        )
        return adam, schedule

    def loss(outputs, targets):
        """Paddle's label smoothing takes no ignored index (soft labels): smoothed here by hand."""
        logits, labels = outputs.reshape([-1, VOCAB]), targets[0].reshape([-1])
        scores = paddle.nn.functional.log_softmax(logits, axis=-1)
        chosen = paddle.take_along_axis(scores, labels.unsqueeze(-1), axis=-1).squeeze(-1)
        each = -(1 - smoothing) * chosen - smoothing * scores.mean(-1)
        counted = (labels != ignore).astype(each.dtype)
        total = (each * counted).sum()
        return total / (divide(labels) if divide else counted.sum())

    return Recipe(
        model=lambda: Transformer(**layers),
        train_data=lambda: sentences(seed=1, **dict(data)),
        eval_data=lambda: sentences(seed=2, **dict(data)),
        loss=loss,
        optimizer=optimizer,
        metric=metric,
    )


def with_encoder(**settings):
    return partial(EncoderLayer, **settings)


def with_attention(**settings):
    return partial(EncoderLayer, attention=partial(Attention, **settings))
