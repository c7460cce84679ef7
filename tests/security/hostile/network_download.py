"""Downloads weights, as careless code does."""

import urllib.request

import attempt  # noqa: F401 - ends this script outside a sandbox

urllib.request.urlopen("https://paddle-model.example.com/weights.pdparams", timeout=2)
