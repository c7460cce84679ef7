"""PyTorch's default initialisation for Paddle's layers.

A port that trains from scratch must start where its reference does. Paddle draws weights otherwise (Xavier's normal and
uniform distributions, biases of zero), which a comparison of outputs with converted weights never shows.

    model = Net()
    left = fuxian.paddle_init.like_torch(model)   # after paddle.seed

The bounds are those that PyTorch documents with each layer ("Variables"): U(-sqrt(k), sqrt(k)), k = 1 / fan-in, for
Linear, Bilinear and convolutions, weights and biases alike; k = 1 / hidden_size for recurrent layers; N(0, 1) for
embeddings. Of a transposed convolution PyTorch takes as fan-in what is its fan-out: the channels that come out, by
group, times the kernel.
"""

from __future__ import annotations

import math
from typing import Any

import paddle
from paddle import nn

from fuxian.errors import InputError

_CONVOLUTIONS = (nn.Conv1D, nn.Conv2D, nn.Conv3D)
_TRANSPOSED = (nn.Conv1DTranspose, nn.Conv2DTranspose, nn.Conv3DTranspose)
_RECURRENT = (nn.SimpleRNN, nn.LSTM, nn.GRU, nn.SimpleRNNCell, nn.LSTMCell, nn.GRUCell)
_ALIKE = (
    nn.BatchNorm,
    nn.BatchNorm1D,
    nn.BatchNorm2D,
    nn.BatchNorm3D,
    nn.SyncBatchNorm,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.InstanceNorm1D,
    nn.InstanceNorm2D,
    nn.InstanceNorm3D,
    nn.PReLU,
)
"""Both frameworks begin these with the same constants."""


def like_torch(model: Any) -> list[str]:
    """Draws the parameters of every known layer of ``model`` anew, as PyTorch initialises its counterpart.

    The draws come from Paddle's global generator: call ``paddle.seed`` before. They have PyTorch's distributions, not
    its numbers. Norms and PReLU are left alone, since both frameworks begin them alike.

    Args:
        model: a ``paddle.nn.Layer``, changed in place.

    Returns:
        The names of the parameters that were left as they are because their layer has no known counterpart.

    Raises:
        InputError: the model is no Layer.
    """
    if not isinstance(model, nn.Layer):
        raise InputError(f"a {type(model).__name__} is no paddle.nn.Layer; give the port's model.")
    known: set[int] = set()
    for layer in model.sublayers(include_self=True):
        if isinstance(layer, nn.MultiHeadAttention):
            _attention(layer, known)
    for layer in model.sublayers(include_self=True):
        _layer(layer, known)
    return [name for name, parameter in model.named_parameters() if id(parameter) not in known]


def bound(layer: Any) -> float | None:
    """The bound of the uniform distribution that PyTorch draws this layer's weights and biases from.

    None for a layer without one: an embedding, a norm, one without a counterpart.
    """
    if isinstance(layer, nn.Linear):
        return 1 / math.sqrt(layer.weight.shape[0])
    if isinstance(layer, nn.Bilinear):
        return 1 / math.sqrt(layer.weight.shape[1])
    if isinstance(layer, (*_CONVOLUTIONS, *_TRANSPOSED)):
        # [out, in / groups, *kernel], and transposed [in, out / groups, *kernel]: PyTorch's fan-in is of the second on.
        return 1 / math.sqrt(math.prod(layer.weight.shape[1:]))
    if isinstance(layer, _RECURRENT):
        return 1 / math.sqrt(layer.hidden_size)
    return None


def _layer(layer: Any, known: set[int]) -> None:
    own = [p for p in layer.parameters(include_sublayers=isinstance(layer, _RECURRENT)) if id(p) not in known]
    if isinstance(layer, _ALIKE):
        known.update(map(id, own))
    elif isinstance(layer, nn.Embedding):
        drawn = paddle.randn(layer.weight.shape, dtype=layer.weight.dtype)
        padding = getattr(layer, "_padding_idx", -1)
        if padding is not None and padding >= 0:
            drawn[padding] = 0.0
        layer.weight.set_value(drawn)
        known.add(id(layer.weight))
    elif (edge := bound(layer)) is not None:
        for parameter in own:
            _uniform(parameter, edge, known)


def _attention(layer: Any, known: set[int]) -> None:
    """Xavier's bounds for the projections that come in, biases of zero; the one that goes out is a Linear without bias.

    Where query, key and value have one size, PyTorch keeps the three in one matrix [3 E, E] and takes its fans.
    """
    width = layer.embed_dim
    together = layer.kdim == layer.vdim == width
    for projection in (layer.q_proj, layer.k_proj, layer.v_proj):
        fans = 4 * width if together else sum(projection.weight.shape)
        _uniform(projection.weight, math.sqrt(6 / fans), known)
    _uniform(layer.out_proj.weight, 1 / math.sqrt(width), known)
    for projection in (layer.q_proj, layer.k_proj, layer.v_proj, layer.out_proj):
        if projection.bias is not None:
            projection.bias.set_value(paddle.zeros_like(projection.bias))
            known.add(id(projection.bias))


def _uniform(parameter: Any, edge: float, known: set[int]) -> None:
    parameter.set_value(paddle.uniform(parameter.shape, dtype=parameter.dtype, min=-edge, max=edge))
    known.add(id(parameter))
