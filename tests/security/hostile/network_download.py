"""Downloads weights, as careless code does."""

import urllib.request

urllib.request.urlopen("https://paddle-model.example.com/weights.pdparams", timeout=2)
