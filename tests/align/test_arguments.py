"""Every argument of Paddle's functions and optimizers is tried as a cause, or it is said what becomes of it."""

import inspect
import types

import paddle
import pytest

from fuxian.align.diagnose.arguments import NO_EFFECT, NOT_TRIED, SEEN_OTHERWISE, TENSORS
from fuxian.align.diagnose.optimizers import NAMES as OF_OPTIMIZERS
from fuxian.align.diagnose.optimizers import PAIRS
from fuxian.align.diagnose.settings import CAUSES, NAMES

OTHERS = {*TENSORS, *NO_EFFECT, *SEEN_OTHERWISE, *NOT_TRIED}
BESIDE_CAUSES = {"mode", "axis", "momentum", "training", "exclusive", "transpose_x", "transpose_y"}
"""Settings whose cause hangs on the call."""


def functions():
    for name in dir(paddle.nn.functional):
        function = getattr(paddle.nn.functional, name)
        if not name.startswith("_") and isinstance(function, (types.FunctionType, types.BuiltinFunctionType)):
            yield name, inspect.signature(inspect.unwrap(function)).parameters


def test_every_argument_of_a_function_is_accounted_for():
    left = {
        f"{name}({argument})"
        for name, arguments in functions()
        for argument in arguments
        if argument not in OTHERS and NAMES.get(argument) not in {*CAUSES, *BESIDE_CAUSES}
    }
    assert left == set()


@pytest.mark.parametrize(
    "name", [n for n in dir(paddle.optimizer) if isinstance(getattr(paddle.optimizer, n), type)]
)
def test_every_argument_of_an_optimizer_is_accounted_for(name):
    arguments = list(inspect.signature(getattr(paddle.optimizer, name).__init__).parameters)[1:]
    known = {*OF_OPTIMIZERS, *PAIRS, *OTHERS}
    assert [a for a in arguments if a not in known] == []
