"""What discriminators have beside a network: how they see a condition."""

from flax import linen as nn

from jaxae.networks.layers import check_condition, conditioned
from jaxae.types import Array

__all__ = ["Projection"]


class Projection(nn.Module):
    """A discriminator whose logit is a linear function of features, and their product with the condition's embedding.

    logit = v·φ(x) + b + ⟨W cond, φ(x)⟩. The other way to show a discriminator its condition is to give it as further
    inputs, which every network here does.

    Attributes:
        network: x -> features (n, width).

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from jaxae.networks import MLP
        >>> critic, x, cond = Projection(MLP((16,), activate_final=True)), jnp.ones((3, 8)), jnp.ones((3, 10))
        >>> critic.apply(critic.init(jax.random.key(0), x, cond), x, cond).shape
        (3, 1)

    References:
        Miyato & Koyama, cGANs with projection discriminator, 2018.
    """

    network: nn.Module

    @nn.compact
    def __call__(self, x: Array, cond: Array | None = None) -> Array:
        """Return logits (n, 1) of x (n, ...) under cond (n, conditions); without cond, of x alone.

        Raises:
            ValueError: if the network's features are not (n, width), or cond is not (n, conditions).
        """
        # Of no conditions there is no embedding to draw.
        check_condition(cond, "x", x, least=1)
        features = conditioned(self.network, x, None)
        if features.ndim != 2:
            raise ValueError(
                f"the network returned shape {features.shape}, but must return features (n, width): flatten or average "
                "what it returns"
            )
        logit = nn.Dense(1, name="linear")(features)
        if cond is None:
            return logit
        embedding = nn.Dense(features.shape[-1], use_bias=False, name="embedding")(cond)
        return logit + (embedding * features).sum(-1, keepdims=True)
