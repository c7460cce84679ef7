import json
import sys

import numpy as np
import pytest

from fuxian.align.recording import Recording, RecordingWriter, regenerate
from fuxian.errors import InputError


def written(folder, small=False, **tensors):
    with RecordingWriter(folder, framework="other", small=small) as writer:
        for name, array in tensors.items():
            writer.put(name, array)
        writer.data["stages"]["forward"] = {"value": float("nan")}
    return Recording(folder)


def test_what_was_written_is_read(tmp_path):
    values = {"a": np.arange(6).reshape(2, 3), "b": np.float32(2.5).reshape(()), "c": np.array([True])}
    recording = written(tmp_path / "r", **values)
    for name, array in values.items():
        assert np.array_equal(recording.get(name), array)
        assert recording.get(name).dtype == array.dtype
    assert recording.stages["forward"]["value"] == "nan"


def test_shards_are_streamed(tmp_path, monkeypatch):
    monkeypatch.setattr("fuxian.align.recording.SHARD_BYTES", 1000)
    recording = written(tmp_path / "r", **{f"t{i}": np.full(200, i) for i in range(5)})
    assert len(list((tmp_path / "r").glob("*.safetensors"))) == 5
    assert recording.get("t3")[0] == 3


def test_a_small_recording_keeps_sketches_of_large_tensors(tmp_path):
    recording = written(tmp_path / "r", small=True, large=np.ones(20_000), little=np.ones(100))
    assert recording.kept("little")
    assert not recording.kept("large")
    assert recording.sketch("large")[0] == 20_000
    with pytest.raises(InputError, match="sketch"):
        recording.get("large")


def test_named_seeds_take_no_space(tmp_path):
    source = {"seed": 3, "draw": "normal", "shape": [500, 500], "dtype": "float32"}
    with RecordingWriter(tmp_path / "r", framework="other") as writer:
        writer.put("x", regenerate(source), source=source)
        with pytest.raises(InputError, match="does not regenerate"):
            writer.put("y", np.zeros((500, 500), "float32"), source=source)
    assert np.array_equal(Recording(tmp_path / "r").get("x"), regenerate(source))
    assert sum(file.stat().st_size for file in (tmp_path / "r").iterdir()) < 2000


@pytest.mark.parametrize("shard", ["../secret.safetensors", "/etc/passwd", "tensors-1.safetensors"])
def test_a_shard_outside_the_folder_is_refused(tmp_path, shard):
    written(tmp_path / "r", a=np.ones(3))
    path = tmp_path / "r" / "recording.json"
    data = json.loads(path.read_text())
    data["tensors"]["a"]["shard"] = shard
    path.write_text(json.dumps(data))
    with pytest.raises(InputError, match="shard"):
        Recording(tmp_path / "r")


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": 99, "tensors": {}, "framework": "x", "stages": {}}']
)
def test_a_damaged_recording_is_refused(tmp_path, text):
    (tmp_path / "recording.json").write_text(text)
    with pytest.raises(InputError):
        Recording(tmp_path)


def test_a_pickle_in_place_of_a_shard_is_refused(tmp_path):
    recording = written(tmp_path / "r", a=np.ones(3))
    (tmp_path / "r" / "tensors-000.safetensors").write_bytes(b"cos\nsystem\n(S'touch /tmp/never'\ntR.")
    with pytest.raises(InputError):
        recording.get("a")


def test_neither_framework_is_imported():
    import subprocess

    code = (
        "import sys, fuxian.align, fuxian.align.recording, fuxian.align.alignment, fuxian.align.logs;"
        "sys.exit(any(name in sys.modules for name in ('paddle', 'torch')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
