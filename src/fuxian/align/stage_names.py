"""The stages of alignment, in the order in which they are shown."""

STAGES = (
    "configuration",
    "initialisation",
    "eval_data",
    "train_data",
    "forward",
    "metric",
    "loss",
    "backward",
    "optimizer",
    "learning_rate",
    "regularisation",
    "training_mode",
    "training_steps",
    "higher_order",
)

CAUSAL_ORDER = (
    "eval_data",
    "forward",
    "metric",
    "loss",
    "backward",
    "learning_rate",
    "optimizer",
    "regularisation",
    "configuration",
    "training_mode",
    "higher_order",
    "train_data",
    "training_steps",
    "initialisation",
)
"""Where several stages diverge, the first of these is the cause and the later ones may follow from it."""
