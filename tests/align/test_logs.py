import pickle

import numpy as np
import pytest

from fuxian.align.logs import compare_logs, read_log
from fuxian.errors import InputError


def log(path, **arrays):
    np.save(path, arrays)  # what reprod_log writes
    return path


def test_a_log_of_reprod_log_is_read(tmp_path):
    path = log(tmp_path / "forward_paddle.npy", logits=np.arange(6.0).reshape(2, 3), flag=np.array([True]))
    found = read_log(path)
    assert np.array_equal(found["logits"], np.arange(6.0).reshape(2, 3))
    assert found["flag"].dtype == bool


class Malicious:
    def __reduce__(self):
        return eval, ("__import__('pathlib').Path(target).touch()", {"target": Malicious.target})


def test_a_malicious_pickle_is_refused_and_not_run(tmp_path):
    Malicious.target = str(tmp_path / "owned")
    path = tmp_path / "evil.npy"
    np.save(path, {"logits": Malicious()})
    with pytest.raises(InputError, match="no code in it was run"):
        read_log(path)
    assert not (tmp_path / "owned").exists()


def test_what_is_no_log_is_refused(tmp_path):
    (tmp_path / "a.npy").write_bytes(pickle.dumps({"x": 1}))
    np.save(tmp_path / "b.npy", np.ones(3))
    np.save(tmp_path / "c.npy", {"x": "text"})
    for name in ("a.npy", "b.npy", "c.npy", "missing.npy"):
        with pytest.raises(InputError):
            read_log(tmp_path / name)


@pytest.mark.parametrize(
    ("port", "reference"),
    [
        ({"x": np.array([np.nan])}, {"x": np.array([1.0])}),
        ({}, {"x": np.array([1.0])}),
        ({"x": np.ones(1)}, {"x": np.ones((5, 4))}),
        ({"x": np.arange(4.0).reshape(2, 2).T}, {"x": np.arange(4.0).reshape(2, 2)}),
        ({"x": np.full(9, -5e-7)}, {"x": np.full(9, 1e-7)}),
    ],
)
def test_what_reprod_log_lets_pass_diverges(tmp_path, port, reference):
    result = compare_logs(log(tmp_path / "p.npy", **port), log(tmp_path / "t.npy", **reference), 1e-6)
    assert result["verdict"] == "diverged"


def test_two_empty_logs_do_not_pass(tmp_path):
    assert compare_logs(log(tmp_path / "p.npy"), log(tmp_path / "t.npy"), 1e-6)["verdict"] == "inconclusive"
