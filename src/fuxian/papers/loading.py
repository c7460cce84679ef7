"""``fuxian.load``: a reproduced paper's trained model in one line, ready to predict."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fuxian.errors import InputError
from fuxian.paper import Claim, Paper
from fuxian.papers.card import model_card
from fuxian.papers.contract import PaperFolder, Prediction
from fuxian.papers.find import find_claim
from fuxian.papers.weights_entries import get_weights, weights_entries
from fuxian.recipe import Recipe
from fuxian.training.checkpoints import load_evaluated


@dataclass(frozen=True)
class Loaded:
    """A trained model with all that belongs to it."""

    folder: PaperFolder
    claim: Claim
    model: Any
    """The ``paddle.nn.Layer`` that the claim is about, with its weights, in evaluation mode."""
    recipe: Recipe
    """How it is fed: ``recipe.eval_data`` gives prepared batches, ``recipe.forward`` runs the model on one."""
    weights: Path
    """The file that the weights are from."""

    @property
    def paper(self) -> Paper:
        """What was claimed, and where."""
        return self.folder.paper

    @property
    def card(self) -> str:
        """The model card, as Markdown: what it is, what it reached, on what, and how to use it."""
        return model_card(self.folder, self.claim, self.weights)

    def predict(self, path: str | Path, out: str | Path, **options: Any) -> Prediction:
        """Predicts on data of your own, preprocessing included, as ``fuxian predict`` does.

        Args:
            path: a picture, folder, video or table: what the paper says in ``fuxian predict PAPER --help``.
            out: a new folder for what there is to look at.
            options: the paper's own, by name.

        Raises:
            InputError: ``path`` cannot be read, ``out`` is there already, or an option is unknown.
        """
        target = Path(out)
        unknown = set(options) - set(self.folder.options("predict"))
        if unknown:
            known = ", ".join(self.folder.options("predict")) or "none"
            raise InputError(
                f"{self.folder.name} has no option {', '.join(sorted(unknown))}; it has: {known}."
            )
        if target.exists():
            raise InputError(f"{target} is there already; name a new folder.")
        target.mkdir(parents=True)
        return self.folder.predict(self.claim, Path(path), self.weights, target, options)


def load(name: str, weights: str | Path | None = None) -> Loaded:
    """A reproduced paper's model with its trained weights.

        model = fuxian.load("maml/omniglot-5way-1shot")
        model.predict("my-characters", "found")

    Args:
        name: ``PAPER/CLAIM`` as ``fuxian papers`` lists them, the first claim of ``PAPER`` alone, or your folder.
        weights: a file of weights; the paper's own if absent, fetched and checked where they are not committed.

    Returns:
        The model in evaluation mode, with its recipe, its weights' file, its card and ``predict``.

    Raises:
        InputError: there is no such paper or claim, or it has no weights.
        PlatformError: its weights are to be fetched, and no address gives them.
    """
    folder, claim = find_claim(name)
    if weights is not None:
        file = Path(weights)
    elif claim.id in weights_entries(folder.paper):
        file = get_weights(folder.paper, claim.id)
    else:
        file = folder.weights(claim.id)
    recipe = folder.recipe(claim)
    model = load_evaluated(recipe, file)
    model.eval()
    return Loaded(folder, claim, model, recipe, file)
