"""Hostile and careless folders."""

import os
import pickle
import zipfile

import numpy as np
import pytest

from fuxian.submission.checklist import check
from fuxian.submission.checklist.submitted_files import look
from fuxian.submission.log_reprod import write_dict
from fuxian.submission.manifest import load_manifest


def finding(folder, id):
    found = next(line for line in check(folder) if line.id == id)
    assert (found.what + (found.file or "")).isprintable()
    return found


@pytest.mark.parametrize("target", ["/etc/passwd", "../..", "nowhere", "loop", "weights/../../x"])
def test_links_that_lead_out(submission, target):
    (submission / "loop").symlink_to(target)
    assert finding(submission, "links").status == "fail"


def test_a_link_within_the_submission_is_fine(submission):
    (submission / "data").symlink_to("lite_data")
    assert finding(submission, "links").status == "pass"


def test_a_link_is_never_read_through(submission, tmp_path):
    (tmp_path / "outside.py").write_text("import torch\n")
    (submission / "mixer/sneaky.py").symlink_to(tmp_path / "outside.py")
    (submission / "README.md").unlink()
    (submission / "README.md").symlink_to(tmp_path / "outside.py")
    assert finding(submission, "port-code").status == "pass"
    assert finding(submission, "readme").status == "fail"


def test_a_file_that_becomes_a_link_meanwhile_is_not_read(submission, tmp_path):
    tree = look(load_manifest(submission))
    (tmp_path / "outside").write_text("secret")
    (submission / "README.md").unlink()
    (submission / "README.md").symlink_to(tmp_path / "outside")
    assert tree.text("README.md") == ""


@pytest.mark.parametrize("kind", ["link", "file", "within"])
def test_git_that_is_not_one_plain_repository(submission, tmp_path, kind):
    if kind == "link":
        (tmp_path / "elsewhere").mkdir()
        (submission / ".git").symlink_to(tmp_path / "elsewhere")
    elif kind == "file":
        (submission / ".git").write_text("gitdir: /somewhere")
    else:
        (submission / "mixer/.git").mkdir()
    assert finding(submission, "git").status == "fail"


def test_what_lies_in_git_is_not_looked_at(submission):
    (submission / ".git").mkdir()
    (submission / ".git/hook.pkl").write_text("x")
    assert finding(submission, "pickles").status == "pass"
    assert finding(submission, "git").status == "pass"


@pytest.mark.parametrize(
    "name", [b"\xff\xfe.txt", b"red\x1b[31m.txt", b"new\nline.txt", b"back\\slash", b"n" * 250]
)
def test_names_that_not_every_system_can_hold(submission, name):
    with open(os.fsencode(submission) + b"/" + name, "wb") as file:  # noqa: PTH123
        file.write(b"x")
    assert finding(submission, "names").status == "fail"


def test_a_pipe_is_neither_opened_nor_accepted(submission):
    os.mkfifo(submission / "mixer/pipe.py")
    assert finding(submission, "names").status == "fail"


def test_deep_and_wide_folders_end(submission):
    deep = submission / "/".join(["d"] * 60)
    deep.mkdir(parents=True)
    assert finding(submission, "limits").status == "fail"


def test_a_file_over_the_limit(submission):
    with (submission / "big.bin").open("wb") as file:
        file.truncate(100_000_001)
    assert finding(submission, "limits").file == "big.bin"


class Evil:
    def __reduce__(self):
        return (os.system, ("echo ran > /tmp/fuxian-test-ran",))


@pytest.mark.parametrize("name", ["weights/evil.pdparams", "weights/evil.dat", "evil", "weights/evil.npy"])
def test_pickles_that_run_code_are_found_under_any_name(submission, name):
    holder = np.empty((), object)
    holder[()] = Evil()
    if name.endswith(".npy"):
        np.save(submission / name, holder, allow_pickle=True)
    else:
        (submission / name).write_bytes(pickle.dumps(Evil(), protocol=4))
    assert finding(submission, "pickles").file == name


def test_a_torch_file_that_runs_code(submission):
    with zipfile.ZipFile(submission / "weights/evil.pth", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Evil(), protocol=2))
    assert finding(submission, "pickles").file == "weights/evil.pth"


def test_paddle_weights_are_fine_when_they_are_inert(submission):
    arrays = {"linear.weight": np.ones((2, 3), np.float32)}
    (submission / "weights/best.pdparams").write_bytes(pickle.dumps(arrays, protocol=4))
    assert finding(submission, "pickles").status == "pass"


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_the_official_alignment_files_are_inert(submission, protocol):
    write_dict(submission / "forward_paddle.npy", {"logits": np.arange(6.0).reshape(2, 3)})
    holder = np.empty((), object)
    holder[()] = {"logits": np.arange(6.0), "figure": np.float64(1)}
    with (submission / "forward_torch.npy").open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, {"descr": "|O", "fortran_order": False, "shape": ()})
        pickle.dump(holder, stream, protocol=protocol)
    found = finding(submission, "pickles")
    assert (found.status, found.file) == ("pass", None)
    assert np.load(submission / "forward_paddle.npy", allow_pickle=True).tolist()["logits"].shape == (2, 3)


def test_a_name_that_another_one_hides_is_found(submission):
    """STACK_GLOBAL takes what lies on the stack, not what was pushed last: os.system under two popped strings."""
    code = b"".join(b"\x8c" + bytes([len(text)]) + text for text in (b"os", b"system", b"numpy", b"ndarray"))
    program = b"\x80\x04" + code + b"00" + b"\x93" + b"\x8c\x04true\x85R."
    with (submission / "hidden.npy").open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, {"descr": "|O", "fortran_order": False, "shape": ()})
        stream.write(program)
    assert finding(submission, "pickles").file == "hidden.npy"


def test_leftovers_that_git_ignores_are_no_leftovers(submission):
    (submission / "mixer/__pycache__").mkdir()
    assert finding(submission, "leftovers").status == "fail"
    (submission / ".gitignore").write_text("# made by Python\n__pycache__/\n")
    assert finding(submission, "leftovers").status == "pass"


def test_a_pickle_of_arrays_alone_runs_no_code_under_any_name(submission):
    arrays = {"w": np.ones((2, 3), np.float32), "names": ["a", "b"], "epoch": 3}
    (submission / "lite_data/episodes.pkl").write_bytes(pickle.dumps(arrays, protocol=4))
    (submission / "model.pdiparams.info").write_bytes(pickle.dumps({"w": {"trainable": True}}, protocol=2))
    assert finding(submission, "pickles").status == "pass"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        (
            "weights/w.pdparams",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
            "git LFS",
        ),
        ("tools/op.so", b"\x7fELF\x02\x01", "one kind of machine"),
        ("._README.md", b"\x00\x05\x16\x07", "Mac"),
        ("lite_data/empty.npy", b"", "empty"),
    ],
)
def test_files_that_are_not_what_their_names_say(submission, name, content, words):
    assert finding(submission, "contents").status == "pass"
    (submission / name).write_bytes(content)
    found = finding(submission, "contents")
    assert (found.status, found.file) == ("fail", name)
    assert words in found.what
