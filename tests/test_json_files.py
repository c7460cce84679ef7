import json
import math
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuxian.json_files import json_text, write_json


class Colour(StrEnum):
    red = "red"


@dataclass
class Row:
    name: str
    agrees: np.bool_


def test_what_commands_hold_becomes_plain_json():
    document = {
        "agrees": np.bool_(True),
        "n": np.int64(3),
        "error": np.float32(0.5),
        "array": np.arange(4).reshape(2, 2),
        "never": [math.nan, math.inf, -np.inf, np.float64("nan")],
        "path": Path("a/b"),
        "colour": Colour.red,
        "row": Row("字", np.bool_(False)),
        "set": {"b", "a"},
        3: (None, True),
    }
    assert json.loads(json_text(document)) == {
        "agrees": True,
        "n": 3,
        "error": 0.5,
        "array": [[0, 1], [2, 3]],
        "never": ["nan", "inf", "-inf", "nan"],
        "path": "a/b",
        "colour": "red",
        "row": {"name": "字", "agrees": False},
        "set": ["a", "b"],
        "3": [None, True],
    }
    assert "\n" not in json_text(document)
    assert math.isnan(float(json.loads(json_text(math.nan))))


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
                    | st.text(), lambda one: st.lists(one) | st.dictionaries(st.text(), one)))  # fmt: skip
def test_plain_documents_read_back_as_they_were(document):
    assert json.loads(json_text(document)) == document


def test_what_has_no_place_in_json_is_an_error_and_leaves_the_file_as_it_was(tmp_path):
    file = tmp_path / "a.json"
    write_json(file, {"a": np.float64(1)})
    with pytest.raises(TypeError, match="object has no place"):
        write_json(file, {"a": object()})
    assert json.loads(file.read_text()) == {"a": 1.0}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
