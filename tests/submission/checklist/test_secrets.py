"""Secrets are found, and what only looks like one is not."""

import pytest

from fuxian.submission.checklist.secrets import entropy, secret_in

# Put together here, so that no line of this file looks like one.
RANDOM = "q7Zr2Xk9Vb4T" + "n8Lw3Pf6Hs1D"


@pytest.mark.parametrize(
    "line",
    [
        "-----BEGIN RSA " + "PRIVATE KEY-----",
        "aws = 'AKIA" + "Q3EGTTQRHZLPWN2X'",
        "ghp_" + "a1B2c3D4e5" * 3 + "f6G7h8",
        "hf_" + "aBcDeFgHiJkLmNoPqRsTuVwXyZaBcDeFgH",
        f"api_key = '{RANDOM}'",
        f'"AISTUDIO_TOKEN": "{RANDOM}"',
        f"export SECRET_KEY={RANDOM}",
        "https://user:" + "hunter2hunter2@example.org/repo.git",
    ],
)
def test_secrets(line):
    assert secret_in(line) is not None


@pytest.mark.parametrize(
    "line",
    [
        "tokenizer = 'bert-base-uncased-tokenizer-v2'",
        "token = 'your_access_token_here_please_1'",
        "sha256 = '" + "0123456789abcdef" * 4 + "'",
        "num_tokens = 12345678901234567890",
        "secret_key = os.environ['SECRET_KEY']",
        "password = '<your-password>'",
        "url: https://user:${PASSWORD}@example.org",
        "cls_token = self.create_parameter_with_truncated_normal",
        "commit = " + "a1b2c3d4" * 5,
        "",
    ],
)
def test_no_secrets(line):
    assert secret_in(line) is None


def test_entropy_is_in_bits():
    assert entropy("aaaa") == 0
    assert entropy("abcd") == 2
