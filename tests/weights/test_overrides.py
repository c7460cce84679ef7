import json

import numpy as np
import pytest

from fuxian.errors import InputError
from fuxian.weights import apply, load_overrides, plan


@pytest.fixture
def models(torch):
    import paddle

    port = paddle.nn.Sequential(("a", paddle.nn.Linear(4, 4)), ("b", paddle.nn.Linear(4, 4)))
    reference = torch.nn.Module()
    reference.x, reference.y = torch.nn.Linear(4, 4), torch.nn.Linear(4, 4)
    return port, reference


def overrides(tmp_path, text, ending=".toml"):
    path = tmp_path / f"map{ending}"
    path.write_text(text)
    return load_overrides(path)


def arrays_of(model):
    return {name: tensor.detach().numpy() for name, tensor in model.state_dict().items()}


def test_names_in_the_file_go_before_everything(tmp_path, models):
    text = """
        [tensors]
        "a.weight" = "y.weight"
        "a.bias" = "y.bias"
        "b.weight" = { from = "x.weight", transform = "identity" }
        "b.bias" = { from = "x.bias" }
    """
    port, reference = models
    for chosen in (
        overrides(tmp_path, text),
        overrides(
            tmp_path,
            json.dumps(
                {
                    "tensors": {
                        "a.weight": "y.weight",
                        "a.bias": "y.bias",
                        "b.weight": {"from": "x.weight", "transform": "identity"},
                        "b.bias": "x.bias",
                    }
                }
            ),
            ".json",
        ),
    ):
        made = plan(port, reference, overrides=chosen)
        assert {link.how for link in made.links} == {"map"}
        theirs = arrays_of(reference)
        ours = apply(made, theirs)
        np.testing.assert_array_equal(ours["a.weight"], theirs["y.weight"].T)
        np.testing.assert_array_equal(ours["b.weight"], theirs["x.weight"])
        np.testing.assert_array_equal(ours["b.bias"], theirs["x.bias"])


def test_rows_and_stacks(tmp_path, torch):
    import paddle

    fused, apart = torch.nn.Module(), paddle.nn.Layer()
    fused.mixed = torch.nn.Linear(4, 12, bias=False)
    for name in ("one", "two", "three"):
        setattr(apart, name, paddle.nn.Linear(4, 4, bias_attr=False))
    names = ("one", "two", "three")
    split = "[tensors]\n" + "\n".join(
        f'"{name}.weight" = {{ from = "mixed.weight", rows = "{i}/3" }}' for i, name in enumerate(names, 1)
    )
    made = plan(apart, fused, overrides=overrides(tmp_path, split))
    theirs = arrays_of(fused)
    ours = apply(made, theirs)
    np.testing.assert_array_equal(ours["two.weight"], theirs["mixed.weight"][4:8].T)
    np.testing.assert_array_equal(apply(made, ours, "to_reference")["mixed.weight"], theirs["mixed.weight"])

    fused, apart = paddle.nn.Layer(), torch.nn.Module()
    fused.mixed = paddle.nn.Linear(4, 12, bias_attr=False)
    for name in names:
        setattr(apart, name, torch.nn.Linear(4, 4, bias=False))
    stack = '[tensors]\n"mixed.weight" = { from = ["one.weight", "two.weight", "three.weight"] }'
    theirs = arrays_of(apart)
    ours = apply(plan(fused, apart, overrides=overrides(tmp_path, stack)), theirs)
    np.testing.assert_array_equal(ours["mixed.weight"][:, 4:8], theirs["two.weight"].T)


def test_ignored_tensors_need_no_partner(tmp_path, models, torch):
    import paddle

    port, reference = models
    port.register_buffer("mask", paddle.ones([2]))
    reference.register_buffer("position", torch.ones(3))
    chosen = overrides(tmp_path, '[ignore]\nport = ["mask"]\nreference = ["position"]')
    made = plan(port, reference, overrides=chosen)
    assert made.port_kept == {"mask": "ignored by the mapping file"}
    assert made.reference_dropped == {"position": "ignored by the mapping file"}
    assert set(apply(made, arrays_of(reference))) == {"a.weight", "a.bias", "b.weight", "b.bias"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[tensors]\n"c.weight" = "x.weight"', "c.weight: the port has no such tensor"),
        ('[tensors]\n"a.weight" = "z"', "z: the reference has no such tensor"),
        ('[ignore]\nport = ["c"]', "c: the port has no such tensor"),
        ('[tensors]\n"a.weight" = "x.bias"', "x.bias gives shape"),
        ('[tensors]\n"a.bias" = { from = "x.bias", rows = "1/3" }', "no 3 equal blocks of rows"),
        ('[tensors]\n"a.bias" = { from = "x.bias", rows = "3/2" }', "rows 3/2 do not exist"),
    ],
)
def test_what_does_not_fit_the_models_is_named(tmp_path, models, text, words):
    with pytest.raises(InputError, match=words):
        plan(*models, overrides=overrides(tmp_path, text))


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("map.toml", "[tensors", "cannot be parsed"),
        ("map.json", "{", "cannot be parsed"),
        ("map.yaml", "", "ends in .toml or .json"),
        ("map.toml", '[tensors]\n"a" = 3', "tensors.a"),
        ("map.toml", '[tensors]\n"a" = { from = "b", transform = "rotate" }', "transform"),
        ("map.toml", "[tensor]", "tensor: Extra"),
    ],
)
def test_a_bad_mapping_file_names_its_entry(tmp_path, name, text, words):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=words):
        load_overrides(tmp_path / name)
    with pytest.raises(InputError, match="cannot be read"):
        load_overrides(tmp_path / "none.toml")
