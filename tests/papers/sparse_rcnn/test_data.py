"""Readers and batches: COCO's and Pascal VOC's forms, what is refused, and what augmentation keeps."""

import copy
import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from fuxian.datasets import bccd, coco, voc
from fuxian.errors import InputError
from fuxian.papers.sparse_rcnn import data
from fuxian.papers.sparse_rcnn.classes import CLASSES
from fuxian.papers.sparse_rcnn.settings import ALIGNED, Crop

SETTING = ALIGNED["bccd"]
DOCUMENT = {
    "categories": [{"id": 7, "name": "train"}, {"id": 2, "name": "bicycle"}],
    "images": [{"id": 5, "file_name": "b.png"}, {"id": 3, "file_name": "a.png"}],
    "annotations": [
        {"image_id": 5, "category_id": 7, "bbox": [1, 2, 30, 40.5], "iscrowd": 0, "area": 100.0},
        {"image_id": 5, "category_id": 2, "bbox": [0, 0, 50, 50], "iscrowd": 1, "area": 2000.0},
        {"image_id": 5, "category_id": 2, "bbox": [9, 9, 0, 5], "iscrowd": 0},
    ],
}
XML = """<annotation><filename>x/a.jpg</filename>{}</annotation>"""
OBJECT = "<object><name>{}</name><bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox></object>"


def test_cocos_objects_are_read_in_the_order_of_its_numbers(tmp_path):
    folder = tmp_path / "coco"
    (folder / "annotations").mkdir(parents=True)
    (folder / "annotations" / "instances_val2017.json").write_text(json.dumps(DOCUMENT))
    (folder / "val2017").mkdir()
    Image.new("RGB", (60, 50), (200, 10, 10)).save(folder / "val2017" / "a.png")
    found = coco.load(root=tmp_path)
    assert found.classes == ("bicycle", "train") and found.category_ids == (2, 7)
    empty, full = found.images
    assert (empty.name, empty.id, len(empty.boxes)) == ("a.png", 3, 0)
    assert full.boxes.tolist() == [[1, 2, 31, 42.5], [0, 0, 50, 50], [9, 9, 9, 14]]
    assert full.classes.tolist() == [1, 0, 0] and full.crowd.tolist() == [False, True, False]
    assert full.areas.tolist() == [100, 2000, 0]
    assert found.picture(0).shape == (50, 60, 3) and found.picture(0)[0, 0].tolist() == [200, 10, 10]
    with pytest.raises(InputError, match=r"b\.png is annotated and not there"):
        found.picture(1)
    with zipfile.ZipFile(folder / "part.zip", "w") as zipped:
        zipped.write(folder / "val2017" / "a.png", "part/a.png")
    (folder / "instances_part.json").write_text(json.dumps(DOCUMENT))
    assert np.array_equal(coco.load(part="part", root=tmp_path).picture(0), found.picture(0))
    with pytest.raises(InputError, match=r"instances_train2017\.json is not there"):
        coco.load(part="train2017", root=tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d.pop("images"), "'images' is missing"),
        (lambda d: d["annotations"][0].update(image_id=99), "picture 99, which is not listed"),
        (lambda d: d["annotations"][0].update(category_id=99), "not in COCO's form"),
        (lambda d: d["annotations"][0].update(bbox=[1, 2, 3]), "not in COCO's form"),
        (lambda d: d["annotations"][0].update(bbox=[1, 2, -3, 4]), r"no \[x, y, width, height\]"),
        (lambda d: d["annotations"][0].update(bbox=[1, 2, float("nan"), 4]), r"no \[x, y, width, height\]"),
        (lambda d: d["images"][0].update(file_name="../b.png"), "no plain file name"),
        (lambda d: d["images"][0].update(id=3), "stands twice"),
    ],
)
def test_what_is_not_in_cocos_form_is_refused(change, said):
    document = copy.deepcopy(DOCUMENT)
    change(document)
    with pytest.raises(InputError, match=said):
        coco.parsed(document, "instances.json")


def test_a_voc_annotation_is_read():
    content = XML.format(OBJECT.format("cat", 1, 2, 30, 40) + OBJECT.format("dog", 5, 5, 5, 5)).encode()
    found = voc.parsed(content, "a.xml", ("dog", "cat"), 4)
    assert (found.name, found.id) == ("a.jpg", 4)
    assert found.boxes.tolist() == [[1, 2, 30, 40], [5, 5, 5, 5]] and found.classes.tolist() == [1, 0]
    assert len(voc.parsed(XML.format("").encode(), "a.xml", ("dog",), 0).boxes) == 0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<annotation>", "no XML"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><annotation>&b;</annotation>', "declares entities"),
        (XML.format(OBJECT.format("cow", 1, 2, 3, 4)).encode(), "'cow' is none of dog"),
        (XML.format(OBJECT.format("dog", 1, 2, "", 4)).encode(), "no whole bndbox"),
        (XML.format(OBJECT.format("dog", 9, 2, 3, 4)).encode(), "low to a high corner"),
        (XML.format(OBJECT.format("dog", 1, 2, "inf", 4)).encode(), "low to a high corner"),
    ],
)
def test_what_is_no_voc_annotation_is_refused(content, said):
    with pytest.raises(InputError, match=said):
        voc.parsed(content, "a.xml", ("dog",), 0)


def real(load):
    try:
        return load()
    except InputError as error:
        pytest.skip(str(error))


def test_bccd_has_its_official_split():
    parts = {part: real(lambda part=part: bccd.load(part)) for part in ("train", "val", "test")}
    assert {part: len(one) for part, one in parts.items()} == {"train": 205, "val": 87, "test": 72}
    names = [image.name for one in parts.values() for image in one.images]
    assert len(set(names)) == 364
    kinds = np.concatenate([image.classes for one in parts.values() for image in one.images])
    assert np.bincount(kinds).tolist() == [4155, 372, 361]
    assert parts["train"].picture(0).shape == (480, 640, 3)


def test_coco128_is_in_the_official_form_with_the_official_classes():
    found = real(lambda: coco.load("coco128", "train2017"))
    assert len(found) == 128 and sum(len(image.boxes) for image in found.images) == 939
    assert [(kind.id, kind.name) for kind in CLASSES["coco"]] == list(
        zip(found.category_ids, found.classes, strict=True)
    )
    assert found.picture(0).ndim == 3


def test_a_batch_depends_on_seed_and_number_alone_and_each_epoch_sees_every_picture_once(monkeypatch):
    pictures = data.load(SETTING, "train")
    one, other = data.Training(SETTING, 9, 3, pictures), data.Training(SETTING, 9, 4, pictures)
    assert np.array_equal(one[5]["inputs"][0], data.Training(SETTING, 90, 3, pictures)[5]["inputs"][0])
    assert one[5]["inputs"][0].shape[2] % 32 == 0
    assert any(
        not np.array_equal(one[n]["targets"][0].shape, other[n]["targets"][0].shape)
        or not np.array_equal(one[n]["targets"][0], other[n]["targets"][0])
        for n in range(4)
    )
    with pytest.raises(IndexError):
        one[9]
    seen = []
    whole = data.Training.example
    monkeypatch.setattr(
        data.Training, "example", lambda self, row, rng: seen.append(row) or whole(self, row, rng)
    )
    for number in range(4):
        one[number]
    assert np.sort(np.reshape(seen, (2, 4))).tolist() == [[0, 1, 2, 3]] * 2


def test_crowds_and_boxes_without_area_are_evaluated_and_not_trained_on():
    pictures = data.load(SETTING, "train")
    training = data.Training(SETTING, 2, 0, pictures)
    counts = [len(training.example(row, np.random.default_rng(0))[1]) for row in range(4)]
    assert counts == [0, 1, 0, 3]
    evaluation = data.Evaluation(SETTING, pictures)
    kinds = [(batch["targets"][1] >= 0).sum() for batch in evaluation]
    assert kinds == [0, 1, 2, 3] and evaluation[2]["targets"][2].tolist() == [[True, False]]


def test_boxes_move_with_the_picture():
    """A white rectangle on black: after any augmentation the box is where the picture is bright."""
    picture = np.zeros((300, 400, 3), np.uint8)
    picture[100:180, 150:270] = 255
    setting = replace(
        SETTING, upside_down=True, short_sides=(96, 128), longest=300, crop=Crop((200, 250), 150, 200)
    )
    for seed in range(20):
        made, (box,) = data.augmented(
            picture, np.array([[150.0, 100, 270, 180]]), setting, np.random.default_rng(seed)
        )
        rows, columns = np.nonzero(made[..., 0] > 127)
        if len(rows):
            bright = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert np.abs(box - bright).max() <= 1, seed
        assert min(made.shape[:2]) in (96, 128) or max(made.shape[:2]) == 300
