"""Metrics: figures from what units contributed, for any selection, and from the stored file alone."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuxian import metrics
from fuxian.errors import InputError
from fuxian.metrics import DetectedImage, Units
from fuxian.paper import Claim
from fuxian.verdict import Measurements, Run, measured_run, read_measurements, write_measurements

patient = settings(deadline=None, max_examples=10)


def detected(random, images):
    found = []
    for _ in range(images):
        count = random.integers(0, 4)
        truth = np.c_[random.uniform(0, 80, (count, 2)), random.uniform(20, 60, (count, 2))]
        kinds = random.integers(1, 4, count)
        boxes = np.r_[truth + random.normal(0, 3, (count, 4)), [[5, 5, 30, 30]]]
        scores = np.r_[random.uniform(0.3, 1, count), random.uniform(0, 0.7)]
        found.append(DetectedImage(boxes, scores, [*kinds, 1], truth, kinds))
    return found


def each_metric(seed, n=24):
    """A metric of every kind over two batches of units, and the figure that is looked at."""
    random = np.random.default_rng(seed)
    halves = lambda *parts: [tuple(part[half::2] for part in parts) for half in (0, 1)]  # noqa: E731
    same = np.tile([0, 1], 5 * n)
    score = random.normal(size=10 * n) + 1.5 * same
    owner = np.repeat(np.arange(n), 10)
    ious = random.integers(0, 50, (n, 3)), random.integers(50, 90, (n, 3))
    counts = random.integers(0, 3, n), random.integers(3, 6, n), random.integers(3, 7, n)
    images = detected(random, n)
    made = {
        "accuracy": (metrics.Mean(lambda o, t, meta: {"accuracy": o[0]}), halves(random.random(n))),
        "iou": (metrics.RatioOfSums(lambda o, t, meta: {"iou": o}), halves(*ious)),
        "hmean": (metrics.Hmean(lambda o, t, meta: o), halves(*counts)),
        "ap": (metrics.AveragePrecision(lambda o, t, meta: o), [images[::2], images[1::2]]),
        "auc": (metrics.AreaUnderCurve(lambda o, t, meta: o), halves(owner, score, same)),
        "tar_at_far_0.1": (metrics.TrueAcceptRate(lambda o, t, meta: o, [0.1]), halves(score, same)),
        "folds": (metrics.FoldAccuracy(lambda o, t, meta: o, name="folds"), halves(score, same, owner % 8)),
    }
    for metric, batches in made.values():
        for batch in batches:
            metric.update(batch, None)
    return {name: metric for name, (metric, _) in made.items()}


NAMES = ["accuracy", "iou", "hmean", "ap", "auc", "tar_at_far_0.1", "folds"]


@pytest.mark.parametrize("name", NAMES)
@patient
@given(seed=st.integers(0, 5), draw=st.randoms(use_true_random=False))
def test_a_selection_counts_units_as_often_as_they_stand_in_any_order(name, seed, draw):
    units = each_metric(seed)[name].units()[name]
    chosen = [draw.randrange(units.n) for _ in range(units.n)]
    shuffled = draw.sample(chosen, len(chosen))
    all_units = list(range(units.n))
    one, other, all_of_them, twice = units.figures([chosen, shuffled, all_units, all_units * 2])
    assert one == pytest.approx(other, nan_ok=True)
    assert all_of_them == units.figure() == each_metric(seed)[name].figures()[name]
    if (
        name != "tar_at_far_0.1"
    ):  # twice the impostors let twice as many through: the threshold may lie elsewhere
        assert twice == pytest.approx(units.figure())


def test_average_precision_is_what_pycocotools_prints(capsys):
    """The official evaluator on the same boxes, through its own door."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    images = detected(np.random.default_rng(1), 30)
    truth, found = COCO(), []
    annotations = []
    for number, image in enumerate(images):
        for box, kind in zip(image.true_boxes, image.true_classes, strict=True):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": int(kind),
                    "bbox": list(box),
                    "area": box[2] * box[3],
                    "iscrowd": 0,
                }
            )
        for box, score, kind in zip(image.boxes, image.scores, image.classes, strict=True):
            found.append({"image_id": number, "category_id": int(kind), "bbox": list(box), "score": score})
    truth.dataset = {
        "images": [{"id": i} for i in range(30)],
        "categories": [{"id": i} for i in (1, 2, 3)],
        "annotations": annotations,
        "info": {},
    }
    truth.createIndex()
    official = COCOeval(truth, truth.loadRes(found), "bbox")
    official.evaluate()
    official.accumulate()
    official.summarize()
    metric = metrics.AveragePrecision(lambda outputs, targets, meta: outputs)
    capsys.readouterr()
    metric.update(images, None)
    figures = metric.figures()
    assert capsys.readouterr().out == ""
    names = ["ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"]
    expected = [math.nan if x == -1 else x for x in official.stats[:6]]
    assert [figures[name] for name in names] == pytest.approx(expected, nan_ok=True)


def test_figures_worked_out_by_hand():
    hmean = metrics.Hmean(lambda outputs, targets, meta: outputs)
    hmean.update(([1, 2], [2, 2], [3, 2]), None)
    assert hmean.figures() == pytest.approx({"precision": 3 / 5, "recall": 3 / 4, "hmean": 2 / 3})

    iou = metrics.RatioOfSums(lambda outputs, targets, meta: {"iou": outputs})
    iou.update(([[1, 0, 4]], [[2, 0, 8]]), None)  # the second class occurs nowhere
    assert iou.figures() == {"iou": 0.5}

    auc = metrics.AreaUnderCurve(lambda outputs, targets, meta: (meta, outputs, targets))
    auc.update([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1], ["u", "u", "v", "v"])
    assert auc.figures() == {"auc": 0.75}
    assert auc.figures([0, 1, 1]) == {"auc": 0.75}
    assert math.isnan(auc.figures([0])["auc"])  # one class alone ranks nothing

    tar = metrics.TrueAcceptRate(lambda outputs, targets, meta: (outputs, targets), [0.25, 0.5])
    tar.update([0.9, 0.6, 0.2, 0.7, 0.5, 0.3, 0.1], [1, 1, 1, 0, 0, 0, 0])
    assert tar.figures() == pytest.approx({"tar_at_far_0.25": 2 / 3, "tar_at_far_0.5": 2 / 3})

    folds = metrics.FoldAccuracy(lambda outputs, targets, meta: (outputs, targets, meta))
    # the threshold that is best for one fold is judged on the other
    folds.update([0.2, 0.4, 0.6, 0.8], [0, 1, 0, 1], [0, 0, 1, 1])
    assert folds.figures() == {"accuracy": 0.5}


def test_several_metrics_are_one():
    both = metrics.Several(
        metrics.AreaUnderCurve(lambda outputs, targets, meta: (meta, outputs, targets)),
        metrics.Mean(lambda outputs, targets, meta: {"error": abs(outputs - targets)}),
    )
    both.update(np.array([0.0, 1.0]), np.array([0, 1]), [0, 1])
    assert both.figures() == {"auc": 1.0, "error": 0.0}
    assert {name: units.n for name, units in both.units().items()} == {"auc": 2, "error": 2}


@pytest.mark.parametrize("name", NAMES)
def test_a_network_that_gives_no_numbers_has_no_figure(name):
    units = each_metric(0)[name].units()[name]
    spoilt = {
        key: np.where(np.arange(len(a)).reshape(-1, *[1] * (a.ndim - 1)) == 0, np.nan, a)
        if key in ("value", "above", "score", "detection_score")
        else a
        for key, a in units.arrays.items()
    }
    assert math.isnan(Units(units.kind, units.n, spoilt, units.settings).figure())


def claim_on(metric):
    return Claim.model_validate(
        {
            "id": "c",
            "title": "t",
            "dataset": "d",
            "split": "test",
            "metric": metric,
            "unit": "points",
            "direction": "higher",
            "scope": "scaled",
            "subject": "weights",
            "target": 0.5,
            "margin": 0.1,
            "checkpoint": "last",
            "seeds": [0],
            "iterations": 1,
        }
    )


@pytest.mark.parametrize("name", NAMES)
def test_the_figure_is_computed_again_from_the_stored_files_alone(name, tmp_path):
    metric = each_metric(3)[name]
    run = measured_run(claim_on(name), 7, metric.figures(), metric.units())
    write_measurements(tmp_path / "measurements.json", Measurements((run,)), {"metric": name})
    (again,) = read_measurements(tmp_path / "measurements.json").runs
    assert again == run
    assert again.recomputed() == run.value
    assert (tmp_path / "measurements.safetensors").exists() == (name != "accuracy")


def test_arrays_are_those_that_were_written_with_the_measurements(tmp_path):
    metric, file = each_metric(3)["auc"], tmp_path / "measurements.json"
    run = measured_run(claim_on("auc"), 7, metric.figures(), metric.units())
    write_measurements(file, Measurements((run,)))
    other = measured_run(claim_on("auc"), 7, metric.figures(), each_metric(4)["auc"].units())
    write_measurements(tmp_path / "other.json", Measurements((other,)))
    beside = tmp_path / "measurements.safetensors"
    (tmp_path / "other.safetensors").replace(beside)
    with pytest.raises(InputError, match="not the arrays"):
        read_measurements(file)
    beside.write_bytes(b"\xff" * 100)
    with pytest.raises(InputError, match="not a safetensors file"):
        read_measurements(file)
    beside.unlink()
    with pytest.raises(InputError, match="is missing"):
        read_measurements(file)


@pytest.mark.parametrize(
    ("kind", "n", "arrays", "settings", "says"),
    [
        ("magic", 1, {}, {}, "not known"),
        ("mean", 0, {"value": np.zeros(0)}, {}, "there are 0 units"),
        (
            "area under the curve",
            10**15,
            {"unit": np.array([0]), "score": np.zeros(1), "label": np.zeros(1)},
            {},
            "units",
        ),
        ("mean", 3, {"value": np.zeros(2)}, {}, r"give numbers \[n\]"),
        ("mean", 1, {"value": np.array(["a"])}, {}, "give numbers"),
        ("mean", 1, {"figure": np.zeros(1)}, {}, "give value"),
        ("ratio of sums", 1, {"above": np.zeros((1, 2)), "below": np.zeros((1, 3))}, {}, "below"),
        (
            "area under the curve",
            1,
            {"unit": np.array([1]), "score": np.zeros(1), "label": np.zeros(1)},
            {},
            "number the units",
        ),
        (
            "area under the curve",
            1,
            {"unit": np.array([0]), "score": np.zeros(1), "label": np.array([2])},
            {},
            "0 and 1",
        ),
        ("true accept rate", 1, {"score": np.zeros(1), "same": np.zeros(1)}, {"far": 2.0}, "share"),
        ("true accept rate", 1, {"score": np.zeros(1), "same": np.zeros(1)}, {"far": True}, "share"),
    ],
)
def test_units_that_are_none_are_refused_in_one_sentence(kind, n, arrays, settings, says):
    with pytest.raises(InputError, match=says):
        Units(kind, n, arrays, settings)


@pytest.mark.parametrize("selection", [[], [3], [-1], [0.5], [[0]]])
def test_a_selection_names_units(selection):
    units = Units("mean", 3, {"value": np.arange(3.0)})
    with pytest.raises(InputError, match="selection"):
        units.figure(selection)


def test_a_metric_without_a_batch_has_no_figure():
    with pytest.raises(InputError, match="before the first batch"):
        metrics.Mean(lambda outputs, targets, meta: {}).figures()


@pytest.mark.parametrize(
    "units", [3, {}, {"kind": "mean", "n": True, "settings": {}, "arrays": []}, {"kind": "mean"}]
)
def test_malformed_units_are_refused_in_one_sentence(units):
    with pytest.raises(InputError):
        Measurements.from_dict({"runs": [{"seed": 0, "value": 0.5, "units": units}]})


def test_a_run_of_the_mean_keeps_its_examples_readable():
    metric = each_metric(0)["accuracy"]
    run = measured_run(claim_on("accuracy"), 0, metric.figures(), metric.units())
    assert run == Run(0, run.value, run.examples)
    assert run.value == np.mean(run.examples)
