"""What to do about a command that did not end well: the option that gives it more, or what its last words mean."""

from __future__ import annotations

import re2

from fuxian.sandbox import Outcome, readable
from fuxian.verify.entrant_output import shown

OPTIONS = {
    "timeout": "minutes of the command in fuxian.toml gives it more",
    "oom": "--memory gives it more",
    "disk": "write less, or into {out}",
    "output": "print less",
    "network": "bring what it fetches in the repository, or name it under [data]",
}
FRAME = re2.compile(r'File "/work/([^"\n]{1,200})", line (\d{1,7})')
"""A line of a traceback in the submission's own code, as commands see its folder."""
KNOWN = (
    (
        r"too many indices for array: array is 0-dimensional|invalid index to scalar variable|0-d array"
        r"|len\(\) of unsized object|iterat\w+ over a 0-[dD]",
        "since Paddle 2.5 a loss or a metric is a tensor without axes: write float(loss) for loss.numpy()[0]",
    ),
    (
        r"No module named 'paddle\.fluid'|module 'paddle' has no attribute 'fluid'",
        "paddle.fluid is gone since Paddle 2.5: use the API of Paddle 2 and later",
    ),
    (
        r"(?i)not compiled with cuda|Place\(gpu|no CUDA|cuda\w* (?:driver|error)|libcuda|cudaGet",
        "the sandbox has no GPU: choose the device by paddle.device.is_compiled_with_cuda()",
    ),
    (
        r"No module named",
        "name the package in the requirements, or the folder that the command runs in",
    ),
    (
        r"module 'numpy' has no attribute '(?:int|float|bool|object|str|complex)'",
        "numpy 1.24 has removed these names: write int, float or bool",
    ),
    (
        r"Read-only file system|Permission denied",
        "a command may write into its own folder, {out} and /tmp alone",
    ),
    (
        r"No such file or directory|FileNotFoundError|to load model not exists",
        "a command sees the submission's files, and the data sets that [data] names",
    ),
    (
        r"unrecognized arguments|the following arguments are required",
        "mend the command in fuxian.toml",
    ),
)


def advice(outcome: Outcome) -> str:
    """A sentence's end: the last line that a failed command said, and what to do; empty where it ended well."""
    if outcome.reason == "ok":
        return ""
    if outcome.reason != "crash":
        option = OPTIONS.get(outcome.reason)
        return f" ({option})" if option else ""
    end = readable(outcome.stderr[-4000:])
    last = next((line for line in reversed(shown(outcome.stderr).splitlines()) if line.strip()), "")
    frames = list(FRAME.finditer(end))
    at = f", in {frames[-1].group(1)}, line {frames[-1].group(2)}" if frames else ""
    said = f" It said: {last.strip()}{at}" if last else " It said nothing on stderr."
    known = next((meaning for pattern, meaning in KNOWN if re2.search(pattern, end)), None)
    return f"{said} ({known}.)" if known else said
