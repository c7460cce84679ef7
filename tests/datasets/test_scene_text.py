"""Readers of the ground truth of four data sets of text in pictures."""

import io
import zipfile

import cv2
import numpy as np
import pytest
import scipy.io

from fuxian.datasets import ctw1500, icdar2015, icdar2017_mlt, total_text
from fuxian.datasets.root import find_root
from fuxian.datasets.scene_text import quadrilaterals
from fuxian.errors import InputError


def test_icdar_2015_lines():
    corners = "1,2,30,2,30,12,1,12"
    lines = f'\ufeff{corners},Hello, you\r\n{corners},###\n\n{corners},"###"\n{corners},#1'
    words = quadrilaterals(lines.encode(), "gt_img_1.txt")
    assert [word.text for word in words] == ["Hello, you", "###", '"###"', "#1"]
    assert [word.ignored for word in words] == [False, True, True, False]
    assert [word.trained_on for word in words] == [True, False, True, False]
    assert words[0].polygon.tolist() == [[1, 2], [30, 2], [30, 12], [1, 12]]


def test_icdar_2017_lines_have_the_script_before_the_text():
    (word,) = icdar2017_mlt.read("1,2,3,4,5,6,7,8,Arabic,مرحبا, x".encode(), "gt_img_1.txt")
    assert word.text == "مرحبا, x"


def test_ctw1500_corners_are_relative_to_the_box():
    offsets = list(range(28))
    (word,) = ctw1500.read(("100,200,150,260," + ",".join(map(str, offsets))).encode(), "1.txt")
    assert word.polygon.shape == (14, 2)
    assert word.polygon[1].tolist() == [102, 203]


def test_total_text_in_both_forms():
    text = b"x: [[1 20 20\n 1]], y: [[2 2 9 9]], ornt: [u'h'], transcriptions: [u'It's']\n" + (
        b"x: [[1 2 3]], y: [[4 5 7]], ornt: [u'#'], transcriptions: [u'#']"
    )
    words = total_text.read_text(text, "poly_gt_img1.txt")
    cells = np.empty((2, 6), object)
    for row, (x, y, word) in enumerate([([1, 20, 20, 1], [2, 2, 9, 9], "It's"), ([1, 2, 3], [4, 5, 7], "#")]):
        cells[row] = [
            np.array(["x:"]),
            np.array([x], np.uint16),
            np.array(["y:"]),
            np.array([y]),
            np.array([word]),
            "h",
        ]
    stream = io.BytesIO()
    scipy.io.savemat(stream, {"polygt": cells})
    same = total_text.read_mat(stream.getvalue(), "poly_gt_img1.mat")
    assert [word.text for word in words] == [word.text for word in same] == ["It's", "###"]
    assert [word.polygon.tolist() for word in words] == [word.polygon.tolist() for word in same]
    assert words[1].ignored and not words[0].ignored


@pytest.mark.parametrize(
    ("read", "content"),
    [
        (quadrilaterals, b"1,2,3,4,5,6,7"),
        (quadrilaterals, b"1,2,3,4,5,6,7,x,word"),
        (quadrilaterals, b"1,2,3,4,5,6,7,nan,word"),
        (quadrilaterals, b"1,2,3,4,5,6,7,1e9,word"),
        (quadrilaterals, b"\xff\xfe1"),
        (icdar2017_mlt.read, b"1,2,3,4,5,6,7,8,word"),
        (ctw1500.read, b"1,2,3,4"),
        (total_text.read_text, b"x: [[1 2]], y: [[1 2]], ornt: [u'h'], transcriptions: [u'two']"),
        (total_text.read_text, b"1,2,3"),
        (total_text.read_mat, b"MATLAB 5.0 MAT-file, but not one"),
        (total_text.read_mat, b""),
    ],
)
def test_other_content_is_refused_in_one_sentence(read, content):
    with pytest.raises(InputError) as refused:
        read(content, "file.txt")
    assert str(refused.value).startswith("file.txt")
    assert "\n" not in str(refused.value)


@pytest.fixture
def archives(tmp_path):
    """A folder of data sets with two pictures of ICDAR 2015."""
    folder = tmp_path / "icdar2015"
    folder.mkdir()
    _, jpeg = cv2.imencode(".jpg", np.full((72, 128, 3), 200, np.uint8))
    with zipfile.ZipFile(folder / "ch4_test_images.zip", "w") as images:
        for number in (2, 10):
            images.writestr(f"img_{number}.jpg", jpeg.tobytes())
    with zipfile.ZipFile(folder / "Challenge4_Test_Task1_GT.zip", "w") as truth:
        truth.writestr("gt_img_2.txt", "1,2,3,2,3,5,1,5,word\n")
        truth.writestr("gt_img_10.txt", "")
    return tmp_path


def test_the_archives_are_read_in_the_order_of_their_numbers(archives):
    pictures = icdar2015.load("test", archives)
    assert pictures.numbers == (2, 10)
    assert [len(words) for words in pictures.words] == [1, 0]
    assert pictures.picture(1).shape == (72, 128, 3)


def test_what_is_missing_or_damaged_is_said(archives):
    with pytest.raises(InputError, match="register at"):
        icdar2015.load("train", archives)
    with zipfile.ZipFile(archives / "icdar2015" / "ch4_test_images.zip", "a") as images:
        images.writestr("img_11.jpg", b"no picture")
    with pytest.raises(InputError, match="img_11 are not both there"):
        icdar2015.load("test", archives)
    with zipfile.ZipFile(archives / "icdar2015" / "Challenge4_Test_Task1_GT.zip", "a") as truth:
        truth.writestr("gt_img_11.txt", "")
    with pytest.raises(InputError, match="img_11 of ICDAR 2015 is no whole picture"):
        icdar2015.load("test", archives).picture(2)


def test_the_real_test_part_counts_2077_words():
    if not (find_root() / "icdar2015" / "ch4_test_images.zip").is_file():
        pytest.skip("ICDAR 2015 is not there; set FUXIAN_DATA")
    pictures = icdar2015.load("test")
    assert len(pictures) == 500
    assert sum(not word.ignored for words in pictures.words for word in words) == 2077
    assert pictures.picture(0).shape == (720, 1280, 3)
