"""One file per architecture: ``reference()`` in torch and ``port()`` in Paddle, the same recipe.

``port()`` without keywords is faithful. Each keyword is one way to write that port wrong (or another faithful
way to write it); the catalogue says which.
"""
