"""The reproduced papers, one folder each: paper.toml, model, loss, data, recipe, reference, weights."""
