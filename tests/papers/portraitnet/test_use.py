"""The network at work: training, the drawn test, predictions on a user's pictures and videos, the exported network."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import paddle
import pytest
from PIL import Image

from fuxian.errors import InputError
from fuxian.papers.find import find_claim
from fuxian.papers.portraitnet import data
from fuxian.papers.portraitnet.draw import drawn
from fuxian.papers.portraitnet.export import export
from fuxian.papers.portraitnet.metric import boundary, iou, metric
from fuxian.papers.portraitnet.model import PortraitNet
from fuxian.papers.portraitnet.predict import predict
from fuxian.papers.portraitnet.recipe import recipe
from fuxian.papers.portraitnet.rendered import render
from fuxian.papers.portraitnet.settings import ALIGNED, SETTINGS
from fuxian.training.evaluate import evaluate
from fuxian.training.fit import Length, fit
from fuxian.weights import save_tensors

SMALL = replace(ALIGNED, side=32, batch=2, start="imagenet")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A network that calls a pixel a person where the picture is bright: its heads see nothing else."""
    paddle.seed(0)
    network = PortraitNet()
    file = tmp_path_factory.mktemp("weights") / "any.safetensors"
    save_tensors(file, {name: value.numpy() for name, value in network.state_dict().items()})
    return file


def test_a_resumed_training_ends_where_an_uninterrupted_one_does(tmp_path):
    parts = recipe(iterations=3, eval_split="validation", setting=SMALL)
    heard = {}
    for folder, stops in (("whole", (3,)), ("parts", (2, 3))):
        for stop in stops:
            model = fit(
                parts,
                tmp_path / folder,
                seed=0,
                length=Length(iterations=stop, log_every=1, checkpoint_every=2),
                progress=lambda step, figures: heard.update({step: figures}),
            )
        if folder == "whole":
            whole = {name: value.numpy() for name, value in model.state_dict().items()}
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), whole[name], err_msg=name)
    parts_of = sum(heard[3][name] for name in ("mask", "original", "edge", "consistency"))
    assert heard[3]["loss"] == pytest.approx(parts_of, rel=1e-5)
    figures = evaluate(parts, model).figures
    assert set(figures) == {"iou", "boundary_iou"} and 0 <= figures["iou"] <= 1


@pytest.mark.parametrize(("edge", "consistency"), [(False, False), (True, False), (False, True)])
def test_each_auxiliary_loss_can_be_left_out(edge, consistency):
    parts = recipe(iterations=1, setting=SMALL, edge=edge, consistency=consistency)
    model = parts.model()
    model.train()
    batch = parts.train_data()[0]
    inputs, targets = (tuple(map(paddle.to_tensor, batch[part])) for part in ("inputs", "targets"))
    named = set(parts.loss(parts.forward(model, inputs), targets))
    assert ("edge" in named, "consistency" in named) == (edge, consistency)
    assert ("original" in named) == consistency
    assert any(name.startswith("edge") for name in model.state_dict()) == edge


def test_the_learning_rate_falls_by_a_twentieth_every_20_epochs():
    parts = recipe(iterations=2000, setting=replace(ALIGNED, batch=16))
    _, schedule = parts.optimizer(PortraitNet())
    rates = []
    for _ in range(100):
        rates.append(schedule())
        schedule.step()
    # 32 generated portraits: two steps an epoch.
    assert rates[39] == pytest.approx(1e-3) and rates[40] == pytest.approx(9.5e-4)
    assert rates[80] == pytest.approx(1e-3 * 0.95**2)


def test_batches_depend_on_seed_and_step_alone_and_hold_what_the_paper_says():
    made = data.training(replace(ALIGNED, side=64, batch=4), length=6, seed=3)
    again = data.training(replace(ALIGNED, side=64, batch=4), length=9, seed=3)
    for one, other in zip(
        (made[4]["inputs"], made[4]["targets"]), (again[4]["inputs"], again[4]["targets"]), strict=True
    ):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)
    assert not np.array_equal(made[4]["inputs"][1], made[5]["inputs"][1])
    mask, edge = made[4]["targets"]
    assert set(np.unique(mask)) <= {0, 1} and set(np.unique(edge)) <= {0, 1}
    # The boundary lies about the mask's outline: far from it there is none.
    for one, line in zip(mask.astype(np.uint8), edge, strict=True):
        far = cv2.erode(one, np.ones((9, 9))) + cv2.erode(1 - one, np.ones((9, 9)))
        assert line.sum() == 0 or not (line * far).any()
    augmented, original = made[4]["inputs"]
    assert augmented.shape == original.shape == (4, 3, 64, 64) and augmented.dtype == np.float32
    assert abs(augmented - original).max() < 8


def test_iou_is_that_of_the_person_averaged_over_pictures():
    wanted = np.zeros((2, 8, 8), np.int64)
    wanted[0, :4] = 1
    found = np.zeros((2, 8, 8), np.float32)
    found[0, :2] = 1.0
    measured = metric()
    measured.update(found, (wanted,))
    # Half of the first; nobody is in the second, and nobody is found.
    assert measured.figures()["iou"] == pytest.approx(0.75)
    whole = np.ones((100, 100), bool)
    ring = boundary(whole)
    assert ring.sum() == 100 * 100 - 94 * 94 and iou(ring, ring) == 1


def test_the_drawn_test_is_new_for_each_seed_and_keeps_masks_on_their_pictures():
    people = [render(np.random.default_rng(n), 64) for n in range(5)]
    marked = [(np.repeat((mask * 200)[..., None], 3, 2).astype(np.uint8), mask) for _, mask in people]
    one, again, other = (list(drawn(marked, 64, seed)) for seed in (1, 1, 2))
    assert [batch["ids"] for batch in one] == [[f"picture-{n}" for n in range(5)]]
    np.testing.assert_array_equal(one[0]["inputs"][0], again[0]["inputs"][0])
    assert not np.array_equal(one[0]["inputs"][0], other[0]["inputs"][0])
    bright = one[0]["inputs"][0][:, 0] > 1
    assert iou(bright, one[0]["targets"][0] == 1) > 0.95


def test_pictures_get_masks_and_new_backgrounds(weights, tmp_path):
    folder, out = tmp_path / "pictures", tmp_path / "out"
    folder.mkdir(), out.mkdir()
    Image.fromarray(render(np.random.default_rng(0), 96)[0]).save(folder / "a.png")
    Image.new("L", (50, 90), 128).save(folder / "high.jpg")
    made = predict("portraits", folder, weights, out)
    assert [row["picture"] for row in made.rows] == ["a.png", "high.jpg"]
    assert [view.name for view in made.views] == ["a.png.png", "high.jpg.png"]
    assert cv2.imread(str(made.views[1])).shape == (90, 50, 3)
    mask = cv2.imread(str(out / made.rows[1]["mask"]), cv2.IMREAD_UNCHANGED)
    assert mask.shape == (90, 50)
    assert made.rows[1]["person"] == pytest.approx((mask > 127.5).mean(), abs=0.01)
    # What is no person takes the colour, in the share that the mask says.
    frame = np.asarray(Image.open(folder / "a.png")).astype(float)
    shown = predict("portraits", folder / "a.png", weights, out, background="colour", colour="#ff0000")
    share = cv2.imread(str(out / "a.png.mask.png"), cv2.IMREAD_UNCHANGED)[..., None] / 255
    wanted = frame * share + np.array([255, 0, 0]) * (1 - share)
    assert np.abs(cv2.imread(str(shown.views[0]))[..., ::-1] - wanted).max() <= 2


def test_a_picture_takes_the_backgrounds_place(weights, tmp_path):
    Image.new("RGB", (64, 40), (10, 20, 30)).save(tmp_path / "a.png")
    Image.new("RGB", (20, 20), (200, 210, 220)).save(tmp_path / "beach.png")
    made = predict("portraits", tmp_path / "a.png", weights, tmp_path, picture=tmp_path / "beach.png")
    share = cv2.imread(str(tmp_path / "a.png.mask.png"), cv2.IMREAD_UNCHANGED)[..., None] / 255
    wanted = np.array([10, 20, 30]) * share + np.array([200, 210, 220]) * (1 - share)
    assert np.abs(cv2.imread(str(made.views[0]))[..., ::-1] - wanted).max() <= 2
    assert made.about["background"] == "picture"


def test_a_video_keeps_its_size_frames_and_rate(weights, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    writer = cv2.VideoWriter(str(tmp_path / "a.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 12.0, (64, 48))
    for number in range(10):
        picture = render(np.random.default_rng(number), 64)[0][:48]
        writer.write(np.ascontiguousarray(picture[..., ::-1]))
    writer.release()
    made = predict("portraits", tmp_path / "a.mp4", weights, out)
    (row,) = made.rows
    assert (row["frames"], row["frames_per_second"]) == (10, 12.0)
    again = cv2.VideoCapture(str(made.views[0]))
    assert (again.get(cv2.CAP_PROP_FRAME_WIDTH), again.get(cv2.CAP_PROP_FRAME_HEIGHT)) == (64, 48)
    assert again.get(cv2.CAP_PROP_FRAME_COUNT) == 10
    assert cv2.imread(str(made.views[1])).shape == (48, 64, 3)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("no.mp4", {}, "cannot be read as a video"),
        ("no.png", {}, "cannot be read as a picture"),
        ("gone.mov", {}, "is no file"),
        ("no.png", {"colour": "red"}, "#RRGGBB"),
        ("no.png", {"blur": -1.0}, "from 0 to 1"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(weights, tmp_path, name, options, said):
    if not name.startswith("gone"):
        (tmp_path / name).write_bytes(b"nothing")
    with pytest.raises(InputError, match=said):
        predict("portraits", tmp_path / name, weights, tmp_path, **options)


def test_the_exported_network_gives_what_predict_gives(weights, tmp_path):
    made = export("portraits", weights)
    (pictures,), (expected,) = made.examples, made.expected
    spec = [paddle.static.InputSpec([None, *pictures.shape[1:]], "float32", "pictures")]
    paddle.jit.save(made.network, str(tmp_path / "model"), input_spec=spec)
    again = paddle.jit.load(str(tmp_path / "model"))
    again.eval()
    np.testing.assert_allclose(again(paddle.to_tensor(pictures[:3])).numpy(), expected[:3], atol=1e-5)
    assert made.outputs[0].shape == ("batch", 64, 64)


def test_every_claim_has_a_setting_and_the_papers_rows_their_schedule():
    folder, _ = find_claim("portraitnet")
    assert {claim.id for claim in folder.paper.claims} == set(SETTINGS)
    for claim in folder.paper.claims:
        if claim.scope == "paper":
            assert claim.published is not None and SETTINGS[claim.id].side == 224
            assert SETTINGS[claim.id].schedule == "stepped" and SETTINGS[claim.id].batch == 64
