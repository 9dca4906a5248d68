"""What the recipes of generative adversarial networks of images share: the two networks, and what they make."""

import functools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxae import latent, report
from jaxae.networks import ConvDecoder, ConvEncoder, Stage, mirror
from jaxae.study.nouns import Study
from jaxae.study.pixels import as_images, in_blocks
from jaxae.types import Key

__all__ = ["networks", "scores", "sheets", "shown", "walks"]

SMALLEST = 8
"""Images are halved while they have so many pixels a side, and an even number."""
PAIRS, STEPS = 4, 9


def networks(width: int, shape: tuple[int, ...], *, logit: bool) -> tuple[nn.Module, nn.Module]:
    """Return a generator and a discriminator (its features, or with `logit` its logits) of images of a shape.

    References:
        Radford, Metz & Chintala, Unsupervised representation learning with deep convolutional generative adversarial
        networks, 2016.
    """
    h, w, channels = shape
    sides: list[int] = [h, w]
    stages: list[Stage] = []
    while not stages or (min(sides) >= SMALLEST and all(side % 2 == 0 for side in sides)):
        stages.append(Stage(width * 2 ** len(stages), 4))
        sides = [side // 2 for side in sides]
    init = nn.initializers.normal(0.02)
    start, back = mirror(stages, (h, w, channels))
    generator = ConvDecoder(start, back, norm=True, norm_first=True, activate_start=True, rows=True, kernel_init=init)
    discriminator = ConvEncoder(
        tuple(stages),
        activation=functools.partial(nn.leaky_relu, negative_slope=0.2),
        norm=True,
        norm_first=True,
        width=1 if logit else None,
        image=(h, w, channels),
        kernel_init=init,
    )
    return nn.Sequential((generator, nn.tanh)), discriminator


def scores(study: Study, made: np.ndarray) -> dict[str, float]:
    """Return the mean probability of being real that the discriminator gives test images and generated ones."""
    cond = study.cond.get("test")
    return {
        name: float(in_blocks(lambda x, *cond: jax.nn.sigmoid(study.bound.discriminate(x, *cond)), rows, given).mean())
        for name, rows, given in (
            ("discriminator_real", study.test, cond),
            ("discriminator_fake", made, None if cond is None else cond[: len(made)]),
        )
    }


def shown(rows: Any) -> np.ndarray:
    """Return images in −1…1 as images in 0…1."""
    return (np.asarray(rows) + 1) / 2


def sheets(folder: Path, study: Study, made: np.ndarray) -> list[Any]:
    """Draw generated images (n, pixels), and as many real ones."""
    if 1 in study.shape[:2]:
        return []
    return [
        report.pictures.sheet(folder, as_images(study, shown(made))),
        report.pictures.sheet(
            folder, as_images(study, shown(study.test[: len(made)])), name="real", title="Test images, to compare with"
        ),
    ]


def walks(folder: Path, study: Study, key: Key) -> list[Any]:
    """Draw the ways between pairs of noises; of a conditional model under the conditions of the first test images."""
    if 1 in study.shape[:2]:
        return []
    ends = np.asarray(jax.random.normal(key, (PAIRS, 2, study.settings.latent)))
    noise = jnp.concatenate([latent.slerp(a, b, STEPS) for a, b in ends])
    cond = study.cond.get("test")
    given = () if cond is None else (jnp.repeat(jnp.asarray(cond[:PAIRS]), STEPS, axis=0),)
    made = study.bound.generator(noise, *given)
    return [
        report.pictures.interpolation(
            folder,
            as_images(study, shown(made)).reshape(PAIRS, STEPS, *study.shape),
            title="From one noise to another",
            caption="Each row goes from one draw of the noise to another, on the sphere of their length: images should "
            "change smoothly and stay images.",
        )
    ]
