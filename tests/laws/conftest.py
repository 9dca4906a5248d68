"""Compile as users do for the one loss that stands for the others; all of them would take three times as long."""

from collections.abc import Iterator

import jax
import pytest


@pytest.fixture(autouse=True)
def optimised_for_elbo(request: pytest.FixtureRequest) -> Iterator[None]:
    """Switch the optimisations on for a law of no loss, or of `elbo`."""
    name = request.node.callspec.params.get("name") if hasattr(request.node, "callspec") else None
    jax.config.update("jax_disable_most_optimizations", name not in (None, "elbo"))
    yield
    jax.config.update("jax_disable_most_optimizations", True)
