"""Were the weights trained, or converted from the reference's?"""

from __future__ import annotations

import itertools

import numpy as np

from fuxian.errors import InputError
from fuxian.submission.checklist.finding import Result, failed, not_applicable, passed
from fuxian.submission.checklist.submitted_files import SubmittedFiles
from fuxian.weights.storage import load_tensors

NEAR = 0.01
"""Relative L2 distance below which two tensors are the same; weights trained apart differ by about 1.4."""
LEAST = 16
"""Elements; smaller tensors say nothing."""
MANY = 0.5
"""Share of the checkpoint's elements, in tensors that say something, from which it counts as converted."""
CANDIDATES = 10
"""Tensors of the reference that one of ours is compared with: trained tensors are told apart by their norms alone."""
LARGEST = 400_000_000
"""Bytes of a file that is compared; a larger one takes more than seconds."""


def weights_origin(tree: SubmittedFiles) -> Result:
    """No tensor of the checkpoint is the reference's own, in any layout."""
    reference = tree.manifest.reference
    if reference is None or reference.weights is None:
        return not_applicable("fuxian.toml names no weights of the reference")
    if reference.weights not in tree.files:
        return not_applicable(f"{reference.weights}, the reference's weights, are not in the submission")
    for name in tree.manifest.claims:
        file = tree.manifest.checkpoint_of(tree.manifest.paper.claim(name))
        if file is None or file not in tree.files:
            continue
        if max(tree.files[file], tree.files[reference.weights]) > LARGEST:
            return not_applicable(
                f"the files are larger than {LARGEST / 1e6:.0f} MB; `fuxian verify` replays instead"
            )
        try:
            ours, theirs = load_tensors(tree.folder / file), load_tensors(tree.folder / reference.weights)
        except InputError as error:
            return not_applicable(f"they cannot be compared: {str(error).rstrip('.')}")
        share = share_of_reference(ours, theirs)
        if share >= MANY:
            return failed(
                f"{100 * share:.0f} % of these weights are those of {reference.weights}",
                "submit weights that the port has trained",
                file,
            )
    return passed("the weights are not the reference's")


def share_of_reference(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> float:
    """The share of our elements that lie in tensors near to one of theirs, whatever its name and order of axes."""
    by_shape: dict[tuple, list[np.ndarray]] = {}
    for tensor in theirs.values():
        if _tells(tensor):
            by_shape.setdefault(tuple(sorted(tensor.shape)), []).append(tensor.astype(np.float32))
    summaries = {shape: np.array([_summary(one) for one in tensors]) for shape, tensors in by_shape.items()}
    near = total = 0
    for tensor in ours.values():
        if not _tells(tensor):
            continue
        total += tensor.size
        shape = tuple(sorted(tensor.shape))
        if shape not in by_shape:
            continue
        wide = tensor.astype(np.float32)
        norm, _, _ = summary = _summary(wide)
        # Tensors within NEAR of each other are as near in each of these, whatever the order of their axes.
        apart = NEAR * norm * np.array([1.0, np.sqrt(wide.size), 1.0])
        alike = np.flatnonzero((np.abs(summaries[shape] - summary) <= apart).all(1))[:CANDIDATES]
        if any(_same(wide, by_shape[shape][index]) for index in alike):
            near += tensor.size
    return near / total if total else 0.0


def _summary(tensor: np.ndarray) -> np.ndarray:
    """Its norm, the sum of its sizes, and the largest of them."""
    sizes = np.abs(tensor, dtype=np.float64)
    return np.array([np.linalg.norm(sizes), sizes.sum(), sizes.max()])


def _tells(tensor: np.ndarray) -> bool:
    return (
        tensor.dtype.kind == "f" and tensor.size >= LEAST and tensor.ndim <= 5 and float(np.ptp(tensor)) > 0
    )


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    norm = float(np.linalg.norm(a))
    if not np.isfinite(norm) or abs(float(np.linalg.norm(b)) - norm) > NEAR * norm:
        return False
    return any(
        turned.shape == a.shape and float(np.linalg.norm(a - turned)) < NEAR * norm
        for order in itertools.permutations(range(b.ndim))
        for turned in (b.transpose(order),)
    )
