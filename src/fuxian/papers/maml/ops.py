"""What the inner gradient is made of, each with a hand-written first derivative.

Second-order MAML differentiates through an inner gradient. Asking Paddle for that inner gradient
(``paddle.grad(..., create_graph=True)``) is silently first-order through conv2d, fails for several other
operators, and runs task by task. Here the inner gradient is written out as ordinary forward computation of these
operators, so one plain backward pass yields the exact meta-gradient, for all tasks of a meta-batch at once.

An operator saves its own results detached: Paddle never frees a result whose operator holds it, unless a backward pass
comes by, and evaluation makes none.

Shape legend: T tasks, P rows of a task (its images times their positions), C channels, K taps of a kernel.
Float32 and float64 alike.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any

import numpy as np
import paddle
from paddle import Tensor
from paddle.autograd import PyLayer

BATCH_NORM_EPSILON = 1e-3
"""tf.contrib.layers.batch_norm's default, which the official code keeps."""


def _kept(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Makes a constant tensor once for the same arguments; in each static graph anew, for it belongs to that graph."""

    @lru_cache(maxsize=64)
    def cached(graph, *arguments):
        return make(*arguments)

    @wraps(make)
    def kept(*arguments):
        graph = None if paddle.in_dynamic_mode() else paddle.static.default_main_program()
        return cached(graph, *arguments)

    return kept


@_kept
def _ones(tasks: int, rows: int, columns: int, dtype: paddle.dtype) -> Tensor:
    return paddle.ones([tasks, rows, columns], dtype=dtype)


def row_sum(x_TPC: Tensor) -> Tensor:
    """Sums over P: [T, P, C] -> [T, 1, C]. A product with ones is many times faster than a reduction here."""
    tasks, rows, _ = x_TPC.shape
    return paddle.matmul(_ones(tasks, 1, rows, x_TPC.dtype), x_TPC)


def repeat_rows(x_T1C: Tensor, rows: int) -> Tensor:
    """Repeats one row P times: [T, 1, C] -> [T, P, C]. Broadcasting in an addition is far slower on the CPU."""
    return paddle.matmul(_ones(x_T1C.shape[0], rows, 1, x_T1C.dtype), x_T1C)


def repeat_tasks(weight: Tensor, tasks: int) -> Tensor:
    """One copy of a meta-parameter for each task: [...] -> [T, ...]."""
    row = _ones(1, tasks, 1, weight.dtype).reshape([tasks, 1])
    return paddle.matmul(row, weight.reshape([1, -1])).reshape([tasks, *weight.shape])


class _NoDerivative:
    """Stands for the context of a PyLayer where no backward pass follows."""

    def save_for_backward(self, *tensors):
        pass

    def set_materialize_grads(self, value):
        pass


def _apply(operator: type[PyLayer], *arguments: Any) -> Any:
    """The operator's result. In a static graph, which is exported to be run forwards, it has no derivative."""
    if paddle.in_dynamic_mode():
        return operator.apply(*arguments)
    return operator.forward(_NoDerivative(), *arguments)


class _Normalize(PyLayer):
    """z [T, P, C], bias [T, C] -> xhat [T, P, C] and 1 / sqrt(variance + epsilon) [T, 1, C]."""

    @staticmethod
    def forward(ctx, z, bias):
        rows = z.shape[1]
        centred = z - repeat_rows(row_sum(z) / rows, rows)
        inverse_std = paddle.rsqrt(row_sum(centred * centred) / rows + BATCH_NORM_EPSILON)
        xhat = centred.multiply_(repeat_rows(inverse_std, rows))
        ctx.save_for_backward(xhat.detach(), inverse_std.detach())
        return xhat, inverse_std

    @staticmethod
    def backward(ctx, grad_xhat, grad_inverse_std):
        xhat, inverse_std = ctx.saved_tensor()
        along_xhat = row_sum(grad_xhat * xhat) + grad_inverse_std * inverse_std
        grad_z = _project(grad_xhat, along_xhat, xhat, inverse_std)
        return grad_z, row_sum(grad_z).squeeze(1)


def _project(grad, along_xhat, xhat, inverse_std):
    """inverse_std * (grad - sum(grad) / P - xhat * along_xhat / P), the shape of every BN derivative."""
    rows = xhat.shape[1]
    scaled = grad * repeat_rows(inverse_std, rows)
    scaled = scaled.subtract_(repeat_rows(row_sum(scaled) / rows, rows))
    return scaled.subtract_(xhat * repeat_rows(inverse_std * along_xhat / rows, rows))


class _ShiftRelu(PyLayer):
    """xhat [T, P, C], beta [T, 1, C] -> relu(xhat + beta) and where it is positive, both [T, P, C]."""

    @staticmethod
    def forward(ctx, xhat, beta):
        shifted = repeat_rows(beta, xhat.shape[1]).add_(xhat)
        positive = (shifted > 0).astype(xhat.dtype)
        ctx.save_for_backward(positive.detach())
        ctx.set_materialize_grads(False)
        return shifted.multiply_(positive), positive

    @staticmethod
    def backward(ctx, grad, _):
        (positive,) = ctx.saved_tensor()
        grad = grad * positive
        return grad, row_sum(grad)


class _NormalizeGradient(PyLayer):
    """Gradient by z from the gradient by relu(xhat + beta), itself differentiable in all but ``positive``."""

    @staticmethod
    def forward(ctx, grad, positive, xhat, inverse_std):
        grad = grad * positive
        along_xhat = row_sum(grad * xhat)
        grad_z = _project(grad, along_xhat, xhat, inverse_std)
        ctx.save_for_backward(grad, positive, xhat, inverse_std, along_xhat, grad_z.detach())
        return grad_z

    @staticmethod
    def backward(ctx, v):
        grad, positive, xhat, inverse_std, along_xhat, grad_z = ctx.saved_tensor()
        rows = xhat.shape[1]
        v_along_xhat = row_sum(v * xhat)
        by_grad = _project(v, v_along_xhat, xhat, inverse_std).multiply_(positive)
        by_xhat = v * repeat_rows(inverse_std * along_xhat / -rows, rows)
        by_xhat.subtract_(grad * repeat_rows(inverse_std * v_along_xhat / rows, rows))
        by_inverse_std = row_sum(v * grad_z) / inverse_std
        return by_grad, None, by_xhat, by_inverse_std


def normalize(z_TPC: Tensor, bias_TC: Tensor) -> tuple[Tensor, Tensor]:
    """Batch normalisation of z + bias by each task's own batch statistics, without scale and shift.

    The bias cancels, so it is never added; it is an argument because the official network has it, and its gradient
    is what it is there: a sum that is zero but for rounding.

    Args:
        z_TPC: the convolution's output without bias, [T, P, C].
        bias_TC: the convolution's bias, [T, C].

    Returns:
        xhat [T, P, C] and 1 / sqrt(biased variance + 1e-3) [T, 1, C].
    """
    return _apply(_Normalize, z_TPC, bias_TC)


def shift_relu(xhat_TPC: Tensor, beta_T1C: Tensor) -> tuple[Tensor, Tensor]:
    """relu(xhat + beta) [T, P, C] and, in the same type, 1 where it is positive and 0 elsewhere."""
    shifted, positive = _apply(_ShiftRelu, xhat_TPC, beta_T1C)
    # Not marked as without a derivative inside the operator: that, too, would hold it for ever.
    return shifted, positive.detach()


def normalize_gradient(
    grad_TPC: Tensor, positive_TPC: Tensor, xhat_TPC: Tensor, inverse_std_T1C: Tensor
) -> Tensor:
    """The gradient by z of ``shift_relu(normalize(z, bias), beta)``, from the gradient by its result.

    Args:
        grad_TPC: the gradient by the ReLU's result, [T, P, C].
        positive_TPC: from ``shift_relu``.
        xhat_TPC, inverse_std_T1C: from ``normalize``.

    Returns:
        [T, P, C].
    """
    return _apply(_NormalizeGradient, grad_TPC, positive_TPC, xhat_TPC, inverse_std_T1C)


@_kept
def _window_rows(images: int, side: int) -> Tensor:
    """For each output position and tap of a 3x3 stride-2 'SAME' convolution, the input row it reads.

    Rows number all positions of all images; ``images * side**2`` is a row of zeros. TensorFlow's 'SAME' pads an
    even side at the end only (28 -> 14 -> 7) and an odd one on both ends (7 -> 4).
    """
    out_side = (side + 1) // 2
    before = max((out_side - 1) * 2 + 3 - side, 0) // 2
    at = 2 * np.arange(out_side)[:, None] + np.arange(3)[None, :] - before
    inside = (at >= 0) & (at < side)
    rows = at[:, None, :, None] * side + at[None, :, None, :]
    valid = inside[:, None, :, None] & inside[None, :, None, :]
    first = (np.arange(images) * side * side)[:, None, None, None, None]
    return paddle.to_tensor(np.where(valid, rows + first, images * side * side).reshape(-1))


def _gather_windows(x, images, side):
    tasks, _, channels = x.shape
    zero = paddle.zeros([1, channels], dtype=x.dtype)
    rows = paddle.concat([x.reshape([-1, channels]), zero])
    out_rows = images // tasks * ((side + 1) // 2) ** 2
    return paddle.gather(rows, _window_rows(images, side)).reshape([tasks, out_rows, 9 * channels])


def _scatter_windows(windows, images, side):
    tasks, _, width = windows.shape
    channels = width // 9
    sums = paddle.zeros([images * side * side + 1, channels], dtype=windows.dtype)
    sums = paddle.scatter(sums, _window_rows(images, side), windows.reshape([-1, channels]), overwrite=False)
    return sums[:-1].reshape([tasks, -1, channels])


class _Im2Col(PyLayer):
    @staticmethod
    def forward(ctx, x, images, side):
        ctx.geometry = images, side
        return _gather_windows(x, images, side)

    @staticmethod
    def backward(ctx, grad):
        return _scatter_windows(grad, *ctx.geometry)


class _Col2Im(PyLayer):
    @staticmethod
    def forward(ctx, windows, images, side):
        ctx.geometry = images, side
        return _scatter_windows(windows, images, side)

    @staticmethod
    def backward(ctx, grad):
        return _gather_windows(grad, *ctx.geometry)


def im2col(x_TPC: Tensor, images: int, side: int) -> Tensor:
    """The windows that a 3x3 stride-2 'SAME' convolution sees.

    Args:
        x_TPC: [T, P, C] with P = images of a task * side * side, positions in row-major order.
        images: the number of images of all tasks together.
        side: the height and width of an image.

    Returns:
        [T, P', 9 C] with P' = images of a task * ceil(side / 2) ** 2; taps in row-major order, channels last.
    """
    return _apply(_Im2Col, x_TPC, images, side)


def col2im(windows_TPK: Tensor, images: int, side: int) -> Tensor:
    """The adjoint of ``im2col``: [T, P', 9 C] -> [T, P, C], overlapping taps added."""
    return _apply(_Col2Im, windows_TPK, images, side)
