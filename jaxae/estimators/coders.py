"""Transformers: autoencoders whose codes are a table's new columns, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import jax
import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted

from jaxae import checks, ensembles
from jaxae.estimators.detectors import checked_widths, sparse_family
from jaxae.estimators.standardised import Standardised, seed, two_keys, validated

__all__ = ["Autoencoder", "Denoiser", "SparseAutoencoder", "VariationalAutoencoder"]


class _Single(TransformerMixin, Standardised):
    """One model of a family."""

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: N803
        """Train on rows X (n, columns).

        Args:
            X: finite numbers; of more than 100,000 rows so many are drawn and used. A frame's names are kept.
            y: not used.

        Raises:
            ValueError, TypeError: for rows that are not as above, and for parameters that are not as the class says.
        """
        x = validated(self, X)
        self._check()
        self._family()
        self.seed_ = seed(self.random_state)
        x = self._drawn(x)
        self._measure(x)
        self._learn_alone(self._standardised(x), self._noise())
        return self

    def _noise(self) -> float:
        return 0.0

    def _decoded(self, z: np.ndarray) -> np.ndarray:
        """Return the rows of codes, in the table's units."""
        made = ensembles.decoded(self._trained, self.variables_, z, self.n_features_in_)
        return made * self.scale_ + self.mean_

    def _encoded(self, X: Any) -> np.ndarray:  # noqa: N803
        return ensembles.encoded(self._trained, self.variables_, self._rows(X))


class _Coder(ClassNamePrefixFeaturesOutMixin, _Single):
    """One model whose codes are new columns."""

    def __sklearn_tags__(self) -> Any:
        """Return the tags: codes are as precise as they are computed."""
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    def transform(self, X: Any) -> np.ndarray:  # noqa: N803
        """Return the codes of rows X (n, columns), float32."""
        return self._encoded(X)

    def inverse_transform(self, X: Any) -> np.ndarray:  # noqa: N803
        """Return the rows (n, columns) that codes X stand for, in the units of the table."""
        check_is_fitted(self)
        z = check_array(X, dtype=np.float32)
        if z.shape[1] != self._n_features_out:
            raise ValueError(f"X has {z.shape[1]} columns, but a code has {self._n_features_out}")
        return self._decoded(z)


class Autoencoder(_Coder):
    """Codes of few columns, from which an autoencoder reconstructs the rows.

    Standardised columns, hidden layers with ReLU between a linear code; the mean squared error is descended.

    Args:
        latent: columns of the code.
        widths: of the encoder's hidden layers; the decoder has them in reverse.
        noise: standard deviation of the noise that is added to the standardised rows in training, and that the
            reconstruction is to be without.
        steps: of Adam.
        batch_size: rows of a step, drawn with replacement: there may be fewer.
        learning_rate: at the first step; it falls to 0.
        random_state: seed, or `numpy.random.RandomState`. The same one gives the same bits; None draws a new one.

    Attributes:
        n_features_in_, feature_names_in_: of the table.
        loss_curve_: (50,) mean loss over equal parts of the training.
        mean_, scale_: (columns,) by which rows are standardised; the scale of a constant column is 1.
        variables_: parameters by name.

    Examples:
        >>> import numpy as np
        >>> angle = np.random.default_rng(0).uniform(0, 6.3, 500)
        >>> circle = np.stack([np.cos(angle), np.sin(angle)], 1)
        >>> coder = Autoencoder(latent=1, steps=2000).fit(circle)
        >>> bool(np.abs(coder.inverse_transform(coder.transform(circle)) - circle).mean() < 0.2)
        True

    References:
        Hinton & Salakhutdinov, Reducing the dimensionality of data with neural networks, 2006.
    """

    def __init__(
        self,
        latent: int = 2,
        *,
        widths: Sequence[int] = (64, 64),
        noise: float = 0.0,
        steps: int = 1000,
        batch_size: int = 64,
        learning_rate: float = 5e-3,
        random_state: Any = 0,
    ) -> None:
        self.latent = latent
        self.widths = widths
        self.noise = noise
        self.steps = steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.random_state = random_state

    @property
    def _n_features_out(self) -> int:
        return self.latent

    def _family(self) -> ensembles.Autoencoding:
        checks.whole("latent", self.latent)
        widths = checked_widths(self.widths)
        return ensembles.Autoencoding((*widths, self.latent, *widths[::-1]), linear=True)

    def _noise(self) -> float:
        checks.not_negative("noise", self.noise)
        return self.noise


class SparseAutoencoder(_Coder):
    """Codes of many columns, few of which are far from 0 in any row.

    One hidden layer of sigmoid units, of which each is to be active so often on average over a batch; the squared error
    of a standardised column plus the penalty is descended.

    Args:
        units: columns of the code; there may be more than in the table.
        activity: mean activation of a unit that is asked for, in (0, 1).
        weight: of that.
        steps, batch_size, learning_rate, random_state: as those of `Autoencoder`.

    Attributes:
        n_features_in_, feature_names_in_, loss_curve_, mean_, scale_, variables_: as those of `Autoencoder`.

    Examples:
        >>> import numpy as np
        >>> rows = np.random.default_rng(0).normal(size=(200, 3))
        >>> SparseAutoencoder(units=20).fit_transform(rows).shape
        (200, 20)

    References:
        Ng, Sparse autoencoder, CS294A lecture notes, 2011.
    """

    def __init__(
        self,
        units: int = 20,
        *,
        activity: float = 0.1,
        weight: float = 0.05,
        steps: int = 1000,
        batch_size: int = 64,
        learning_rate: float = 1e-2,
        random_state: Any = 0,
    ) -> None:
        self.units = units
        self.activity = activity
        self.weight = weight
        self.steps = steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.random_state = random_state

    @property
    def _n_features_out(self) -> int:
        return self.units

    def _family(self) -> ensembles.Autoencoding:
        return sparse_family(self.units, self.activity, self.weight)


class VariationalAutoencoder(_Coder):
    """Codes of few columns that are spread like a standard normal distribution, and new rows drawn from it.

    Standardised columns and a normal likelihood with one learned scale for each; the evidence lower bound is ascended.

    Args:
        latent: columns of the code, which is the posterior's mean.
        widths: of the encoder's hidden layers, with ReLU; the decoder has them in reverse.
        steps, batch_size, learning_rate, random_state: as those of `Autoencoder`.

    Attributes:
        n_features_in_, feature_names_in_, loss_curve_, mean_, scale_, variables_: as those of `Autoencoder`; the loss
            is in nats per column.

    Examples:
        >>> import numpy as np
        >>> rows = np.random.default_rng(0).normal(size=(500, 1)) * [1.0, 2.0] + [5.0, 7.0]
        >>> made = VariationalAutoencoder(latent=1).fit(rows).sample(1000)
        >>> made.shape, bool(np.corrcoef(made.T)[0, 1] > 0.9)
        ((1000, 2), True)

    References:
        Kingma & Welling, Auto-encoding variational Bayes, 2014.
    """

    def __init__(
        self,
        latent: int = 2,
        *,
        widths: Sequence[int] = (64, 64),
        steps: int = 1000,
        batch_size: int = 64,
        learning_rate: float = 5e-3,
        random_state: Any = 0,
    ) -> None:
        self.latent = latent
        self.widths = widths
        self.steps = steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.random_state = random_state

    def sample(self, n_samples: int = 1, random_state: Any = 0) -> np.ndarray:
        """Return new rows (n_samples, columns) in the units of the table: codes from the prior, rows from theirs.

        Args:
            n_samples: at least 1.
            random_state: as of the class; the same one gives the same rows.
        """
        check_is_fitted(self)
        checks.whole("n_samples", n_samples)
        code_key, row_key = two_keys(random_state)
        z = np.asarray(jax.random.normal(code_key, (n_samples, self._trained.latent)))
        apart = np.asarray(jax.random.normal(row_key, (n_samples, self.n_features_in_)))
        return self._decoded(z) + apart * self.residual_scale_

    @property
    def residual_scale_(self) -> np.ndarray:
        """(columns,) standard deviation of a column around what its code says, in its units."""
        return ensembles.deviations(self.variables_, slice(self.n_features_in_)) * self.scale_

    @property
    def _n_features_out(self) -> int:
        return self.latent

    def _family(self) -> ensembles.Variational:
        checks.whole("latent", self.latent)
        return ensembles.Variational(checked_widths(self.widths), self.latent)


class Denoiser(OneToOneFeatureMixin, _Single):
    """Rows without their noise: an autoencoder is trained to make rows of rows to which noise was added.

    Args:
        noise: standard deviation of the noise in that of the columns; about that of the noise to be taken out.
        widths: of the hidden layers, from the table to the code and back.
        steps, batch_size, learning_rate, random_state: as those of `Autoencoder`.

    Attributes:
        n_features_in_, feature_names_in_, loss_curve_, mean_, scale_, variables_: as those of `Autoencoder`.

    Examples:
        >>> import numpy as np
        >>> draw = np.random.default_rng(0)
        >>> clean = draw.normal(size=(1000, 1)) * np.ones((1, 8))
        >>> noisy = clean + 0.5 * draw.normal(size=clean.shape)
        >>> found = Denoiser(noise=0.5).fit(clean).transform(noisy)
        >>> bool(((found - clean) ** 2).mean() < 0.2 * ((noisy - clean) ** 2).mean())
        True

    References:
        Vincent et al., Extracting and composing robust features with denoising autoencoders, 2008.
    """

    def __init__(
        self,
        noise: float = 0.5,
        *,
        widths: Sequence[int] = (64, 64),
        steps: int = 1000,
        batch_size: int = 64,
        learning_rate: float = 5e-3,
        random_state: Any = 0,
    ) -> None:
        self.noise = noise
        self.widths = widths
        self.steps = steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.random_state = random_state

    def transform(self, X: Any) -> np.ndarray:  # noqa: N803
        """Return rows X (n, columns) without noise."""
        return self._decoded(self._encoded(X))

    def _family(self) -> ensembles.Autoencoding:
        return ensembles.Autoencoding(checked_widths(self.widths))

    def _noise(self) -> float:
        checks.positive("noise", self.noise)
        return self.noise
