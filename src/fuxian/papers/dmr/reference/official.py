"""Runs the official TensorFlow 1 code on the parity cases and records what it computes, as sketches.

python -m fuxian.papers.dmr.reference.official CHECKOUT [CASE ...]

CHECKOUT is a clone of github.com/lvze92/DMR. Its model.py and utils.py run as they are in TensorFlow 2 (tf.compat.v1;
TF_USE_LEGACY_KERAS=1, package tf-keras): what they import as ``tensorflow`` is made to say float64 where they say
float32, and hands out what the candidate sampler draws. Batch normalisation's epsilon is float32's nearest to 0.001,
which it is where they run by themselves.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import numpy as np
import tensorflow  # type: ignore[import-untyped, import-not-found, unused-ignore]
from safetensors.numpy import save_file

from fuxian.align.sketch import sketch
from fuxian.papers.dmr.reference.cases import LEARNING_RATE, Case, case, drawn_weight

HERE = Path(__file__).parent / "official"
REPO = "https://github.com/lvze92/DMR"
SIZES = {
    "uid": "user_size",
    "adgroup_id": "adgroup_id_size",
    "campaign_id": "campaign_id_size",
    "customer": "customer_size",
    "brand": "brand_size",
}
tf = tensorflow.compat.v1
tf.disable_eager_execution()


class Official:
    """The official model with a case's weights, in one precision; ``fed`` samples stand in for the sampler's."""

    def __init__(self, checkout: Path, made: Case, dtype: Any, fed: bool):
        tf.reset_default_graph()
        tf.set_random_seed(1)
        self.samples: list[Any] = []
        sys.modules["tensorflow"] = self.stand_in(dtype, fed)
        sys.path.insert(0, str(checkout))
        for name in ("utils", "model"):
            sys.modules.pop(name, None)
        try:
            import model as official  # type: ignore[import-not-found]
        finally:
            sys.path.pop(0)
            sys.modules["tensorflow"] = tensorflow
        for field in (*made.layout.user, *made.layout.item):
            if field.name in SIZES:
                setattr(official, SIZES[field.name], field.values)
        step = tf.Variable(0, trainable=False, name="global_step")
        self.model = official.Model_DMR(LEARNING_RATE, step)
        self.variables = tf.trainable_variables()
        self.gradients = [tf.convert_to_tensor(one) for one in tf.gradients(self.model.loss, self.variables)]
        self.session = tf.Session()
        self.session.run(tf.global_variables_initializer())
        for variable in self.variables:
            variable.load(drawn_weight(variable.op.name, tuple(variable.shape.as_list())), self.session)

    def stand_in(self, dtype: Any, fed: bool) -> types.ModuleType:
        """tf.compat.v1 with another float32."""
        module: Any = types.ModuleType("tensorflow")
        module.__dict__.update({name: getattr(tf, name) for name in dir(tf) if not name.startswith("__")})
        module.float32 = dtype

        def get_variable(name: str, shape: Any = None, **others: Any) -> Any:
            return tf.get_variable(name, shape, others.pop("dtype", None) or dtype, **others)

        def batch_normalization(**given: Any) -> Any:
            return tf.layers.batch_normalization(epsilon=float(np.float32(1e-3)), **given)

        def sampler(true: Any, *given: Any) -> tuple:
            drawn = tf.nn.learned_unigram_candidate_sampler(true, *given)
            if fed:
                drawn = tuple(tf.placeholder(one.dtype, one.shape) for one in drawn)
            self.samples = list(drawn)
            return drawn[0], tf.cast(drawn[1], dtype), tf.cast(drawn[2], dtype)

        # maximum(0.0, x) takes the type of its first argument.
        module.maximum = lambda a, b: tf.maximum(tf.cast(a, b.dtype), b)
        module.minimum = lambda a, b: tf.minimum(tf.cast(a, b.dtype), b)
        module.get_variable = get_variable
        module.layers = types.SimpleNamespace(dense=tf.layers.dense, batch_normalization=batch_normalization)
        nn = {name: getattr(tf.nn, name) for name in dir(tf.nn) if not name.startswith("_")}
        module.nn = types.SimpleNamespace(**{**nn, "learned_unigram_candidate_sampler": sampler})
        return module

    def run(self, fetches: Any, rows: np.ndarray, samples: list[np.ndarray] | None = None) -> Any:
        given = {self.model.feature_ph: rows[:, :-1], self.model.target_ph: rows[:, -1]}
        given |= dict(zip(self.samples, samples, strict=True)) if samples else {}
        return self.session.run(fetches, given)


def record(checkout: Path, name: str) -> dict[str, np.ndarray]:
    """One batch in float64 with all gradients, and the losses of some steps in float64 and float32."""
    made = case(name)
    official = Official(checkout, made, tf.float64, fed=False)
    model = official.model
    logit = tf.get_default_graph().get_tensor_by_name("f3/BiasAdd:0")
    values, gradients, drawn = official.run(
        [
            {
                "logit": logit,
                "u2i": model.rel_u2i,
                "i2i": model.rel_i2i,
                "match_loss": model.aux_loss / 0.1,
                "click_loss": model.ctr_loss,
                "loss": model.loss,
            },
            official.gradients,
            official.samples,
        ],
        made.batches[0],
    )
    found: dict[str, np.ndarray] = {
        key: np.asarray(value, np.float64).reshape(-1) for key, value in values.items()
    }
    for variable, gradient in zip(official.variables, gradients, strict=True):
        found[f"gradient/{variable.op.name}"] = sketch(gradient)
    samples = [drawn, *(official.run(official.samples, rows) for rows in made.batches[1:])]
    for precision in ("float64", "float32"):
        official = Official(checkout, made, getattr(tf, precision), fed=True)
        losses = [
            official.run([official.model.loss, official.model.training_op], rows, own)[0]
            for rows, own in zip(made.batches, samples, strict=True)
        ]
        found[f"steps/{precision}"] = np.array(losses, np.float64)
    for step, (classes, right, others) in enumerate(samples):
        found[f"samples/{step}/classes"] = np.asarray(classes, np.int32)
        found[f"samples/{step}/right"] = np.asarray(right, np.float32).reshape(-1)
        found[f"samples/{step}/drawn"] = np.asarray(others, np.float32)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkout", type=Path)
    parser.add_argument("cases", nargs="*", default=["made-up", "alimama"])
    asked = parser.parse_args()
    git = ["git", "-C", str(asked.checkout), "rev-parse", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603
    HERE.mkdir(exist_ok=True)
    for name in asked.cases:
        found = record(asked.checkout, name)
        about = {
            "repo": REPO,
            "commit": commit,
            "command": f"python -m fuxian.papers.dmr.reference.official CHECKOUT {name}",
            "tensorflow": tensorflow.__version__,
        }
        save_file(found, HERE / f"{name}.safetensors", about)
        print(name, found["loss"], found["steps/float64"], found["steps/float32"], flush=True)


if __name__ == "__main__":
    main()
