"""The rules of a challenge: pure functions over immutable values. No clock, no database, no randomness.

Whoever asks brings the moment and what is known; the answer is what becomes of it, or a ``Refused`` with the reason in
both languages.
"""
