"""The recipe trains, resumes and evaluates; the paper's own setting reads insightface's packing."""

from __future__ import annotations

import io
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fuxian.errors import InputError
from fuxian.papers.arcface import settings
from fuxian.papers.arcface.curves import curves, roc
from fuxian.papers.arcface.data import faces
from fuxian.papers.arcface.draw import drawn
from fuxian.papers.arcface.recipe import recipe
from fuxian.papers.arcface.settings import FOLDS, PEOPLE, Network, PaperSetting, for_alignment
from fuxian.papers.find import find_claim
from fuxian.training.evaluate import evaluate
from fuxian.training.fit import Length, fit

SMALL = for_alignment(FOLDS)


@pytest.mark.parametrize("loss", ["arcface", "softmax"])
def test_training_lowers_the_loss_and_a_resumed_one_ends_in_the_same_weights(tmp_path, loss):
    def trained(name: str, stops: list[int]) -> dict[str, np.ndarray]:
        heard = {}
        for stop in stops:
            parts = recipe(iterations=12, setting=SMALL, loss=loss)
            length = Length(iterations=stop, log_every=1, checkpoint_every=4)
            model = fit(
                parts, tmp_path / name, seed=0, length=length, progress=lambda s, f: heard.update({s: f})
            )
        assert heard[12]["loss"] < heard[1]["loss"]
        assert heard[12]["loss"] == pytest.approx(heard[12]["group_0"] + heard[12]["group_1"], rel=1e-6)
        return {key: value.numpy() for key, value in model.state_dict().items()}

    whole, resumed = trained("whole", [12]), trained("resumed", [5, 12])
    for key, value in whole.items():
        np.testing.assert_array_equal(value, resumed[key])


def test_the_networks_share_nothing():
    """A step of both moves each as its own batch alone would, and clipping is each one's own."""
    import paddle

    parts = recipe(iterations=4, setting=SMALL)
    paddle.seed(1)
    model = parts.model()
    model.train()
    outputs = parts.forward(model, tuple(map(paddle.to_tensor, parts.train_data()[0]["inputs"])))
    targets = tuple(map(paddle.to_tensor, parts.train_data()[0]["targets"]))
    parts.loss(outputs, targets)["group_0"].backward()
    assert all(p.grad is None for p in model.groups[1].parameters())
    assert any(p.grad is not None for p in model.groups[0].parameters())


def test_evaluation_scores_a_pair_alike_in_either_order_and_draws_its_roc():
    parts = recipe(setting=SMALL)
    model = parts.model()
    found = evaluate(parts, model)
    assert set(found.figures) == {"accuracy", "tar_at_far_0.1", "tar_at_far_0.01", "tar_at_far_0.001"}
    model.eval()
    import paddle

    first, second, number = map(paddle.to_tensor, parts.eval_data()[0]["inputs"])
    one, other = parts.forward(model, (first, second, number)), parts.forward(model, (second, first, number))
    np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(parts.forward(model, (first, first, number)).numpy(), 1.0, rtol=1e-5)
    folder, claim = find_claim("arcface/lfw-folds")
    (line,) = curves(folder.paper, claim, [found]).values()
    assert line["x"][0] == 0 and line["x"][-1] == 1 and line["y"][-1] == 1


def test_the_roc_of_a_few_pairs():
    far, tar = roc(np.array([0.9, 0.8, 0.8, 0.1]), np.array([True, False, True, False]))
    assert far.tolist() == [0, 0, 0.5, 1] and tar.tolist() == [0, 0.5, 1, 1]


def test_a_drawn_test_is_a_function_of_its_seed():
    one, again, other = (list(drawn(SMALL, 5, seed)) for seed in (1, 1, 2))
    ids = [name for batch in one for name in batch["ids"]]
    assert len(ids) == len(set(ids)) == 2 * 2 * 5
    for a, b in zip(one, again, strict=True):
        assert a["ids"] == b["ids"]
        for x, y in zip((*a["inputs"], *a["targets"]), (*b["inputs"], *b["targets"]), strict=True):
            np.testing.assert_array_equal(x, y)
    assert any(not np.array_equal(a["inputs"][0], b["inputs"][0]) for a, b in zip(one, other, strict=True))


def _packed(folder: Path) -> None:
    """Three people with four pictures each, and two pairs, as insightface packs them."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)

    def picture() -> bytes:
        out = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8)).save(out, "JPEG")
        return out.getvalue()

    index, content = [], b""
    rows = [([13.0, 16.0], b""), *(([float(n % 3)], picture()) for n in range(12))]
    for key, (label, data) in enumerate(rows):
        index.append(f"{key}\t{len(content)}")
        several = len(label) > 1
        body = struct.pack("<IfQQ", len(label) if several else 0, 0.0 if several else label[0], key, 0)
        body += (np.array(label, "<f4").tobytes() if several else b"") + data
        content += struct.pack("<II", 0xCED7230A, len(body)) + body + b"\0" * (-len(body) % 4)
    (folder / "train.idx").write_text("\n".join(index))
    (folder / "train.rec").write_bytes(content)
    (folder / "property").write_text("3,16,16\n")
    pictures = [picture() for _ in range(40)]
    (folder / "lfw.bin").write_bytes(pickle.dumps((pictures, [n % 2 == 0 for n in range(20)]), 2))


def test_the_papers_setting_trains_on_insightfaces_packing(tmp_path, monkeypatch):
    monkeypatch.setenv("FUXIAN_DATA", str(tmp_path))
    small = PaperSetting(
        Network((1, 1, 1, 1), (4, 4, 8, 8), 8, 16, dropout=0.4), "casia-webface", (2, 3), batch=6
    )
    monkeypatch.setitem(settings.PAPER, "casia-r50-lfw", small)
    with pytest.raises(InputError, match=r"train\.rec is not there"):
        recipe("casia-r50-lfw")
    _packed(tmp_path / "casia-webface")
    rates = {}
    parts = recipe("casia-r50-lfw", iterations=4)
    length = Length(iterations=4, log_every=1, checkpoint_every=4)
    model = fit(
        parts, tmp_path / "run", seed=0, length=length, progress=lambda s, f: rates.update({s: f["lr"]})
    )
    assert [rates[step] for step in (1, 2, 3, 4)] == pytest.approx([0.1, 0.1, 0.01, 0.001])
    assert 0 <= evaluate(parts, model).figures["accuracy"] <= 1


def test_the_papers_rows_stand_in_the_paper_and_have_a_setting():
    folder, _ = find_claim("arcface")
    rows = {claim.id for claim in folder.paper.claims if claim.scope == "paper"}
    assert rows == set(settings.PAPER)


def test_networks_are_built_without_the_pictures(monkeypatch, tmp_path):
    monkeypatch.setenv("FUXIAN_DATA", str(tmp_path))
    networks = recipe().model()
    assert [group.head.weight.shape[0] for group in networks.groups] == PEOPLE[FOLDS.groups]


def test_lfw_has_as_many_people_as_the_networks_are_built_for():
    try:
        known = faces(FOLDS)
    except InputError as error:
        pytest.skip(str(error))
    assert known.classes(FOLDS) == PEOPLE[FOLDS.groups]
