"""insightface's formats: what other programs wrote is read, what is hostile or damaged is one sentence."""

from __future__ import annotations

import io
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fuxian.errors import InputError
from fuxian.papers.arcface.formats import Records, image_folder, read_bin, verification_pictures


def _jpeg(shade: int, side: int = 12) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (side, side), (shade, 20, 200)).save(out, "JPEG", quality=95)
    return out.getvalue()


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("kind", ["bytes", "arrays"])
def test_a_verification_set_of_any_age_is_read(tmp_path, protocol, kind):
    pictures = [_jpeg(shade) for shade in (10, 60, 110, 160)]
    held = pictures if kind == "bytes" else [np.frombuffer(one, np.uint8) for one in pictures]
    (tmp_path / "lfw.bin").write_bytes(pickle.dumps((held, [True, False]), protocol))
    read = read_bin(tmp_path / "lfw.bin")
    assert read.pictures == pictures
    assert read.same.tolist() == [True, False]
    images, same = verification_pictures(tmp_path / "lfw.bin", 8)
    assert images.shape == (4, 8, 8, 3) and len(same) == 2
    assert np.abs(images[:, 0, 0].astype(int) - [[s, 20, 200] for s in (10, 60, 110, 160)]).max() <= 4


def test_python_2_byte_strings_are_read(tmp_path):
    content = b"\xff\xd8\x80"
    data = b"\x80\x02](U\x03" + content + b"U\x03" + content + b"e](\x88e\x86."
    (tmp_path / "lfw.bin").write_bytes(data)
    assert read_bin(tmp_path / "lfw.bin").pictures == [content, content]


class _Evil:
    def __reduce__(self):
        return (Path.touch, (Path("stolen"),))


@pytest.mark.parametrize(
    "content",
    [
        pickle.dumps(([_Evil()], [True])),
        pickle.dumps(([b"one"], [True])),
        pickle.dumps(([b"one", b"two"], [7])),
        pickle.dumps("nothing of the kind"),
        b"",
        pickle.dumps(([b"a", b"b"], [True]))[:-9],
    ],
)
def test_anything_else_is_refused_and_not_run(tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.bin").write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.bin"):
        read_bin(tmp_path / "bad.bin")
    assert not (tmp_path / "stolen").exists()


def _write_records(folder: Path, rows: list[tuple[list[float], bytes]]) -> Path:
    """MXNet's RecordIO: magic, length, header (flag, label, id, id2), labels where the flag counts some, padding."""
    index, content = [], b""
    for key, (label, picture) in enumerate(rows):
        index.append(f"{key}\t{len(content)}")
        several = len(label) > 1
        body = struct.pack("<IfQQ", len(label) if several else 0, 0.0 if several else label[0], key, 0)
        body += (np.array(label, "<f4").tobytes() if several else b"") + picture
        content += struct.pack("<II", 0xCED7230A, len(body)) + body + b"\0" * (-len(body) % 4)
    (folder / "train.idx").write_text("\n".join(index) + "\n")
    (folder / "train.rec").write_bytes(content)
    return folder / "train.rec"


def test_records_are_read_in_insightfaces_form(tmp_path):
    pictures = [_jpeg(10), _jpeg(90), _jpeg(200)]
    # Record 0 says that the pictures are 1 to 3; what follows describes the classes.
    rows = [
        ([4.0, 6.0], b""),
        ([0.0], pictures[0]),
        ([1.0], pictures[1]),
        ([1.0, 0.5], pictures[2]),
        ([1.0, 3.0], b""),
    ]
    records = Records(_write_records(tmp_path, rows))
    assert [records[i] for i in range(len(records))] == list(zip(pictures, [0, 1, 1], strict=True))


def test_records_without_a_first_record_of_their_own_are_all_pictures(tmp_path):
    records = Records(_write_records(tmp_path, [([5.0], b"a"), ([6.0], b"b")]))
    assert [records[i] for i in range(2)] == [(b"a", 5), (b"b", 6)]


@pytest.mark.parametrize("damage", ["cut", "shifted", "no index", "bad index"])
def test_damaged_records_are_named(tmp_path, damage):
    rec = _write_records(tmp_path, [([0.0], _jpeg(1)), ([1.0], _jpeg(2))])
    index = tmp_path / "train.idx"
    if damage == "cut":
        rec.write_bytes(rec.read_bytes()[:-40])
    elif damage == "shifted":
        index.write_text("0\t0\n1\t12\n")
    elif damage == "no index":
        index.unlink()
    else:
        index.write_text("0\tzero\n")
    with pytest.raises(InputError, match=r"train\.(rec|idx)"):
        Records(rec)[1]


def test_a_folder_of_people(tmp_path):
    for name, count in (("b", 1), ("a", 2)):
        (tmp_path / name).mkdir()
        for number in range(count):
            (tmp_path / name / f"{number}.jpg").write_bytes(_jpeg(number))
    files, classes, names = image_folder(tmp_path)
    assert [file.relative_to(tmp_path).as_posix() for file in files] == ["a/0.jpg", "a/1.jpg", "b/0.jpg"]
    assert classes.tolist() == [0, 0, 1] and names == ["a", "b"]
    (tmp_path / "c").mkdir()
    with pytest.raises(InputError, match="c holds no picture"):
        image_folder(tmp_path)
