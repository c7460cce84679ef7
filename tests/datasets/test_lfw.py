"""LFW's formats: the official pairs, pictures from an archive or a folder."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fuxian.datasets import find_root, lfw
from fuxian.errors import InputError

PAIRS = "2\t1\nann\t1\t2\nann\t1\tbob\t1\ncid\t1\t2\nbob\t1\tcid\t2\n"


def _png(shade: int, side: int = 8) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (side, side), (shade, shade, shade)).save(out, "PNG")
    return out.getvalue()


def _root(folder: Path, *, zipped: bool, pairs: str = PAIRS) -> Path:
    (folder / "lfw").mkdir()
    (folder / "lfw" / "pairs.txt").write_text(pairs)
    names = [
        "ann/ann_0001.png",
        "ann/ann_0002.png",
        "bob/bob_0001.png",
        "cid/cid_0001.png",
        "cid/cid_0002.png",
    ]
    if zipped:
        with zipfile.ZipFile(folder / "lfw" / "lfw.zip", "w") as archive:
            for shade, name in enumerate(names):
                archive.writestr(f"lfw/{name}", _png(shade * 10))
    else:
        for shade, name in enumerate(names):
            file = folder / "lfw" / "lfw" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(_png(shade * 10))
    return folder


@pytest.mark.parametrize("zipped", [True, False])
def test_pictures_and_pairs_are_read(tmp_path, zipped):
    data = lfw.load(_root(tmp_path, zipped=zipped), side=4)
    assert data.images.shape == (5, 4, 4, 3)
    assert data.images[:, 0, 0, 0].tolist() == [0, 10, 20, 30, 40]
    assert [(pair.same, pair.fold) for pair in data.pairs] == [(True, 0), (False, 0), (True, 1), (False, 1)]
    assert data.indices().tolist() == [[0, 1], [0, 2], [3, 4], [2, 4]]
    assert lfw.by_person(data.faces) == {"ann": [0, 1], "bob": [2], "cid": [3, 4]}


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        ("", "line 1"),
        ("ten\t300\n", "line 1"),
        ("1\t1\nann\t1\t2\n", "promises"),
        ("1\t1\nann\t1\nann\t1\tbob\t1\n", "line 2"),
        ("1\t1\nann\t1\t2\nann\t1\t2\n", "line 3"),
        ("1\t1\nann\t1\t2\nann\t0\tbob\t1\n", "line 3"),
        ("1\t1\n../ann\t1\t2\nann\t1\tbob\t1\n", "line 2"),
        ("1\t1\nann\t1\t9\nann\t1\tbob\t1\n", "picture 9 of ann"),
    ],
)
def test_other_pairs_are_one_sentence(tmp_path, pairs, said):
    with pytest.raises(InputError, match=said):
        lfw.load(_root(tmp_path, zipped=True, pairs=pairs))


def test_without_pictures_it_says_where_they_belong(tmp_path):
    with pytest.raises(InputError, match=r"lfw\.zip"):
        lfw.load(tmp_path)


def test_a_damaged_picture_is_named():
    with pytest.raises(InputError, match="here is not a whole"):
        lfw.decode(_png(3)[:40], "here")


def test_shrinking_is_the_mean_of_the_pixels():
    image = np.arange(4 * 4 * 3, dtype=np.uint8).reshape(4, 4, 3) * 5
    out = io.BytesIO()
    Image.fromarray(image).save(out, "PNG")
    mean = image.reshape(2, 2, 2, 2, 3).mean((1, 3))
    assert np.abs(lfw.decode(out.getvalue(), "here", 2) - mean).max() <= 0.5


@pytest.mark.skipif(not (find_root() / "lfw" / "pairs.txt").is_file(), reason="LFW is not on this machine")
def test_no_person_of_the_official_pairs_is_in_two_folds():
    pairs = lfw.read_pairs(find_root() / "lfw" / "pairs.txt")
    assert len(pairs) == 6000 and sum(pair.same for pair in pairs) == 3000
    folds: dict[str, set[int]] = {}
    for pair in pairs:
        for person, _ in (pair.first, pair.second):
            folds.setdefault(person, set()).add(pair.fold)
    assert all(len(own) == 1 for own in folds.values())
