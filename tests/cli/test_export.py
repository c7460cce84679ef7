import importlib.util
import json

from fuxian.papers import exporting, onnx_export


def test_the_network_is_written_by_a_child_that_imports_nothing_from_here(
    fuxian, sinusoid, tmp_path, monkeypatch
):
    for module in ("paddle", "json", "fuxian"):
        (tmp_path / f"{module}.py").write_text("raise SystemExit('imported from the working directory')")
    monkeypatch.chdir(tmp_path)
    task = ["--task", tmp_path, "--steps", 2, "--out", tmp_path / "out"]
    onnx = ["--onnx"] if all(importlib.util.find_spec(name) for name in onnx_export.PACKAGES) else []
    code, out, err = fuxian("export", *sinusoid, *task, *onnx, "--json")
    assert code == 0, err
    document = json.loads(out)
    assert (document["paper"], document["claim"], document["about"]["steps"]) == (
        "maml",
        "sinusoid-10shot",
        2,
    )
    assert document["out"] == str(tmp_path / "out")
    assert document["check"]["max_difference"] < 5e-5
    assert document["files"] == sorted(path.name for path in (tmp_path / "out").iterdir())
    written = ["model.onnx"] if onnx else []
    assert document["files"] == ["inference.json", "model.json", *written, "model.pdiparams"]
    assert not onnx or document["onnx"]["max_difference"] < 5e-5


def test_what_was_written_is_said(fuxian, sinusoid, tmp_path, monkeypatch):
    check = {"max_difference": 2e-6}
    inputs = [{"name": "x", "dtype": "float32", "shape": ["batch", 1], "preprocessing": "as it is"}]
    made = {
        "files": ["model.json"],
        "inputs": inputs,
        "check": check,
        "onednn": False,
        "why": "it dies (SIGSEGV)",
    }
    monkeypatch.setattr(exporting, "export", lambda *_arguments, **_options: made)
    code, out, _ = fuxian("export", *sinusoid, "--task", tmp_path, "--out", tmp_path / "out")
    assert code == 0
    assert f"Exported: {tmp_path / 'out'} (model.json)" in out
    for words in ("float32 [batch, 1]; as it is", "2.0e-06", "SIGSEGV"):
        assert words in out


def test_a_papers_own_options_are_asked_for_and_shown(fuxian, sinusoid, tmp_path):
    code, _, err = fuxian("export", *sinusoid, "--out", tmp_path / "out")
    assert code == 2 and "--task" in err
    code, out, _ = fuxian("export", "maml", "--help")
    assert code == 0 and "--task PATH" in out and "[required]" in out
