"""What `fuxian new` leaves to be filled in, filled in."""


def fill_in(folder):
    """What the template leaves to be filled in."""
    for file in ("fuxian.toml", "paper.toml", "reference/run.py"):
        text = (folder / file).read_text()
        for old, own in (
            ("Your team", "The Mixers"),
            ("your-name", "mixers"),
            ("Your name", "Ada"),
            ("you@example.org", "ada@mixers.net"),
            ('number = "0"', 'number = "42"'),
            (": the title of the paper", ": telling waveforms apart"),
            ("The authors of the paper", "Ada One"),
            ('"venue"', '"NeurIPS"'),
            ("year = 1900", "year = 2021"),
            ("https://example.org", "https://mixers.net"),
            ("The task of the template", "Waveforms"),
        ):
            text = text.replace(old, own)
        (folder / file).write_text(text)
