"""Portraits in the three layouts that are read, made here."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from fuxian.datasets.portraits import load
from fuxian.errors import InputError


def _picture(kind: str, size: tuple[int, int] = (8, 6)) -> bytes:
    out = io.BytesIO()
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    pixels[..., 0] = 250
    Image.fromarray(pixels).save(out, kind, quality=95)
    return out.getvalue()


def _mask(person: int, other: int = 0, size: tuple[int, int] = (8, 6)) -> bytes:
    grey = np.zeros((size[1], size[0]), np.uint8)
    grey[:3] = person
    grey[-1] = other
    out = io.BytesIO()
    Image.fromarray(grey).save(out, "PNG")
    return out.getvalue()


WANTED = np.repeat([1, 1, 1, 0, 0, 0], 8).reshape(6, 8)


def _zip(root, members: dict[str, bytes]) -> None:
    (root / "portraits").mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(root / "portraits" / "portraits.zip", "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


GOOD = {
    "images/0001.jpg": _picture("JPEG"),
    "masks/0001.png": _mask(255),
    "images/0002.jpg": _picture("JPEG"),
    "masks/0002.png": _mask(255),
    "train.txt": b"0001\n",
    "test.txt": b"0002\n",
}


def test_the_zip_archive(tmp_path):
    _zip(tmp_path, GOOD)
    test = load("portraits", "test", tmp_path)
    assert test.names == ("0002",) and len(test) == 1
    picture, mask = test[0]
    assert picture.shape == (6, 8, 3) and picture[0, 0, 0] > 200 > picture[0, 0, 2]
    np.testing.assert_array_equal(mask, WANTED)


def test_eg1800_counts_only_the_label_1(tmp_path):
    folder = tmp_path / "eg1800"
    for name in ("Images", "Labels"):
        (folder / name).mkdir(parents=True)
    (folder / "eg1800_train.txt").write_text("00001.png\n")
    (folder / "Images" / "00001.png").write_bytes(_picture("PNG"))
    (folder / "Labels" / "00001.png").write_bytes(_mask(1, other=2))
    np.testing.assert_array_equal(load("eg1800", "train", tmp_path)[0][1], WANTED)


def test_supervise_portrait_has_its_masks_beside_the_pictures(tmp_path):
    folder = tmp_path / "supervise-portrait"
    for name in ("img", "ann"):
        (folder / "ds6" / name).mkdir(parents=True)
    (folder / "supervisely_face_test_easy.txt").write_text("ds6/img/a.png\n")
    (folder / "ds6" / "img" / "a.png").write_bytes(_picture("PNG"))
    (folder / "ds6" / "ann" / "a.png").write_bytes(_mask(7))
    np.testing.assert_array_equal(load("supervise-portrait", "test", tmp_path)[0][1], WANTED)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"masks/0002.png": None}, "holds no masks/0002.png"),
        ({"test.txt": None}, "holds no test.txt"),
        ({"test.txt": b""}, "names no picture"),
        ({"masks/0002.png": b"no"}, "its mask is no whole"),
        ({"images/0002.jpg": b"no"}, "not a whole JPEG"),
        ({"masks/0002.png": _mask(255, size=(4, 4))}, "take both from the same release"),
    ],
)
def test_what_is_wrong_is_one_sentence(tmp_path, changed, said):
    _zip(tmp_path, {name: content for name, content in {**GOOD, **changed}.items() if content is not None})
    with pytest.raises(InputError, match=said):
        load("portraits", "test", tmp_path)[0]


def test_absent_data_and_lists_that_lead_elsewhere(tmp_path):
    for name in ("portraits", "eg1800", "supervise-portrait"):
        with pytest.raises(InputError, match="put there"):
            load(name, "train", tmp_path)
    (tmp_path / "eg1800").mkdir()
    (tmp_path / "eg1800" / "eg1800_test.txt").write_text("../../etc/passwd\n")
    with pytest.raises(InputError, match="leads out of its folder"):
        load("eg1800", "test", tmp_path)
