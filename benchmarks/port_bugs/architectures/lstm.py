"""Text classifier: padded words, a bidirectional LSTM, a hand-written cell, truncated back-propagation."""

from __future__ import annotations

import numpy as np
import paddle
import torch

from fuxian.recipe import Recipe
from port_bugs.architectures.parts import Accuracy, linear

VOCAB, EMBED, HIDDEN, LENGTH, PAD = 30, 12, 16, 8, 0


def texts(*, seed, count=11, batch=4, truncate_left=False, drop_last=False, sort=False):
    """Batches of (words [N, 8], lengths [N]) with one of three classes; longer texts are cut to 8 words."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        words = rng.integers(1, VOCAB, rng.integers(3, 12))
        words = words[-LENGTH:] if truncate_left else words[:LENGTH]
        rows.append(
            (np.pad(words, (0, LENGTH - len(words)), constant_values=PAD), len(words), rng.integers(0, 3))
        )
    if sort:
        rows.sort(key=lambda row: -row[1])
    for start in range(0, count, batch):
        chosen = rows[start : start + batch]
        if drop_last and len(chosen) < batch:
            return
        words, lengths, labels = (np.array(column, "int64") for column in zip(*chosen, strict=True))
        yield {"inputs": (words, lengths), "targets": (labels,)}


class TorchCell(torch.nn.Module):
    """An LSTM cell written out, gates in the order input, forget, cell, output."""

    def __init__(self, inputs):
        super().__init__()
        bound = HIDDEN**-0.5
        self.weight_ih = torch.nn.Parameter(torch.empty(4 * HIDDEN, inputs).uniform_(-bound, bound))
        self.weight_hh = torch.nn.Parameter(torch.empty(4 * HIDDEN, HIDDEN).uniform_(-bound, bound))
        self.bias = torch.nn.Parameter(torch.zeros(4 * HIDDEN))
        with torch.no_grad():
            self.bias[HIDDEN : 2 * HIDDEN] = 1.0

    def forward(self, x, state):
        h, c = state
        gates = x @ self.weight_ih.t() + h @ self.weight_hh.t() + self.bias
        i, f, g, o = gates.chunk(4, dim=-1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c


class TorchBuiltInCell(torch.nn.Module):
    def __init__(self, inputs):
        super().__init__()
        self.lstm_cell = torch.nn.LSTMCell(inputs, HIDDEN)

    def forward(self, x, state):
        return self.lstm_cell(x, state)


class TorchClassifier(torch.nn.Module):
    def __init__(self, cell=TorchCell):
        super().__init__()
        self.embedding = torch.nn.Embedding(VOCAB, EMBED, padding_idx=PAD)
        self.lstm = torch.nn.LSTM(EMBED, HIDDEN, num_layers=2, bidirectional=True, batch_first=True)
        self.dropout = torch.nn.Dropout(0.3)
        self.cell = cell(2 * HIDDEN)
        self.fc = torch.nn.Linear(3 * HIDDEN, 3)

    def forward(self, words, lengths):
        packed = torch.nn.utils.rnn.pack_padded_sequence(
            self.embedding(words), lengths, batch_first=True, enforce_sorted=False
        )
        x, _ = torch.nn.utils.rnn.pad_packed_sequence(
            self.lstm(packed)[0], batch_first=True, total_length=LENGTH
        )
        x = self.dropout(x)
        mask = (torch.arange(LENGTH) < lengths[:, None]).to(x.dtype)[..., None]
        mean = (x * mask).sum(1) / mask.sum(1)
        state = (x.new_zeros(x.shape[0], HIDDEN), x.new_zeros(x.shape[0], HIDDEN))
        steps = []
        for step in range(LENGTH):
            if step == LENGTH // 2:
                state = (state[0].detach(), state[1].detach())
            state = self.cell(x[:, step], state)
            steps.append(state[0])
        last = torch.stack(steps, 1)[torch.arange(x.shape[0]), lengths - 1]
        return self.fc(torch.cat([last, mean], dim=-1))


class TorchClippedSGD(torch.optim.SGD):
    def step(self, closure=None):
        torch.nn.utils.clip_grad_norm_([p for group in self.param_groups for p in group["params"]], 0.25)
        return super().step(closure)


def reference(*, cell=TorchCell) -> Recipe:
    def optimizer(model):
        sgd = TorchClippedSGD(model.parameters(), lr=1.0)
        return sgd, torch.optim.lr_scheduler.StepLR(sgd, step_size=2, gamma=0.5)

    return Recipe(
        model=lambda: TorchClassifier(cell),
        train_data=lambda: texts(seed=1),
        eval_data=lambda: texts(seed=2),
        loss=lambda outputs, targets: torch.nn.functional.cross_entropy(outputs, targets[0]),
        optimizer=optimizer,
        metric=Accuracy,
    )


def gates_ifgo(gates):
    return gates.chunk(4, axis=-1)


def gates_ifog(gates):
    """Keras and Paddle's old LSTM kernels keep the gates in other orders."""
    i, f, o, g = gates.chunk(4, axis=-1)
    return i, f, g, o


class Cell(paddle.nn.Layer):
    def __init__(self, inputs, gates=gates_ifgo, forget_bias=1.0, tanh_of_cell=True, hard=False):
        super().__init__()
        bound = HIDDEN**-0.5
        uniform = paddle.nn.initializer.Uniform(-bound, bound)
        self.weight_ih = self.create_parameter([4 * HIDDEN, inputs], default_initializer=uniform)
        self.weight_hh = self.create_parameter([4 * HIDDEN, HIDDEN], default_initializer=uniform)
        bias = np.zeros(4 * HIDDEN)
        bias[HIDDEN : 2 * HIDDEN] = forget_bias
        self.bias = self.create_parameter(
            [4 * HIDDEN], is_bias=True, default_initializer=paddle.nn.initializer.Assign(bias)
        )
        self.gates, self.tanh_of_cell = gates, tanh_of_cell
        self.sigmoid = paddle.nn.functional.hardsigmoid if hard else paddle.nn.functional.sigmoid

    def forward(self, x, state):
        h, c = state
        i, f, g, o = self.gates(x @ self.weight_ih.t() + h @ self.weight_hh.t() + self.bias)
        c = self.sigmoid(f) * c + self.sigmoid(i) * paddle.tanh(g)
        return self.sigmoid(o) * (paddle.tanh(c) if self.tanh_of_cell else c), c


class BuiltInCell(paddle.nn.Layer):
    def __init__(self, inputs):
        super().__init__()
        self.lstm_cell = paddle.nn.LSTMCell(inputs, HIDDEN)

    def forward(self, x, state):
        return self.lstm_cell(x, state)[1]


def last_valid(steps, lengths):
    return steps[paddle.arange(steps.shape[0]), lengths - 1]


def last_of_all(steps, lengths):
    """The last step of the padded sentence, whatever its length."""
    return steps[:, -1]


class Classifier(paddle.nn.Layer):
    def __init__(
        self,
        *,
        lstm=(),
        cell=(),
        lengths_used=True,
        masked_mean=True,
        detach=True,
        choose=last_valid,
        last_first=True,
        cell_kind=Cell,
    ):
        super().__init__()
        normal = paddle.ParamAttr(initializer=paddle.nn.initializer.Normal())
        self.embedding = paddle.nn.Embedding(VOCAB, EMBED, padding_idx=PAD, weight_attr=normal)
        self.lstm = paddle.nn.LSTM(EMBED, HIDDEN, **{"num_layers": 2, "direction": "bidirect", **dict(lstm)})
        self.dropout = paddle.nn.Dropout(0.3)
        self.cell = cell_kind(2 * HIDDEN, **dict(cell))
        self.fc = linear(3 * HIDDEN, 3)
        self.lengths_used, self.masked_mean, self.detach = lengths_used, masked_mean, detach
        self.choose, self.last_first = choose, last_first

    def forward(self, words, lengths):
        x, _ = self.lstm(self.embedding(words), sequence_length=lengths if self.lengths_used else None)
        x = self.dropout(x)
        mask = (paddle.arange(LENGTH) < lengths.unsqueeze(-1)).astype(x.dtype).unsqueeze(-1)
        mean = (x * mask).sum(1) / mask.sum(1) if self.masked_mean else x.mean(1)
        h = paddle.zeros([x.shape[0], HIDDEN], x.dtype)
        state = (h, h)
        steps = []
        for step in range(LENGTH):
            if self.detach and step == LENGTH // 2:
                state = (state[0].detach(), state[1].detach())
            state = self.cell(x[:, step], state)
            steps.append(state[0])
        last = self.choose(paddle.stack(steps, 1), lengths)
        return self.fc(paddle.concat([last, mean] if self.last_first else [mean, last], axis=-1))


def port(
    *,
    clip=paddle.nn.ClipGradByGlobalNorm,
    threshold=0.25,
    step_size=2,
    gamma=0.5,
    data=(),
    metric=Accuracy,
    **layers,
) -> Recipe:
    def optimizer(model):
        schedule = paddle.optimizer.lr.StepDecay(1.0, step_size=step_size, gamma=gamma)
        sgd = paddle.optimizer.SGD(schedule, parameters=model.parameters(), grad_clip=clip(threshold))
        return sgd, schedule

    return Recipe(
        model=lambda: Classifier(**layers),
        train_data=lambda: texts(seed=1, **dict(data)),
        eval_data=lambda: texts(seed=2, **dict(data)),
        loss=lambda outputs, targets: paddle.nn.functional.cross_entropy(outputs, targets[0]),
        optimizer=optimizer,
        metric=metric,
    )
