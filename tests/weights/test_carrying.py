"""Every layer: convert the reference's weights, and both outputs are the same in float64."""

import numpy as np
import pytest

from fuxian.errors import InputError
from fuxian.weights import Plan, apply, draft, plan

EPS = 2.0**-10  # exact in float32: Paddle keeps a norm's epsilon in float32


def arrays_of(model):
    return {name: tensor.detach().numpy() for name, tensor in model.state_dict().items()}


def call(model, inputs):
    return model(*inputs)


def attend(model, inputs):
    return model(*(inputs * (3 // len(inputs))))


def layers(torch):
    """Pairs of one layer: name, port, reference, shapes of the inputs, forward."""
    import paddle

    t, p = torch.nn, paddle.nn
    conv_t, conv_p = (t.Conv1d, t.Conv2d, t.Conv3d), (p.Conv1D, p.Conv2D, p.Conv3D)
    deconv_t = (t.ConvTranspose1d, t.ConvTranspose2d, t.ConvTranspose3d)
    deconv_p = (p.Conv1DTranspose, p.Conv2DTranspose, p.Conv3DTranspose)
    batch_t, batch_p = (
        (t.BatchNorm1d, t.BatchNorm2d, t.BatchNorm3d),
        (p.BatchNorm1D, p.BatchNorm2D, p.BatchNorm3D),
    )
    instance_t = (t.InstanceNorm1d, t.InstanceNorm2d, t.InstanceNorm3d)
    instance_p = (p.InstanceNorm1D, p.InstanceNorm2D, p.InstanceNorm3D)
    yield "square linear", p.Linear(4, 4), t.Linear(4, 4), [(3, 4)], call
    yield "oblong linear", p.Linear(4, 5), t.Linear(4, 5), [(3, 4)], call
    yield "compat linear", paddle.compat.nn.Linear(4, 4), t.Linear(4, 4), [(3, 4)], call
    yield "bilinear", p.Bilinear(4, 4, 4), t.Bilinear(4, 4, 4), [(3, 4), (3, 4)], call
    for d in range(3):
        x = [(2, 4, *[5] * (d + 1))]
        yield f"conv{d + 1}d", conv_p[d](4, 4, 3, groups=2), conv_t[d](4, 4, 3, groups=2), x, call
        yield f"deconv{d + 1}d", deconv_p[d](4, 4, 3, groups=2), deconv_t[d](4, 4, 3, groups=2), x, call
        yield f"batch norm {d + 1}d", batch_p[d](4, epsilon=EPS), batch_t[d](4, eps=EPS), x, call
        yield (
            f"instance norm {d + 1}d",
            instance_p[d](4, epsilon=EPS),
            instance_t[d](4, eps=EPS, affine=True),
            x,
            call,
        )
    yield "old batch norm", p.BatchNorm(4, dtype="float64"), t.BatchNorm2d(4), [(2, 4, 3, 3)], call
    yield "layer norm", p.LayerNorm([3, 4], epsilon=EPS), t.LayerNorm([3, 4], eps=EPS), [(2, 3, 4)], call
    yield "group norm", p.GroupNorm(2, 4, epsilon=EPS), t.GroupNorm(2, 4, eps=EPS), [(2, 4, 3)], call
    yield "prelu", p.PReLU(4), t.PReLU(4), [(2, 4, 3)], call
    yield "embedding", p.Embedding(4, 4), t.Embedding(4, 4), [(2, 3)], call
    x = [(2, 5, 4)]
    for name in ("LSTM", "GRU"):
        for depth in (1, 2):
            for both in (False, True):
                yield (
                    f"{name} {depth}{' bidirectional' if both else ''}",
                    getattr(p, name)(4, 4, depth, direction="bidirect" if both else "forward"),
                    getattr(t, name)(4, 4, depth, batch_first=True, bidirectional=both),
                    x,
                    call,
                )
    yield "plain RNN", p.SimpleRNN(4, 4), t.RNN(4, 4, batch_first=True), x, call
    projected = {"proj_size": 2, "num_layers": 2}
    yield "projected LSTM", p.LSTM(4, 4, **projected), t.LSTM(4, 4, **projected, batch_first=True), x, call
    yield "RNN of a cell", p.RNN(p.LSTMCell(4, 4)), t.LSTM(4, 4, batch_first=True), x, call
    cells = (p.GRUCell(4, 4), p.GRUCell(4, 4))
    yield "BiRNN of cells", p.BiRNN(*cells), t.GRU(4, 4, batch_first=True, bidirectional=True), x, call
    yield "LSTM cell", p.LSTMCell(4, 4), t.LSTMCell(4, 4), [(2, 4)], call
    fused = t.MultiheadAttention(8, 2, batch_first=True)
    yield "attention", p.MultiHeadAttention(8, 2), fused, [(2, 5, 8)], attend
    yield (
        "attention of other sizes",
        p.MultiHeadAttention(8, 2, kdim=6, vdim=4),
        t.MultiheadAttention(8, 2, kdim=6, vdim=4, batch_first=True),
        [(2, 5, 8), (2, 5, 6), (2, 5, 4)],
        attend,
    )
    yield (
        "compat attention",
        paddle.compat.nn.MultiheadAttention(8, 2, batch_first=True).to(dtype="float64"),
        t.MultiheadAttention(8, 2, batch_first=True),
        [(2, 5, 8)],
        attend,
    )
    yield (
        "transformer",
        p.Transformer(8, 2, 2, 2, 16, dropout=0.0),
        t.Transformer(8, 2, 2, 2, 16, dropout=0.0, batch_first=True),
        [(2, 5, 8), (2, 4, 8)],
        call,
    )


def test_every_layer_gives_the_same_output(torch, rng, convert_and_run):
    tested = 0
    for name, port, reference, shapes, forward in layers(torch):
        inputs = [rng.normal(size=shape) for shape in shapes]
        if name == "embedding":
            inputs = [rng.integers(0, 4, size=shape) for shape in shapes]
        error = convert_and_run(port, reference, inputs, forward)
        # The old BatchNorm's epsilon, and the layer norms' inside the transformer, are 1e-5 in float32.
        assert error < (1e-6 if name in ("old batch norm", "transformer") else 1e-12), name
        tested += 1
    assert tested == 38


def test_float32_gives_the_same_output_to_rounding(torch, rng, convert_and_run):
    import paddle

    torch.set_default_dtype(torch.float32)
    paddle.set_default_dtype("float32")
    port = paddle.nn.Sequential(paddle.nn.Linear(8, 8), paddle.nn.ReLU(), paddle.nn.Linear(8, 8))
    reference = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.ReLU(), torch.nn.Linear(8, 8))
    assert convert_and_run(port, reference, [rng.normal(size=(4, 8)).astype(np.float32)]) < 1e-6


def test_the_counter_of_batches_is_dropped_with_a_reason_and_comes_back_as_zero(torch):
    import paddle

    made = plan(paddle.nn.BatchNorm2D(3), torch.nn.BatchNorm2d(3))
    assert made.reference_dropped == {
        "num_batches_tracked": "Paddle's batch norm keeps no counter of batches"
    }
    back = apply(made, {n: np.ones(3) for n in ("weight", "bias", "_mean", "_variance")}, "to_reference")
    assert back["num_batches_tracked"].dtype == np.int64
    assert back["num_batches_tracked"] == 0


def test_buffers_of_the_model_itself_are_carried_and_passing_ones_are_not(torch):
    import paddle

    port, reference = paddle.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    port.register_buffer("scale", paddle.ones([3]))
    reference.register_buffer("scale", torch.ones(3))
    port.register_buffer("mask", paddle.ones([4]), persistable=False)
    reference.register_buffer("cache", torch.ones(5), persistent=False)
    made = plan(port, reference)
    assert sorted(link.port.tensor for link in made.links) == ["bias", "scale", "weight"]


class TestTiedWeights:
    def reference(self, torch):
        class Language(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.embed = torch.nn.Embedding(7, 8)
                self.body = torch.nn.Linear(8, 8)
                self.head = torch.nn.Linear(8, 7, bias=False)
                self.head.weight = self.embed.weight

            def forward(self, x):
                return self.head(self.body(self.embed(x)))

        return Language()

    def port(self, head):
        import paddle

        class Language(paddle.nn.Layer):
            def __init__(self):
                super().__init__()
                self.embed = paddle.nn.Embedding(7, 8)
                self.body = paddle.nn.Linear(8, 8)
                if head == "compat":
                    self.head = paddle.compat.nn.Linear(8, 7, bias=False)
                    self.head.weight = self.embed.weight
                if head == "apart":
                    self.head = paddle.nn.Linear(8, 7, bias_attr=False)

            def forward(self, x):
                hidden = self.body(self.embed(x))
                return self.head(hidden) if head else hidden @ self.embed.weight.t()

        return Language()

    @pytest.mark.parametrize("head", [None, "compat", "apart"])
    def test_however_the_port_ties_them(self, torch, rng, head, convert_and_run):
        error = convert_and_run(self.port(head), self.reference(torch), [rng.integers(0, 7, (2, 3))])
        assert error < 1e-12

    def test_the_way_back_refuses_weights_that_the_reference_cannot_keep_apart(self, torch):
        port, reference = self.port("apart"), self.reference(torch)
        made = plan(port, reference)
        with pytest.raises(InputError, match=r"one tensor"):
            apply(made, arrays_of(port), "to_reference")

    def test_a_file_whose_tied_tensors_differ_is_refused(self, torch):
        reference = self.reference(torch)
        made = plan(self.port(None), reference)
        tensors = arrays_of(reference)
        tensors["head.weight"] = tensors["head.weight"] + 1
        with pytest.raises(InputError, match=r"head\.weight and embed\.weight are one tensor"):
            apply(made, tensors)

    def test_a_file_may_hold_a_tied_tensor_under_one_name_only(self, torch):
        reference = self.reference(torch)
        tensors = arrays_of(reference)
        del tensors["embed.weight"]
        converted = apply(plan(self.port(None), reference), tensors)
        np.testing.assert_array_equal(converted["embed.weight"], tensors["head.weight"])


class TestEverythingIsAccountedFor:
    def refused(self, port, reference):
        with pytest.raises(InputError) as refusal:
            plan(port, reference)
        return str(refusal.value)

    def test_missing_extra_and_misshapen_tensors_are_listed(self, torch):
        import paddle

        t, p = torch.nn, paddle.nn
        assert "no place for the reference's 0.bias" in self.refused(
            p.Sequential(p.Conv2D(3, 4, 3, bias_attr=False), p.BatchNorm2D(4)),
            t.Sequential(t.Conv2d(3, 4, 3), t.BatchNorm2d(4)),
        )
        assert "nothing goes into the port's 0.bias" in self.refused(
            p.Sequential(p.Linear(3, 4)), t.Sequential(t.Linear(3, 4, bias=False))
        )
        assert "no place for the reference's running_mean, running_var" in self.refused(
            p.InstanceNorm2D(3), t.InstanceNorm2d(3, affine=True, track_running_stats=True)
        )
        assert "weight and weight correspond by name, but are 4x3 and 5x3" in self.refused(
            p.Linear(3, 4), t.Linear(3, 5)
        )

    def test_a_draft_keeps_the_pairs_that_are_certain(self, torch):
        import paddle

        t, p = torch.nn, paddle.nn
        made = draft(
            p.Sequential(p.Linear(3, 4, bias_attr=False), p.Linear(4, 2)),
            t.Sequential(t.Linear(3, 4), t.Linear(4, 2)),
        )
        assert not made.complete
        assert (made.port_left, made.reference_left) == ([], ["0.bias"])
        assert [link.port.tensor for link in made.plan.links] == ["0.weight", "1.weight", "1.bias"]

    def test_apply_refuses_what_the_plan_does_not_know(self, torch):
        import paddle

        made = plan(paddle.nn.Linear(2, 3), torch.nn.Linear(2, 3))
        good = {"weight": np.ones((3, 2)), "bias": np.ones(3)}
        assert apply(made, good)["weight"].shape == (2, 3)
        assert apply(made, {f"module.{name}": array for name, array in good.items()})["bias"].shape == (3,)
        for bad, words in (
            ({"weight": good["weight"]}, "missing bias"),
            (good | {"scale": np.ones(1)}, "not planned for scale"),
            (good | {"weight": np.ones((2, 3))}, r"weight has shape \(2, 3\) instead of \(3, 2\)"),
        ):
            with pytest.raises(InputError, match=words):
                apply(made, bad)

    def test_no_model_no_plan(self):
        with pytest.raises(InputError, match="A dict has no weights"):
            plan({}, {})


class TestAStateDictAlone:
    """The reference is a file: its names, and the port's classes, must do."""

    def test_the_ports_classes_decide_the_layout(self, torch, rng, convert_and_run):
        for name, port, reference, shapes, forward in layers(torch):
            if name == "embedding":
                continue
            made = plan(port, arrays_of(reference))
            inputs = [rng.normal(size=shape) for shape in shapes]
            error = convert_and_run(port, reference, inputs, forward, made)
            assert error < (1e-6 if name in ("old batch norm", "transformer") else 1e-12), name

    def test_a_file_that_lost_the_order_is_not_paired_by_order(self, torch):
        import paddle

        port = paddle.nn.Sequential(("a", paddle.nn.Linear(4, 4)), ("b", paddle.nn.Linear(4, 4)))
        tensors = {n: np.ones((4, 4) if n.endswith("weight") else 4) for n in ("x.weight", "x.bias")}
        tensors |= {n.replace("x", "y"): t.copy() for n, t in tensors.items()}
        assert [link.how for link in plan(port, tensors).links] == ["order"] * 4
        with pytest.raises(InputError, match="ambiguous: a, b with x, y"):
            plan(port, tensors, ordered=False)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"links": 3}', '{"version": 1, "links": [{"port": {}}]}', "null"]
)
def test_a_plan_that_cannot_be_read_is_refused(text):
    with pytest.raises(InputError, match="plan cannot be read"):
        Plan.from_json(text)
