"""The stages of alignment, in the order in which they are shown."""

STAGES = (
    "configuration",
    "initialisation",
    "eval data",
    "train data",
    "forward",
    "metric",
    "loss",
    "backward",
    "optimizer",
    "learning rate",
    "regularisation",
    "training mode",
    "training steps",
    "higher order",
)

CAUSAL_ORDER = (
    "eval data",
    "forward",
    "metric",
    "loss",
    "backward",
    "optimizer",
    "learning rate",
    "regularisation",
    "training mode",
    "higher order",
    "train data",
    "training steps",
    "initialisation",
    "configuration",
)
"""Where several stages diverge, the first of these is the cause and the later ones may follow from it."""
