"""Ways through the latent space of images: one unit at a time, and from one image to another."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxae import latent, report
from jaxae.study.nouns import Study
from jaxae.study.pixels import as_images

__all__ = ["walks"]

UNITS = 6
STEPS = 9
PAIRS = 4
REACH = 2.5
"""How far a unit goes from its mean, in standard deviations of the codes."""


def walks(
    folder: Path, study: Study, codes: np.ndarray, decode: Callable[[Any, np.ndarray], Any], *, across: Any
) -> list[Any]:
    """Draw what each of the most varied units stands for, and the ways between pairs of test images.

    Args:
        folder: of the run.
        study: the trained model and its rows.
        codes: (n, latent) of the first n test images, n ≥ 2.
        decode: (codes (m, latent), (m,) rows of the test images whose conditions they are decoded under) -> images
            (m, pixels).
        across: interpolation of two codes, `latent.interpolate`, or `latent.slerp` under a normal prior.
    """
    if 1 in study.shape[:2] or len(codes) < 2:
        return []
    spread = codes.std(0)
    units = np.argsort(-spread, kind="stable")[: min(UNITS, codes.shape[1])]
    values = np.linspace(-REACH, REACH, STEPS)
    middle = codes.mean(0)
    walked = np.concatenate([latent.traverse(middle, int(u), middle[u] + values * spread[u]) for u in units])
    rows = np.zeros(len(walked), int)
    changed = as_images(study, decode(jnp.asarray(walked, jnp.float32), rows)).reshape(len(units), STEPS, *study.shape)
    pairs = [(2 * i, 2 * i + 1) for i in range(min(PAIRS, len(codes) // 2))]
    ways = np.concatenate([across(codes[a], codes[b], STEPS) for a, b in pairs])
    # Each half of the way under the condition of its own end.
    ends = np.concatenate([np.where(np.arange(STEPS) < STEPS / 2, a, b) for a, b in pairs])
    between = as_images(study, decode(jnp.asarray(ways, jnp.float32), ends)).reshape(len(pairs), STEPS, *study.shape)
    return [
        report.pictures.traversal(
            folder,
            changed,
            values,
            [f"unit {unit}" for unit in units],
            title="One latent unit at a time, in standard deviations of the codes",
            note="" if study.conditions is None else "All are of one class, that of the first test image.",
        ),
        report.pictures.interpolation(
            folder,
            between,
            note="" if study.conditions is None else "Where the two differ in class, it changes half way.",
        ),
    ]
