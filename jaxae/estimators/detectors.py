"""Outlier detectors: ensembles of autoencoders that score rows by how badly they are reconstructed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from flax import linen as nn

from jaxae import checks, ensembles
from jaxae.estimators.ensemble import EnsembleDetector

__all__ = ["AutoencoderDetector", "DeepSVDD", "Denoising", "SparseDetector", "VariationalDetector"]


class Denoising(EnsembleDetector):
    """A detector whose members take out noise, each at its own level of the parameter `noise`."""

    def _noise(self) -> np.ndarray:
        return self._in_turn("noise", self.noise, checks.not_negative, "one number or several: (0.3, 1.0)")

    def _in_turn(self, name: str, given: Any, check: Callable[[str, float], None], allowed: str) -> np.ndarray:
        """Return what the members take in turn of one number or several, each of which is checked."""
        try:
            levels = np.atleast_1d(np.asarray(given, np.float64))
        except (TypeError, ValueError):
            levels = np.zeros(0)
        if given is None or levels.ndim != 1 or not len(levels):
            raise ValueError(f"{name} is {given!r}, but must be {allowed}")
        for level in levels:
            check(name, float(level))
        return np.resize(levels, self.members)


class AutoencoderDetector(Denoising):
    """Finds rows that an ensemble of denoising autoencoders reconstructs badly.

    Every member learns to take noise out of standardised rows, at its own level of noise: with little of it, rows far
    from all others stand out, with much of it, rows far from the middle. A row's score is the mean over the members of
    its squared error, each in units of that member's median error on the rows that it was trained on: a typical row
    scores about 1. In training each step leaves out the rows that it fits worst, so that anomalies among the rows are
    not learned.

    Args:
        members: of the ensemble; they are trained together, as one program.
        bootstrap: whether each is trained on a sample of its own of the rows, as many with replacement; else on all,
            and members differ by their key and noise alone.
        noise: standard deviation of the noise in those of the columns: one number, or several that the members take in
            turn; 0 is a plain autoencoder, which needs narrow `widths`.
        widths: of the hidden layers, from the table to the code and back.
        shares: of those units that members have, one number or several that they take in turn: (0.25, 0.5, 1.0) are
            members of three widths.
        steps: of every member.
        batch_size: rows of a step, drawn with replacement: there may be fewer.
        learning_rate: of Adam at the first step; it falls to 0.
        trim: share of a batch that a step leaves out.
        contamination: "auto" and "cross" put the threshold where new normal rows exceed it at `rate`; a number in
            (0, 0.5] is the share of the training rows that are to be outliers; an object of pythresh says which are.
        rate: of false alarms on new normal rows. For "auto" a quarter of the rows is not trained on but calibrates the
            threshold, which holds for any data whose normal rows, old and new, are alike and in no order (split
            conformal); it needs 4/rate rows. For "cross" every member leaves out a quarter of its own, and every row
            calibrates by the members that left it out (cross-conformal): for few rows, of which no quarter is to spare;
            what is guaranteed is twice the rate, of `p_values`.
        random_state: seed, or `numpy.random.RandomState`. The same one gives the same bits; None draws a new one.

    Attributes:
        n_features_in_, feature_names_in_: of the table.
        offset_: minus `threshold_`, as scikit-learn has it.
        threshold_: of the score.
        calibration_scores_: (m,) of the rows that the threshold is taken from.
        calibration_folds_: (m,) the fold that each is in, where contamination is "cross"; else none.
        loss_curve_: (members, 50) mean loss of every member over equal parts of the training.
        mean_, scale_: (columns,) by which rows are standardised; the scale of a constant column is 1.
        member_scale_: (members,) the median error of each.
        residual_scale_: (columns,) standard deviation of the calibration rows from their counterparts.
        variables_: parameters by name, with the members first.

    Examples:
        >>> import numpy as np
        >>> rows = np.random.default_rng(0).normal(size=(400, 3))
        >>> detector = AutoencoderDetector(steps=50).fit(rows)
        >>> detector.predict([[0.0, 0.0, 0.0], [9.0, -9.0, 9.0]]).tolist()
        [1, -1]

    References:
        Vincent et al., Extracting and composing robust features with denoising autoencoders, 2008; Vovk, Gammerman,
        Shafer, Algorithmic learning in a random world, 2005.
    """

    def __init__(
        self,
        *,
        members: int = 8,
        bootstrap: bool = False,
        noise: float | Sequence[float] = (0.3, 1.0, 3.0, 10.0),
        widths: Sequence[int] = (64, 64),
        shares: float | Sequence[float] = 1.0,
        steps: int = 400,
        batch_size: int = 64,
        learning_rate: float = 5e-3,
        trim: float = 0.1,
        contamination: Any = "auto",
        rate: float = 0.05,
        random_state: Any = 0,
    ) -> None:
        super().__init__(
            members=members,
            bootstrap=bootstrap,
            steps=steps,
            batch_size=batch_size,
            learning_rate=learning_rate,
            trim=trim,
            contamination=contamination,
            rate=rate,
            random_state=random_state,
        )
        self.noise = noise
        self.widths = widths
        self.shares = shares

    def _family(self) -> ensembles.Autoencoding:
        return ensembles.Autoencoding(checked_widths(self.widths))

    def _shares(self) -> np.ndarray:
        def share(name: str, value: float) -> None:
            checks.positive(name, value)
            checks.fraction(name, value)

        return self._in_turn("shares", self.shares, share, "one number or several in (0, 1]: (0.5, 1.0)")


class VariationalDetector(EnsembleDetector):
    """Finds rows that an ensemble of variational autoencoders holds to be unlikely.

    The likelihood is normal, with one learned scale for every column of the standardised rows. A row's score is in
    nats, the mean over the members: minus the logarithm of the reconstruction probability, −E_q[log p(x|z)], or the
    negative evidence lower bound, which adds the code's divergence from the prior.

    Args:
        members, bootstrap, steps, batch_size, learning_rate, trim, contamination, rate, random_state: as those of
            `AutoencoderDetector`.
        widths: of the encoder's hidden layers; the decoder has them in reverse.
        latent: dimension of the code.
        criterion: "reconstruction" or "elbo".
        draws: codes of a row that its score is the mean over; the same standard normal draws for every row.

    Attributes:
        n_features_in_, feature_names_in_, offset_, threshold_, calibration_scores_, loss_curve_, mean_, scale_,
            residual_scale_, variables_: as those of `AutoencoderDetector`.

    Examples:
        >>> import numpy as np
        >>> rows = np.random.default_rng(0).normal(size=(400, 3))
        >>> detector = VariationalDetector(steps=50).fit(rows)
        >>> detector.predict([[0.0, 0.0, 0.0], [9.0, -9.0, 9.0]]).tolist()
        [1, -1]

    References:
        Kingma & Welling, Auto-encoding variational Bayes, 2014; An & Cho, Variational autoencoder based anomaly
        detection using reconstruction probability, 2015.
    """

    def __init__(
        self,
        *,
        members: int = 8,
        bootstrap: bool = False,
        widths: Sequence[int] = (64, 32),
        latent: int = 8,
        criterion: str = "reconstruction",
        draws: int = 8,
        steps: int = 400,
        batch_size: int = 64,
        learning_rate: float = 5e-3,
        trim: float = 0.1,
        contamination: Any = "auto",
        rate: float = 0.05,
        random_state: Any = 0,
    ) -> None:
        super().__init__(
            members=members,
            bootstrap=bootstrap,
            steps=steps,
            batch_size=batch_size,
            learning_rate=learning_rate,
            trim=trim,
            contamination=contamination,
            rate=rate,
            random_state=random_state,
        )
        self.widths = widths
        self.latent = latent
        self.criterion = criterion
        self.draws = draws

    def _family(self) -> ensembles.Variational:
        checks.whole("latent", self.latent)
        checks.whole("draws", self.draws)
        if self.criterion not in ("reconstruction", "elbo"):
            raise ValueError(f'criterion is {self.criterion!r}, but must be "reconstruction" or "elbo"')
        return ensembles.Variational(checked_widths(self.widths), self.latent, self.draws, self.criterion == "elbo")


class SparseDetector(EnsembleDetector):
    """Finds rows that an ensemble of sparse autoencoders reconstructs badly.

    One hidden layer of sigmoid units, of which each is to be active so often on average; there may be more of them than
    columns. Scores and units are as those of `AutoencoderDetector`.

    Args:
        members, bootstrap, steps, batch_size, learning_rate, trim, contamination, rate, random_state: as those of
            `AutoencoderDetector`.
        units: of the code.
        activity: mean activation of a unit over a batch that is asked for, in (0, 1).
        weight: of that beside the squared error of a column.

    Attributes:
        n_features_in_, feature_names_in_, offset_, threshold_, calibration_scores_, loss_curve_, mean_, scale_,
            member_scale_, residual_scale_, variables_: as those of `AutoencoderDetector`.

    Examples:
        >>> import numpy as np
        >>> rows = np.random.default_rng(0).normal(size=(400, 3))
        >>> detector = SparseDetector(steps=100).fit(rows)
        >>> detector.predict([[0.0, 0.0, 0.0], [9.0, -9.0, 9.0]]).tolist()
        [1, -1]

    References:
        Ng, Sparse autoencoder, CS294A lecture notes, 2011.
    """

    def __init__(
        self,
        *,
        members: int = 8,
        bootstrap: bool = False,
        units: int = 64,
        activity: float = 0.1,
        weight: float = 0.05,
        steps: int = 400,
        batch_size: int = 64,
        learning_rate: float = 2e-2,
        trim: float = 0.1,
        contamination: Any = "auto",
        rate: float = 0.05,
        random_state: Any = 0,
    ) -> None:
        super().__init__(
            members=members,
            bootstrap=bootstrap,
            steps=steps,
            batch_size=batch_size,
            learning_rate=learning_rate,
            trim=trim,
            contamination=contamination,
            rate=rate,
            random_state=random_state,
        )
        self.units = units
        self.activity = activity
        self.weight = weight

    def _family(self) -> ensembles.Autoencoding:
        return sparse_family(self.units, self.activity, self.weight)


class DeepSVDD(EnsembleDetector):
    """Finds rows that an ensemble of networks, trained to map all rows near one point, maps far from it.

    Every member has a centre of its own, the mean of what it made of rows before it was trained. A row's score is the
    mean over the members of its squared distance from theirs, each in units of that member's median on the rows that it
    was trained on. There is no reconstruction, and so there are no counterparts.

    Args:
        members, bootstrap, steps, batch_size, learning_rate, trim, contamination, rate, random_state: as those of
            `AutoencoderDetector`.
        widths: of all layers, which have no biases; the last is the dimension of the space with the centre.

    Attributes:
        n_features_in_, feature_names_in_, offset_, threshold_, calibration_scores_, loss_curve_, mean_, scale_,
            member_scale_, variables_: as those of `AutoencoderDetector`.

    Examples:
        >>> import numpy as np
        >>> rows = np.random.default_rng(0).normal(size=(400, 3))
        >>> detector = DeepSVDD(steps=50).fit(rows)
        >>> detector.predict([[0.0, 0.0, 0.0], [9.0, -9.0, 9.0]]).tolist()
        [1, -1]

    References:
        Ruff et al., Deep one-class classification, 2018.
    """

    _reconstructs = False

    def __init__(
        self,
        *,
        members: int = 8,
        bootstrap: bool = False,
        widths: Sequence[int] = (128, 128),
        steps: int = 400,
        batch_size: int = 64,
        learning_rate: float = 1e-3,
        trim: float = 0.1,
        contamination: Any = "auto",
        rate: float = 0.05,
        random_state: Any = 0,
    ) -> None:
        super().__init__(
            members=members,
            bootstrap=bootstrap,
            steps=steps,
            batch_size=batch_size,
            learning_rate=learning_rate,
            trim=trim,
            contamination=contamination,
            rate=rate,
            random_state=random_state,
        )
        self.widths = widths

    def _family(self) -> ensembles.Spheres:
        return ensembles.Spheres(checked_widths(self.widths))


def sparse_family(units: int, activity: float, weight: float) -> ensembles.Autoencoding:
    """Return sparse autoencoders of one hidden layer, or refuse what is out of range."""
    checks.whole("units", units)
    checks.fraction("activity", activity, open_ends=True)
    checks.positive("weight", weight)
    return ensembles.Autoencoding((units,), nn.sigmoid, rate=float(activity), weight=float(weight))


def checked_widths(widths: Any, name: str = "widths") -> tuple[int, ...]:
    """Return the widths of hidden layers, or refuse what is none."""
    widths = widths.tolist() if isinstance(widths, np.ndarray) else widths
    if isinstance(widths, str) or not isinstance(widths, Sequence) or not widths:
        raise ValueError(f"{name} is {widths!r}, but must have one number per hidden layer: (64, 64)")
    for width in widths:
        checks.whole(f"a number in {name}", width)
    return tuple(widths)
