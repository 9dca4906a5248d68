"""Many runs as one program: a member is a pure function of a key and hyperparameters, a population is all of them.

groups    what one device runs: members under vmap, one group after another
devices   how it runs on every device of a mesh
spreading members spread over devices
sweeping  runs of a function of a key and hyperparameters
"""

from jaxae.population.devices import DATA, check_axes, everywhere, over_rows, put
from jaxae.population.spreading import spread
from jaxae.population.sweeping import sweep

__all__ = ["DATA", "check_axes", "everywhere", "over_rows", "put", "spread", "sweep"]
