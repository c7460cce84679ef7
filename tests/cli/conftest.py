"""What tests of commands share: a command run in this process as a user types it."""

import sys

import numpy as np
import pytest

SHAPES = {"w1": (1, 40), "b1": (40,), "w2": (40, 40), "b2": (40,), "w3": (40, 1), "b3": (1,)}


@pytest.fixture
def fuxian(monkeypatch, capfd, tmp_path):
    """``fuxian(*arguments)`` gives exit code, stdout and stderr of the command."""
    from fuxian.cli import main

    monkeypatch.setenv("FUXIAN_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(main, "prepare", lambda: None)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["fuxian", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as caught:
            main.run()
        return caught.value.code, *capfd.readouterr()

    return run


@pytest.fixture
def sinusoid(tmp_path):
    """``maml/sinusoid-10shot --weights FILE``, and a task of two numbers in ``tmp_path``."""
    from fuxian.weights import save_tensors

    (tmp_path / "support.csv").write_text("x,y\n0,0\n1,1\n")
    (tmp_path / "query.csv").write_text("x\n0.25\n2\n")
    rng = np.random.default_rng(0)
    tensors = {name: rng.normal(0, 0.1, shape).astype(np.float32) for name, shape in SHAPES.items()}
    save_tensors(tmp_path / "weights.safetensors", tensors)
    return ["maml/sinusoid-10shot", "--weights", tmp_path / "weights.safetensors"]
