"""The line that makes a layer, from the line that calls it."""

import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="live references need torch: pip install 'fuxian[reference]'")
sys.path.insert(0, str(Path(__file__).parents[1]))

import pairs

from fuxian.align import align
from fuxian.align.diagnose import constructor

SOURCE = """
class Other:
    def __init__(self):
        self.norm = make()

class Net:
    def __init__(self):
        self.first, self.norm = make(), make(epsilon=1e-3)
        self.blocks = [make() for _ in range(3)]

    def forward(self, x):
        return self.norm(self.blocks[0](x))
"""


@pytest.mark.parametrize(("place", "line"), [("net.norm", 8), ("net.blocks.0", 9), ("net.missing", None)])
def test_the_assignment_in_the_class_that_calls_the_layer(tmp_path, place, line):
    file = tmp_path / "port.py"
    file.write_text(SOURCE)
    assert constructor.line(f"{file}:12", place) == ("" if line is None else f"{file}:{line}")


def test_a_source_that_cannot_be_read_gives_no_line(tmp_path):
    (tmp_path / "port.py").write_text("class Net(:\n")
    for called in (
        "",
        "port.py",
        f"{tmp_path / 'port.py'}:1",
        f"{tmp_path / 'absent.py'}:1",
        f"{tmp_path}:1",
    ):
        assert constructor.line(called, "norm") == ""


@pytest.mark.parametrize(
    ("mistake", "stage", "written"),
    [
        ({"epsilon": 1e-3}, "forward", "self.bn = paddle.nn.BatchNorm2D("),
        ({"rate": 0.1}, "training_mode", "self.drop = paddle.nn.Dropout("),
        ({"approximate": True}, "forward", "gelu(y, approximate="),
    ],
)
def test_a_layers_setting_is_changed_where_the_layer_is_made_a_calls_where_it_is_called(
    mistake, stage, written
):
    found = align(pairs.port(**mistake), pairs.reference(), stages=(stage,))
    file, _, number = found.diagnosis.line.rpartition(":")
    assert written in Path(file).read_text().splitlines()[int(number) - 1]
