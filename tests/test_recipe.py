"""Recipes: trees of arrays, frameworks by class, and recipe files."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuxian.errors import InputError
from fuxian.recipe import framework_of, leaves, load_recipe, map_tree, to_arrays, to_tensors

TREES = st.recursive(
    st.integers(),
    lambda part: st.lists(part) | st.tuples(part, part) | st.dictionaries(st.sampled_from("abc"), part),
)


@given(TREES)
def test_map_tree_keeps_the_tree_and_leaves_its_order(tree):
    doubled = map_tree(lambda leaf: 2 * leaf, tree)
    assert [(path, 2 * leaf) for path, leaf in leaves(tree)] == leaves(doubled)
    assert map_tree(lambda leaf: leaf, tree) == tree
    assert len({path for path, _ in leaves(tree)}) == len(leaves(tree))


def test_leaves_have_dotted_paths():
    assert leaves(({"boxes": [1, 2]}, 3)) == [("0.boxes.0", 1), ("0.boxes.1", 2), ("1", 3)]
    assert leaves(5) == [("", 5)]


@pytest.mark.parametrize("framework", ["paddle", "torch"])
def test_arrays_become_tensors_and_come_back_detached(framework):
    pytest.importorskip(framework, reason=f"{framework} is not installed")
    tree = {"a": (np.arange(3.0), [np.ones((2, 2), np.int64), "id", None])}
    tensors = to_tensors(framework, tree)
    assert type(tensors["a"][0]).__module__.startswith(framework)
    back = to_arrays(tensors)
    np.testing.assert_array_equal(back["a"][0], tree["a"][0])
    assert back["a"][0].dtype == np.float64 and back["a"][1][0].dtype == np.int64
    assert back["a"][1][1:] == ["id", None]


def test_the_framework_follows_from_the_class():
    import paddle

    torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'fuxian[reference]'")
    assert framework_of(paddle.nn.Linear(1, 1)) == "paddle"
    assert framework_of(torch.nn.Linear(1, 1)) == "torch"
    with pytest.raises(InputError, match="int"):
        framework_of(1)


def test_a_recipe_file_is_loaded(tmp_path):
    file = tmp_path / "port.py"
    file.write_text("from fuxian.recipe import Recipe\ndef recipe():\n    return Recipe(model=lambda: 7)\n")
    assert load_recipe(str(file)).model() == 7
    assert load_recipe("fuxian.papers.maml.recipe:recipe").higher_order


@pytest.mark.parametrize(
    "source", ["absent.py", "no_colon", "no.such.module:recipe", "fuxian.recipe:nothing"]
)
def test_what_is_no_recipe_is_one_sentence(source):
    with pytest.raises(InputError) as caught:
        load_recipe(source)
    assert "\n" not in str(caught.value)


def test_a_file_without_a_recipe_is_one_sentence(tmp_path):
    file = tmp_path / "empty.py"
    file.write_text("recipe = 5\n")
    with pytest.raises(InputError, match="no recipe"):
        load_recipe(str(file))


def test_two_recipes_with_siblings_of_one_name_get_their_own(tmp_path):
    for number, side in enumerate(("ours", "theirs")):
        (tmp_path / side).mkdir()
        (tmp_path / side / "model.py").write_text(f"NUMBER = {number}\n")
        (tmp_path / side / "recipe.py").write_text(
            "import model\nfrom fuxian.recipe import Recipe\n"
            "def recipe():\n    return Recipe(model=lambda: model.NUMBER)\n"
        )
    made = [load_recipe(str(tmp_path / side / "recipe.py")).model() for side in ("ours", "theirs")]
    assert made == [0, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def recipe(:\n", "bad.py:1: invalid syntax"),
        ("\nimport no_such_module\n", "bad.py:2: ModuleNotFoundError: No module named 'no_such_module'"),
        ("def recipe():\n    return 1 / 0\n", "bad.py:2: ZeroDivisionError"),
    ],
)
def test_a_mistake_in_a_recipe_file_is_one_sentence_with_its_line(tmp_path, text, message):
    file = tmp_path / "bad.py"
    file.write_text(text)
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        load_recipe(str(file))
    assert "\n" not in str(caught.value)
