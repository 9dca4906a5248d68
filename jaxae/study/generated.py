"""How generated images are judged: in the features of a small classifier, trained on the same images."""

import functools
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from jaxae import metrics, report
from jaxae.learner import descend, objective
from jaxae.networks import ConvEncoder, Stage
from jaxae.study.nouns import Study
from jaxae.study.pixels import ROWS, as_images, in_blocks
from jaxae.training import train
from jaxae.types import Array, Batch, Key, Metrics

__all__ = [
    "FIGURES",
    "MOST",
    "Judge",
    "check_manifold",
    "check_recognised",
    "class_sheets",
    "distances",
    "drawn",
    "judge",
    "of_every_class",
    "recognised",
]

FEATURES = 64
STEPS = 1000
EPOCHS = 5
"""At least, of however many images."""
BATCH = 128
MOST = 5000
"""Images of each kind that are compared, at most: the time grows with their square."""
EACH = 10
"""Images of each class on a sheet."""
ABLE = 0.7
"""Share of the test images that the classifier must recognise for what it sees in others to count."""
FIGURES = ("frechet_distance", "kernel_distance", "precision", "recall", "density", "coverage", "classifier_score")
"""Names of what `distances` returns."""


class Judge(NamedTuple):
    """What generated images are compared by.

    Attributes:
        features: scaled images (n, pixels) -> (n, features).
        probabilities: the same -> (n, classes), or None where the images have no labels.
        kinds: the labels that the classes stand for.
        accuracy: of the classifier on test images; NaN without labels.
    """

    features: Callable[[np.ndarray], np.ndarray]
    probabilities: Callable[[np.ndarray], np.ndarray] | None
    kinds: np.ndarray
    accuracy: float


class _Classifier(nn.Module):
    """Convolutions, a layer of features, and logits that are linear in them."""

    image: tuple[int, int, int]
    classes: int

    def setup(self) -> None:
        halvings = 2 if min(self.image[:2]) >= 8 else 1
        stages = tuple(Stage(32 * 2**i) for i in range(halvings))
        self.network = ConvEncoder(stages, image=self.image, width=FEATURES)
        self.head = nn.Dense(self.classes)

    def features(self, x: Array) -> Array:
        return nn.relu(self.network(x))

    def __call__(self, x: Array, cond: Array | None = None) -> Array:
        return self.head(self.features(x))


def _cross_entropy(model: Any, batch: Batch, key: Key | None, /) -> tuple[Array, Metrics]:
    return -(jax.nn.log_softmax(model(batch.x)) * jnp.asarray(batch.cond)).sum(-1), {}


def judge(study: Study) -> Judge:
    """Return a classifier's features, trained on the training images; where they have no labels, principal components.

    A network of two strided convolutions and a layer of 64 features, under 1,000 steps of Adam and 5 passes at least.
    Figures in its features compare models of the same images; they are not those that an Inception network would give.
    """
    labels = study.labels_of("train")
    if labels is None:
        from sklearn.decomposition import PCA

        pca = PCA(min(FEATURES, *study.train.shape), svd_solver="covariance_eigh").fit(study.train[:10_000])
        return Judge(pca.transform, None, np.zeros(0, int), math.nan)
    kinds, places = np.unique(labels, return_inverse=True)
    h, w, c = study.shape
    model = _Classifier((h, w, c), len(kinds))
    batch = min(BATCH, len(study.train))
    epochs = max(EPOCHS, round(STEPS * batch / len(study.train)))
    steps = epochs * (len(study.train) // batch)
    learner = descend(objective(model, _cross_entropy), optax.adam(optax.cosine_decay_schedule(2e-3, steps)))
    data = Batch(jnp.asarray(study.train), jnp.asarray(np.eye(len(kinds), dtype=np.float32)[places]))
    state, _ = jax.jit(lambda data, key: train(model, learner, data, key, epochs=epochs, batch_size=batch))(
        data, jax.random.fold_in(study.key, len(kinds))
    )
    bound = model.bind(state.variables)
    compiled = map(jax.jit, (bound.features, lambda x: jax.nn.softmax(bound(x))))
    features, probabilities = (functools.partial(in_blocks, function) for function in compiled)
    test = study.labels_of("test")
    found = kinds[probabilities(study.test).argmax(1)]
    return Judge(features, probabilities, kinds, float((found == test).mean()))


def distances(judge: Judge, real: np.ndarray, generated: np.ndarray) -> dict[str, float]:
    """Return how far generated images (n, pixels) are from real ones, in the judge's features.

    Args:
        judge: of the recipe.
        real: (m, pixels) images that nothing was trained on; the first 5,000 are compared.
        generated: (n, pixels); as many are compared as there are real ones, at most.

    Returns:
        `FIGURES`; the classifier score only where there is a classifier.
    """
    few = min(MOST, len(real), len(generated))
    true, made = (judge.features(rows[:few]) for rows in (real, generated))
    manifold = metrics.manifold(true, made)
    found = {
        "frechet_distance": metrics.frechet_distance(true, made),
        "kernel_distance": metrics.kernel_distance(true, made),
        **manifold._asdict(),
    }
    if judge.probabilities is not None:
        found["classifier_score"] = metrics.classifier_score(judge.probabilities(generated[:few]).astype(np.float64))
    return found


def recognised(judge: Judge, generated: np.ndarray, asked: np.ndarray) -> float:
    """Return the share of generated images (n, pixels) in which the classifier sees the labels asked for, (n,)."""
    if judge.probabilities is None:
        raise ValueError("images without labels have no classifier to recognise them by")
    return float((judge.kinds[judge.probabilities(generated).argmax(1)] == asked).mean())


def drawn(recipe: ModuleType, study: Study, key: Key, cond: np.ndarray | int) -> np.ndarray:
    """Return generated images (n, pixels): one for each row of cond, or so many where there are no conditions."""
    n = cond if isinstance(cond, int) else len(cond)
    keys = jax.random.split(key, max(1, -(-n // ROWS)))
    images = []
    for first, own in zip(range(0, n, ROWS), keys, strict=True):
        few = min(ROWS, n - first)
        given = () if isinstance(cond, int) else (jnp.asarray(cond[first : first + few]),)
        images.append(np.asarray(recipe.sample(study.bound, own, few, *given)))
    return np.concatenate(images)


def of_every_class(recipe: ModuleType, study: Study, key: Key, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return n labels, every class in turn, and the images (n, pixels) that are drawn of them."""
    conditions, source = study.conditions, study.source
    if conditions is None or source.conditions is None or source.labels is None:
        raise ValueError("the images are not conditioned on their class, so none can be drawn of one")
    (name,), (words,) = conditions.names, conditions.levels
    asked = [(words or ())[place] for place in np.resize(np.arange(len(words or ())), n)]
    labels = dict(zip(source.conditions[name], source.labels, strict=True))
    return np.asarray([labels[word] for word in asked]), drawn(recipe, study, key, conditions.apply({name: asked}))


def class_sheets(
    recipe: ModuleType, folder: Path, study: Study, key: Key, shown: Callable[[Any], Any] = np.asarray
) -> list[Any]:
    """Draw ten images of every class, one row each, which `shown` puts into 0…1; nothing of rows that are no images."""
    if 1 in study.shape[:2] or study.conditions is None:
        return []
    (words,) = study.conditions.levels
    count = len(words or ())
    _, images = of_every_class(recipe, study, key, EACH * count)
    by_class = as_images(study, shown(images)).reshape(EACH, count, *study.shape)
    return [report.pictures.classes(folder, {word: by_class[:, place] for place, word in enumerate(words or ())})]


def check_manifold(figures: Mapping[str, float], controls: Mapping[str, float]) -> list[report.Check]:
    """Return whether generated images lie among the real ones, and real ones among the generated."""
    return [
        report.checks.against_control(
            figures[name],
            controls[name],
            name=words,
            control_name="training images as if generated",
            lower_is_better=False,
            slack=0.25,
        )
        for name, words in (
            ("precision", "precision, the share of generated images that lie among real ones,"),
            ("recall", "recall, the share of real images that lie among generated ones,"),
        )
    ]


def check_recognised(figures: Mapping[str, float], controls: Mapping[str, float]) -> report.Check:
    """Return whether a classifier of real images sees in generated ones the class that was asked for."""
    if controls["recognised"] < ABLE:
        right = report.words.number(100 * controls["recognised"], digits=2)
        return report.Check(
            "recognised classes",
            False,
            f"The classifier that is to recognise generated images is itself right on only {right} % of test images, "
            "so what it sees says nothing: give more images of each class, or classes that can be told apart.",
        )
    return report.checks.against_control(
        figures["recognised"],
        controls["recognised"],
        name="share of generated images that a classifier sees as the class asked for",
        control_name="the test images",
        lower_is_better=False,
        slack=0.05,
    )
