"""Ways of changing variables: an objective, gradient descent on it, and how learners combine.

A `Learner` is a pair of pure functions, so learners compose as optax's gradient transformations do: a GAN is
`chain(discriminator=repeat(descend(...), 2), generator=descend(...))`, a warm-up is `schedule(factory, beta=...)`.
"""

from jaxae.learner.averaging import Averaged, averaged, averages
from jaxae.learner.combining import chain, repeat, schedule
from jaxae.learner.descent import descend
from jaxae.learner.lifting import Lifted, lift
from jaxae.learner.objectives import accumulate, objective, score
from jaxae.learner.precision import InBfloat16, in_bfloat16
from jaxae.learner.skipping import Skipping, skip_nonfinite
from jaxae.learner.trimming import trimmed
from jaxae.learner.warming import WarmStart, warm_start

__all__ = [
    "Averaged",
    "InBfloat16",
    "Lifted",
    "Skipping",
    "WarmStart",
    "accumulate",
    "averaged",
    "averages",
    "chain",
    "descend",
    "in_bfloat16",
    "lift",
    "objective",
    "repeat",
    "schedule",
    "score",
    "skip_nonfinite",
    "trimmed",
    "warm_start",
]
