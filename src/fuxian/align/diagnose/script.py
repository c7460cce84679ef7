"""The smallest reproducer of a divergence that no hypothesis explains, as a Python program."""

from __future__ import annotations

import numpy as np

from fuxian.align.divergence import Divergence, Scene

SHOWN = 400
"""Elements beyond which a tensor is written as the first ones only."""


def reproducer(divergence: Divergence) -> str:
    """A program that holds the call's inputs, weights and both outputs, and prints how they differ; needs numpy.

    Empty where no call was recorded.
    """
    port, reference = divergence.port, divergence.reference
    if port is None or reference is None or port.call is None:
        return ""
    lines = [
        '"""The first call that differs: its inputs agree, its output does not."""',
        "import numpy as np",
        "",
        f"# port:      {port.call.name} at {divergence.place or 'the model'} ({port.line})",
    ]
    if reference.call is not None:
        lines.append(
            f"# reference: {reference.call.name} at {divergence.reference_place or 'the model'} ({reference.line})"
        )
    lines += [f"port_arguments = {port.call.arguments!r}", f"port_settings = {_plain(port)!r}"]
    if reference.call is not None:
        lines += [
            f"reference_arguments = {reference.call.arguments!r}",
            f"reference_settings = {_plain(reference)!r}",
        ]
    for word, scene in (("port", port), ("reference", reference)):
        for kind, arrays in (("inputs", scene.inputs()), ("outputs", scene.outputs())):
            lines.append(f"{word}_{kind} = [{', '.join(_array(array) for array in arrays)}]")
        weights = ", ".join(f"{name!r}: {_array(array)}" for name, array in scene.parameters().items())
        lines.append(f"{word}_weights = {{{weights}}}")
    lines += [
        "for ours, theirs in zip(port_outputs, reference_outputs):",
        "    print('shapes', ours.shape, theirs.shape)",
        "    if ours.shape == theirs.shape:",
        "        difference = np.abs(ours - theirs)",
        "        worst = np.unravel_index(difference.argmax(), difference.shape)",
        "        print('largest difference', difference.max(), 'at', worst, ours[worst], theirs[worst])",
    ]
    return "\n".join(lines) + "\n"


def _plain(scene: Scene) -> dict[str, object]:
    return {
        k: v for k, v in scene.attributes.items() if isinstance(v, (bool, int, float, str, list, type(None)))
    }


def _array(array: np.ndarray) -> str:
    """The array as an expression; of a large one the first rows."""
    whole = array
    while array.size > SHOWN and array.ndim:
        array = array[: max(1, len(array) // 2)] if len(array) > 1 else array[0]
    cut = "" if array.shape == whole.shape else f"  # the first of {list(whole.shape)}"
    values = np.array2string(array.reshape(-1), separator=",", threshold=10**9, max_line_width=10**9, precision=17,
                             floatmode="unique")  # fmt: skip
    values = values.replace("nan", "np.nan").replace("inf", "np.inf")
    text = f"np.array({values}, dtype={str(array.dtype)!r}).reshape({list(array.shape)})"
    return f"({text}{cut}\n)" if cut else text
