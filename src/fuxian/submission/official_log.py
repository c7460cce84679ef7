"""The training log in the official fields: iter, lr, loss, avg_reader_cost, avg_batch_cost, avg_ips, and the metric.

Official guide, docs/lwfx/ArticleReproduction_CV.md, step "training log"; docs/tipc/train_infer_python/README.md, 2.2.3.
"""

from __future__ import annotations

from typing import Any


def official_line(row: dict[str, Any], iterations: int) -> str:
    """One line of ``log.jsonl`` in the official form; costs in seconds a step, ips in examples a second.

    Zeros at the end stay, for a reader takes the digits for the precision.
    """
    start = f"iter: {row['step']}/{iterations}"
    if "eval" in row:
        figures = ", ".join(f"{name}: {value:.6g}" for name, value in row["eval"].items())
        return f"[eval] {start}, {figures}"
    parts = [start]
    parts += [f"lr: {row['lr']:.6g}"] if "lr" in row else []
    parts.append(f"loss: {row['loss']:.6g}")
    if "batch_cost" in row:
        parts += [
            f"avg_reader_cost: {row['reader_cost']:#.6g} sec",
            f"avg_batch_cost: {row['batch_cost']:#.6g} sec",
            f"avg_ips: {row['ips']:#.6g} examples/sec",
        ]
    return ", ".join(parts)


def official_log(rows: list[dict[str, Any]]) -> str:
    """A whole ``log.jsonl`` in the official form, which has no place for the chain of checkpoints."""
    iterations = max((row["step"] for row in rows), default=0)
    return "".join(official_line(row, iterations) + "\n" for row in rows if "loss" in row or "eval" in row)
