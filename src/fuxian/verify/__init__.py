"""The whole acceptance of a submission: prepare, check, evaluate, replay, chain, rule, evidence."""
