"""Sparse autoencoder of a table: few units speak for each row, and each stands for a few input variables."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import jaxae as ja

if TYPE_CHECKING:
    from jaxae.data import Scaling
    from jaxae.report import Check, Picture
    from jaxae.study import Source, Study
    from jaxae.types import Array, Key, Learner

JACOBIAN_ROWS = 1000
"""Held-out rows over which a unit's Jacobian is averaged, at most."""
ACTIVE = 0.1
"""A unit is active where its code exceeds this share of its largest."""
UNITS = {
    "loss": "squared standardised units per row",
    "error": "squared standardised units per row",
    "mean_squared_error": "squared standardised units",
}
CONTROLS = {
    "mean_squared_error": "PCA with as many components",
    "dictionary_cosine": "PCA's directions",
    "input_variables_found": "the loadings of PCA's directions",
}
OF_OWN_DATA = ("rows", "variables", "atoms", "active", "loads")


@dataclass(frozen=True)
class Settings:
    """n → widths → latent units (ReLU, or for kl a sigmoid) → n.

    The decoder is linear with directions of length 1, so that a small code cannot hide behind long ones. The penalty
    grows from 0 over the first half of the run, so that every unit finds its place before it is silenced.

    Attributes:
        penalty: kl, the Bernoulli divergence of a unit's mean activation from rate; l1 on the code; or top_k, only the
            k largest units of a row speak.
        weight: of the penalty at the end; none takes 50 for kl, 1 for l1, 0.1 (of the dense part) for top_k.
        rate: mean activation that kl asks for.
        k: units that speak, for top_k.
        latent: units of the code.
        widths: hidden layers of the encoder.
        decoder_widths: hidden layers of the decoder; none makes it linear, a dictionary.
        learning_rate: of Adam at the start of a cosine decay.
        epochs: passes over the training rows.
        batch_size: rows per step.
        rows: of the generated data, where none are given.
        variables: of the generated data.
        atoms: that generated rows are made of; units beyond their number keep two atoms from sharing one.
        active: atoms that speak in a generated row.
        loads: input variables of a generated atom.
    """

    penalty: Literal["kl", "l1", "top_k"] = "kl"
    weight: float | None = None
    rate: float = 0.05
    k: int = 2
    latent: int = 20
    widths: tuple[int, ...] = (128,)
    decoder_widths: tuple[int, ...] = ()
    learning_rate: float = 4e-3
    epochs: int = 150
    batch_size: int = 100
    rows: int = 10_000
    variables: int = 30
    atoms: int = 16
    active: int = 2
    loads: int = 4

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        from jaxae import checks

        checks.settings(self, above_0=("learning_rate", "rate"), below_1=("rate",))
        checks.whole("k", self.k, high=self.latent, why=", the latent units")
        if self.penalty == "top_k" and self.weight is not None:
            checks.fraction("weight", self.weight)


def source(settings: Settings, key: "Key") -> "Source":
    """Return rows that are made of a few atoms of a known dictionary each."""
    from jaxae.study import Source

    made = ja.data.dictionary(
        key,
        rows=settings.rows,
        variables=settings.variables,
        atoms=settings.atoms,
        active=settings.active,
        loads=settings.loads,
    )
    return Source(made.values, tuple(f"x{i}" for i in range(settings.variables)), truth=made)


def scaling(settings: Settings, values: Any, columns: Any) -> "Scaling":
    """Return the standardisation by the training rows."""
    return ja.data.standard(values, columns)


def model(settings: Settings, shape: tuple[int, ...]) -> Any:
    """Return the autoencoder of so many variables."""
    import math

    from flax import linen as nn

    (variables,) = shape
    bounded = settings.penalty == "kl"
    encoder = nn.Sequential((ja.networks.MLP((*settings.widths, settings.latent)), nn.sigmoid if bounded else nn.relu))
    decoder: Any
    if settings.decoder_widths:
        decoder = ja.networks.MLP((*settings.decoder_widths, variables))
    else:
        # A unit that is bounded to 1 must be able to move a row by its own length.
        decoder = ja.networks.Atoms(variables, gain=math.sqrt(variables) if bounded else 1.0)
    if settings.penalty == "top_k":
        return ja.models.SparseAE(encoder, decoder, k=settings.k)
    return ja.models.AE(encoder, decoder)


def encode(model: Any, x: Any) -> "Array":
    """Return the codes."""
    return model.encode(x)


def decode(model: Any, z: Any) -> "Array":
    """Return the reconstructions."""
    return model.decode(z)


def learner(model: Any, settings: Settings, steps: int, *, learning_rate: Any, weight: Any) -> "Learner":
    """Return Adam on the error and the penalty, whose weight grows over the first half."""
    import functools

    import optax

    losses: dict[str, Any] = {
        "l1": ja.losses.sparse_l1,
        "kl": functools.partial(ja.losses.sparse, rate=settings.rate),
        "top_k": ja.losses.sparse_top_k,
    }
    start = 1.0 if settings.penalty == "top_k" else 0.0
    end = {"l1": 1.0, "kl": 50.0, "top_k": 0.1}[settings.penalty] if weight is None else weight
    adam = optax.adam(optax.cosine_decay_schedule(learning_rate, steps))
    return ja.schedule(
        lambda weight: ja.descend(ja.objective(model, losses[settings.penalty], weight=weight), adam),
        weight=optax.linear_schedule(start, end, max(1, steps // 2)),
    )


def score(model: Any, settings: Settings) -> None:
    """Return nothing: with a penalty that grows, no epoch but the last has the model that is wanted."""
    return None


def activity(study: "Study") -> Any:
    """Return on which held-out rows each unit is active, (n, units) bool."""
    import numpy as np

    codes = np.asarray(encode(study.bound, study.test))
    return codes > ACTIVE * np.maximum(codes.max(0), np.finfo(np.float32).tiny)


def influence(study: "Study") -> Any:
    """Return the mean Jacobian (units, variables) of the code by the input, what each unit stands for."""
    import jax
    import numpy as np

    rows = study.test[:JACOBIAN_ROWS]

    def jacobian(variables: Any, x: Any) -> Any:
        return jax.jacrev(lambda row: encode(study.model.bind(variables), row[None])[0])(x)

    mean = jax.jit(lambda variables, x: jax.lax.map(lambda row: jacobian(variables, row), x, batch_size=50).mean(0))
    return np.asarray(mean(study.variables, rows))


def directions(study: "Study") -> Any:
    """Return how each unit moves the reconstruction, (units, columns) in the user's units: the mean Jacobian."""
    import jax
    import numpy as np

    codes = encode(study.bound, study.test[:JACOBIAN_ROWS])

    def mean(variables: Any, z: Any) -> Any:
        bound = study.model.bind(variables)
        return jax.vmap(jax.jacrev(lambda code: decode(bound, code[None])[0]))(z).mean(0)

    varying = study.scaling.scale[study.scaling.varying]
    return np.asarray(jax.jit(mean)(study.variables, codes)).T * varying


def recovered(study: "Study", found: Any, loads: Any) -> dict[str, float]:
    """Return how well directions (units, variables) match the true atoms, and largest loads the true variables."""
    import numpy as np

    cosine, place = ja.metrics.matched_cosine(found, study.source.truth.atoms)
    true = study.source.truth.atoms != 0
    shares = [
        true[atom, np.argsort(-np.abs(loads[unit]), kind="stable")[: true[atom].sum()]].mean()
        for atom, unit in enumerate(place)
    ]
    return {"dictionary_cosine": cosine, "input_variables_found": float(np.mean(shares))}


def evaluate(study: "Study", *, key: "Key") -> dict[str, float]:
    """Return error and sparsity on held-out rows, and of generated rows how well their dictionary was found."""
    import numpy as np

    codes = encode(study.bound, study.test)
    active = activity(study)
    found = {
        "mean_squared_error": ja.metrics.mean_squared_error(study.test, np.asarray(decode(study.bound, codes))),
        "active_units_per_row": float(active.sum(1).mean()),
        "sparsity": float(1 - active.mean()),
        "units_never_active": int((~active.any(0)).sum()),
    }
    if study.source.truth is not None and study.settings.latent >= len(study.source.truth.atoms):
        found |= recovered(study, directions(study), influence(study))
    return found


def controls(study: "Study") -> dict[str, float]:
    """Return the same for PCA with as many components, fitted on the same training rows."""
    from sklearn.decomposition import PCA

    pca = PCA(min(study.settings.latent, *study.train.shape), svd_solver="full").fit(study.train)
    reconstruction = pca.inverse_transform(pca.transform(study.test))
    found = {"mean_squared_error": ja.metrics.mean_squared_error(study.test, reconstruction)}
    truth = study.source.truth
    if truth is not None and pca.n_components_ >= len(truth.atoms) and study.settings.latent >= len(truth.atoms):
        varying = study.scaling.scale[study.scaling.varying]
        found |= recovered(study, pca.components_ * varying, pca.components_)
    return found


def checks(study: "Study", metrics: dict[str, float], controls: dict[str, float], *, key: "Key") -> list["Check"]:
    """Return whether no unit is dead, and it is no better on the rows it has seen."""
    import numpy as np

    def error(rows: Any) -> float:
        return ja.metrics.mean_squared_error(rows, np.asarray(decode(study.bound, encode(study.bound, rows))))

    found = [
        # What the mean row reaches is about 1, since the columns are standardised.
        ja.report.checks.against_control(
            metrics["mean_squared_error"],
            float(np.mean((study.test - study.train.mean(0)) ** 2)),
            name="mean squared error",
            control_name="the mean of the training rows",
            lower_is_better=True,
        ),
        ja.report.checks.silent_units(activity(study).any(0)),
        ja.report.checks.generalisation_gap(error(study.train), error(study.validation), name="mean squared error"),
    ]
    if "dictionary_cosine" in metrics:
        found.append(
            ja.report.checks.against_control(
                metrics["dictionary_cosine"],
                controls.get("dictionary_cosine", 0.0),
                name="cosine with the true dictionary",
                control_name="PCA's directions",
                lower_is_better=False,
            )
        )
    return found


def pictures(study: "Study", folder: Path, *, key: "Key") -> list["Picture"]:
    """Draw how often each unit is active and which input variables it stands for, and every column's reconstruction."""
    import numpy as np

    truth = None
    if study.source.truth is not None and study.settings.latent >= len(study.source.truth.atoms):
        place = ja.metrics.matched_cosine(directions(study), study.source.truth.atoms)[1]
        truth = np.zeros((study.settings.latent, study.test.shape[1]), bool)
        truth[place] = study.source.truth.atoms != 0
    original, reconstruction = (
        study.scaling.invert(np.asarray(rows))
        for rows in (study.test, decode(study.bound, encode(study.bound, study.test)))
    )
    return [
        ja.report.pictures.activations(
            folder, activity(study).mean(0), influence(study), study.scaling.names, truth=truth
        ),
        ja.report.pictures.reconstructions(folder, original, reconstruction, study.scaling.columns),
    ]
