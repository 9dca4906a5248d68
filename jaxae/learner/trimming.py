"""Losses that leave out the examples they fit worst."""

import math
from typing import Any

import jax

from jaxae import checks
from jaxae.types import Array, Batch, Key, Loss, Metrics

__all__ = ["trimmed"]


def trimmed(loss: Loss, share: float) -> Loss:
    """Return the loss that leaves out the share of a batch's examples whose values are largest.

    For training on rows of which some are not what the model is to learn: ⌊share·n⌋ of n examples count as 0 and have
    no gradient, and the others are scaled so that the batch's mean is theirs. So an example's value depends on its
    batch; without a key, where a loss is a score, nothing is left out.

    Args:
        loss: any.
        share: from 0 to less than 1.

    Raises:
        TypeError: if loss is no function, or share no number.
        ValueError: if share is outside [0, 1).

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> own = trimmed(lambda model, batch, key: (batch.x, {}), 0.25)
        >>> batch = Batch(jnp.array([3.0, 9.0, 6.0, 0.0]))
        >>> own(None, batch, jax.random.key(0))[0].tolist(), own(None, batch, None)[0].tolist()
        ([4.0, 0.0, 8.0, 0.0], [3.0, 9.0, 6.0, 0.0])

    References:
        Rousseeuw, Least median of squares regression, 1984 (least trimmed squares).
    """
    checks.function("loss", loss, "losses.reconstruction")
    checks.fraction("share", share)
    if share == 1:
        raise ValueError("share is 1, but something must be left to learn from: give less than 1")

    def own(model: Any, batch: Batch, key: Key | None, /, **hparams: Any) -> tuple[Array, Metrics]:
        values, metrics = loss(model, batch, key, **hparams)
        n = len(values)
        out = math.floor(round(share * n, 6))
        if key is None or not out:
            return values, metrics
        largest = jax.lax.top_k(jax.lax.stop_gradient(values), out)[1]
        return values.at[largest].set(0) * (n / (n - out)), metrics

    return own
