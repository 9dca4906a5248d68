"""Ways of changing variables: an objective, gradient descent on it, and how learners combine.

A `Learner` is a pair of pure functions, so learners compose as optax's gradient transformations do: a GAN is
`chain(discriminator=repeat(descend(...), 2), generator=descend(...))`, a warm-up is `schedule(factory, beta=...)`.
"""

from jaxae.learner.combining import chain, repeat, schedule
from jaxae.learner.descent import descend
from jaxae.learner.lifting import Lifted, lift
from jaxae.learner.objectives import objective, score
from jaxae.learner.warming import WarmStart, warm_start

__all__ = [
    "Lifted",
    "WarmStart",
    "chain",
    "descend",
    "lift",
    "objective",
    "repeat",
    "schedule",
    "score",
    "warm_start",
]
