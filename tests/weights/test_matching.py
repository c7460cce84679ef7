"""Models whose nesting, names or order differ: paired rightly, or refused; never paired wrongly in silence."""

from collections import OrderedDict

import numpy as np
import pytest

from fuxian.errors import InputError
from fuxian.weights import plan
from fuxian.weights.execution import call_order


@pytest.fixture
def nn(torch):
    import paddle

    return paddle.nn, torch.nn


def pairs(made):
    return {
        link.port.tensor: link.reference.tensor for link in made.links if link.port.tensor.endswith("weight")
    }


def test_numbers_are_counted_not_compared(nn):
    p, t = nn
    made = plan(
        p.Sequential(p.Linear(4, 4), p.Linear(4, 4), p.Linear(4, 4)),
        t.Sequential(t.Linear(4, 4), t.ReLU(), t.Linear(4, 4), t.ReLU(), t.Linear(4, 4)),
    )
    assert pairs(made) == {"0.weight": "0.weight", "1.weight": "2.weight", "2.weight": "4.weight"}


def test_nesting_may_differ(nn):
    p, t = nn
    made = plan(
        p.Sequential(
            ("features", p.Sequential(p.Conv2D(3, 4, 3), p.BatchNorm2D(4), p.ReLU(), p.Conv2D(4, 4, 3))),
            ("classifier", p.Linear(4, 4)),
        ),
        t.Sequential(
            t.Sequential(t.Conv2d(3, 4, 3), t.BatchNorm2d(4)),
            t.Sequential(t.ReLU(), t.Conv2d(4, 4, 3)),
            t.Linear(4, 4),
        ),
    )
    assert pairs(made) == {
        "features.0.weight": "0.0.weight",
        "features.1.weight": "0.1.weight",
        "features.3.weight": "1.1.weight",
        "classifier.weight": "2.weight",
    }


def test_names_go_before_the_order_of_definition(nn):
    p, t = nn
    port = p.Sequential(("key", p.Linear(4, 4)), ("Query", p.Linear(4, 4)), ("v_proj", p.Linear(4, 4)))
    reference = t.Sequential(OrderedDict((n, t.Linear(4, 4)) for n in ("q_proj", "k_proj", "value")))
    assert pairs(plan(port, reference)) == {
        "key.weight": "k_proj.weight",
        "Query.weight": "q_proj.weight",
        "v_proj.weight": "value.weight",
    }


def named(nn_module, layer, names):
    holder = nn_module.Layer() if hasattr(nn_module, "Layer") else nn_module.Module()
    for name in names:
        setattr(holder, name, layer(4, 4))
    return holder


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        # Shifted numbers: two of three names agree, and are wrong.
        (("conv1", "conv2", "conv3"), ("conv0", "conv1", "conv2")),
        # Numbers and definition order disagree.
        (("fc2", "fc1"), ("linear1", "linear2")),
    ],
)
def test_what_speaks_against_the_order_is_ambiguous(nn, ours, theirs):
    p, t = nn
    with pytest.raises(InputError, match="ambiguous"):
        plan(named(p, p.Linear, ours), named(t, t.Linear, theirs))


def test_layers_of_other_classes_are_not_paired_by_order(nn):
    p, t = nn
    with pytest.raises(InputError, match=r"a is a GroupNorm and x a LayerNorm"):
        plan(
            p.Sequential(("a", p.GroupNorm(1, 4)), ("b", p.Linear(4, 4))),
            named_pair(t, x=t.LayerNorm(4), y=t.Linear(4, 4)),
        )


def named_pair(t, **layers):
    holder = t.Module()
    for name, layer in layers.items():
        setattr(holder, name, layer)
    return holder


def blocks(p, t):
    """A port that defines its layers in another order than its reference, under other names, q, k, v apart."""
    import paddle
    import torch

    class TheirBlock(t.Module):
        def __init__(self):
            super().__init__()
            self.norm1 = t.LayerNorm(8, eps=2.0**-10)
            self.qkv = t.Linear(8, 24)
            self.proj = t.Linear(8, 8)
            self.mlp = t.Sequential(t.Linear(8, 8), t.GELU(), t.Linear(8, 8))

        def forward(self, x):
            q, k, v = self.qkv(self.norm1(x)).chunk(3, -1)
            return self.mlp(x + self.proj(torch.softmax(q @ k.transpose(-1, -2), -1) @ v))

    class Theirs(t.Module):
        def __init__(self):
            super().__init__()
            self.token = t.Parameter(torch.randn(1, 1, 8))
            self.blocks = t.ModuleList(TheirBlock() for _ in range(2))

        def forward(self, x):
            x = x + self.token
            for block in self.blocks:
                x = block(x)
            return x

    class OurBlock(p.Layer):
        def __init__(self):
            super().__init__()
            self.key, self.query, self.value = p.Linear(8, 8), p.Linear(8, 8), p.Linear(8, 8)
            self.expand, self.shrink, self.out = p.Linear(8, 8), p.Linear(8, 8), p.Linear(8, 8)
            self.before = p.LayerNorm(8, epsilon=2.0**-10)

        def forward(self, x):
            h = self.before(x)
            weights = p.functional.softmax(self.query(h) @ self.key(h).transpose([0, 2, 1]), -1)
            x = self.out(weights @ self.value(h)) + x
            return self.shrink(p.functional.gelu(self.expand(x)))

    class Ours(p.Layer):
        def __init__(self):
            super().__init__()
            self.token = self.create_parameter([1, 1, 8])
            self.layers = p.LayerList([OurBlock() for _ in range(2)])

        def forward(self, x):
            x = x + self.token
            for layer in self.layers:
                x = layer(x)
            return x

    return Ours(), Theirs(), paddle, torch


def test_the_order_of_execution_settles_what_definition_leaves_open(nn, rng, convert_and_run):
    port, reference, paddle, torch = blocks(*nn)
    with pytest.raises(InputError, match=r"nothing goes into the port's layers\.0\.expand\.weight"):
        plan(port, reference)
    x = rng.normal(size=(2, 5, 8))
    orders = {
        "port_order": call_order(port, lambda: port(paddle.to_tensor(x))),
        "reference_order": call_order(reference, lambda: reference(torch.tensor(x))),
    }
    made = plan(port, reference, **orders)
    assert pairs(made)["layers.1.expand.weight"] == "blocks.1.mlp.0.weight"
    transforms = {link.port.tensor: link.transform for link in made.links}
    assert transforms["layers.0.key.weight"] == "transpose, rows 2/3"
    assert transforms["layers.0.key.bias"] == "rows 2/3"
    assert convert_and_run(port, reference, [x], made=made) < 1e-12
    assert not port.layers[0].key._forward_pre_hooks


def test_a_port_without_layers_is_paired_by_name_or_order(nn, rng, convert_and_run):
    p, t = nn

    def ours(names, shapes):
        class Functional(p.Layer):
            def __init__(self):
                super().__init__()
                for name, shape in zip(names, shapes, strict=True):
                    self.add_parameter(name, self.create_parameter(shape))

            def forward(self, x):
                a, b, c, d = (getattr(self, name) for name in names)
                return (x @ a + b) @ c + d

        return Functional()

    shapes = ([6, 8], [8], [8, 3], [3])
    reference = named_pair(t, fc1=t.Linear(6, 8), fc2=t.Linear(8, 3))
    reference.forward = lambda x: reference.fc2(reference.fc1(x))
    x = [rng.normal(size=(3, 6))]
    for names in (("fc1_weight", "fc1_bias", "fc2_weight", "fc2_bias"), ("w1", "b1", "w2", "b2")):
        assert convert_and_run(ours(names, shapes), reference, x) < 1e-12

    square = named_pair(t, fc1=t.Linear(4, 4), fc2=t.Linear(4, 4))
    with pytest.raises(InputError, match="square and only one side's class says its layout"):
        plan(ours(("fc1_weight", "fc1_bias", "fc2_weight", "fc2_bias"), ([4, 4], [4], [4, 4], [4])), square)


def test_a_matrix_owned_by_both_models_is_taken_as_it_is_and_says_so(nn, torch):
    p, t = nn
    port, reference = p.Layer(), t.Module()
    port.add_parameter("table", port.create_parameter([4, 4]))
    reference.table = t.Parameter(torch.randn(4, 4))
    (link,) = plan(port, reference).links
    assert (link.transform, link.how) == ("identity", "name")
    assert "does not say its layout" in link.note


def test_a_linear_layer_may_be_a_convolution_of_one_pixel(nn):
    p, t = nn
    (link, _) = plan(p.Sequential(p.Conv2D(3, 4, 1)), t.Sequential(t.Linear(3, 4))).links
    assert link.transform == "reshape"
    (link, _) = plan(p.Sequential(p.Linear(3, 4)), t.Sequential(t.Conv2d(3, 4, 1))).links
    assert link.transform == "transpose"


def test_calling_fails_but_the_hooks_go(nn):
    p, _ = nn
    layer = p.Linear(2, 2)

    def fail():
        raise RuntimeError("no data")

    with pytest.raises(RuntimeError):
        call_order(layer, fail)
    assert not layer._forward_pre_hooks
    assert call_order(layer, lambda: None) == []
    assert np.isfinite(layer.weight.numpy()).all()
