"""The smallest model: x·w should be 1. It compiles in a fraction of the time of a network."""

import jax
import jax.numpy as jnp


class Line:
    """Linear regression of 1 on the rows."""

    def init(self, key, x, cond=None):
        return {"params": {"w": jax.random.normal(key, x.shape[1:]), "b": jnp.zeros(())}}


def errors(variables, batch, key=None):
    """Return the squared error of every row, which is its score too."""
    params = variables["params"]
    return (batch.x @ params["w"] + params["b"] - 1) ** 2
