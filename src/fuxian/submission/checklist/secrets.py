"""Keys and passwords that must not be published."""

from __future__ import annotations

import math
from collections import Counter

import re2

from fuxian.submission.checklist.finding import Result, failed, passed
from fuxian.submission.checklist.submitted_files import TEXT, SubmittedFiles

KEYS = {
    "a private key": re2.compile(r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----"),
    "an AWS key": re2.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    "a GitHub token": re2.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{60,})\b"),
    "a Google key": re2.compile(r"\bAIza[0-9A-Za-z_-]{35}\b"),
    "a Slack token": re2.compile(r"\bxox[abprs]-[0-9A-Za-z-]{20,}"),
    "a Hugging Face token": re2.compile(r"\bhf_[A-Za-z0-9]{34}\b"),
    "an API key": re2.compile(r"\bsk-(?:proj-|ant-)?[A-Za-z0-9_-]{32,}"),
    "a password in a URL": re2.compile(
        r"\bhttps?://[^\s/:@'\"<>{}$]+:[^\s/@'\"<>{}$*][^\s/@'\"<>{}$]{5,}@[\w.-]+"
    ),
}
ASSIGNED = re2.compile(
    r"(?i)[\"']?\b[\w-]*(?:secret|password|passwd|token|api_?key|access_?key|auth_?key)[\w-]*[\"']?[ \t]*[:=][ \t]*"
    r"[\"']?([A-Za-z0-9+/_=-]{20,200})[\"']?"
)
NO_SECRET = re2.compile(
    r"(?i)example|placeholder|your|xxxx|test|dummy|changeme|^[a-z]+([_-][a-z]+)*$|tokenizer"
)
LEAST_ENTROPY = 3.6
"""Bits a character: English identifiers have less, random base64 of 20 characters more."""


def secrets(tree: SubmittedFiles) -> Result:
    """No key, token or password in a text file."""
    read = 0
    for path in tree.named(*TEXT):
        read += 1
        text = tree.text(path)
        found = secret_in(text)
        if found:
            what, at = found
            return failed(
                f"this looks like {what}",
                "revoke it, then remove it from the whole history",
                path,
                text.count("\n", 0, at) + 1,
            )
    return passed(f"none in {read} text files")


def secret_in(text: str) -> tuple[str, int] | None:
    """What kind of secret the text seems to hold, and where it begins."""
    for what, pattern in KEYS.items():
        if match := pattern.search(text):
            return what, match.start()
    for match in ASSIGNED.finditer(text):
        value = match.group(1)
        mixed = any(c.isdigit() for c in value) and any(c.isalpha() for c in value)
        if mixed and entropy(value) >= LEAST_ENTROPY and not NO_SECRET.search(value):
            return "a secret that is assigned", match.start()
    return None


def entropy(text: str) -> float:
    """Shannon entropy of the characters, in bits a character."""
    counts = Counter(text)
    return -sum(n / len(text) * math.log2(n / len(text)) for n in counts.values())
