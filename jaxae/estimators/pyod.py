"""The detector in the clothes of PyOD's `AutoEncoder`, so that programs written for it run unchanged.

    from jaxae.estimators.pyod import AutoEncoder      # in the place of pyod.models.auto_encoder

It needs PyOD (`pip install 'jaxae[detection]'`), of whose base class it takes labels, threshold, probabilities,
confidence and rejection; what is trained and how rows are scored is `estimators.AutoencoderDetector`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pyod.models.base import BaseDetector

from jaxae.estimators.detectors import AutoencoderDetector

__all__ = ["AutoEncoder"]


class AutoEncoder(BaseDetector):
    """PyOD's `AutoEncoder`, whose scores are those of `estimators.AutoencoderDetector`.

    Args:
        contamination: share of outliers among the training rows, in (0, 0.5], or an object of pythresh.
        lr: learning rate of the first step.
        epoch_num: passes over the rows, each of rows/batch_size steps drawn with replacement.
        batch_size: rows of a step.
        random_state: seed.
        hidden_neuron_list: widths of the encoder's layers; the decoder has them in reverse.
        preprocessing, optimizer_name, device, use_compile, compile_mode, verbose, optimizer_params,
            hidden_activation_name, batch_norm, dropout_rate: of PyOD, without an effect: rows are always standardised,
            the optimizer is Adam, the activation a ReLU, and JAX chooses the device and compiles.

    Attributes:
        model: the fitted `AutoencoderDetector`.
        history_: {"loss": (epoch_num,) mean over the members}.
        decision_scores_, labels_, threshold_: of the training rows, as PyOD has them.

    Examples:
        >>> rows = np.random.default_rng(0).normal(size=(200, 3))
        >>> AutoEncoder(epoch_num=5, hidden_neuron_list=[8]).fit(rows).predict([[0.0, 0.0, 0.0], [9.0, 9.0, 9.0]])
        array([0, 1])
    """

    def __init__(
        self,
        contamination: Any = 0.1,
        preprocessing: bool = True,
        lr: float = 1e-3,
        epoch_num: int = 10,
        batch_size: int = 32,
        optimizer_name: str = "adam",
        device: Any = None,
        random_state: int = 42,
        use_compile: bool = False,
        compile_mode: str = "default",
        verbose: int = 1,
        optimizer_params: Mapping[str, Any] | None = None,
        hidden_neuron_list: Sequence[int] = (64, 32),
        hidden_activation_name: str = "relu",
        batch_norm: bool = True,
        dropout_rate: float = 0.2,
    ) -> None:
        super().__init__(contamination=contamination)
        self.preprocessing = preprocessing
        self.lr = lr
        self.epoch_num = epoch_num
        self.batch_size = batch_size
        self.optimizer_name = optimizer_name
        self.device = device
        self.random_state = random_state
        self.use_compile = use_compile
        self.compile_mode = compile_mode
        self.verbose = verbose
        self.optimizer_params = optimizer_params
        self.hidden_neuron_list = hidden_neuron_list
        self.hidden_activation_name = hidden_activation_name
        self.batch_norm = batch_norm
        self.dropout_rate = dropout_rate

    def fit(self, X: Any, y: Any = None) -> AutoEncoder:  # noqa: N803
        """Train on rows X (n, columns); y is not used."""
        self._set_n_classes(y)
        half = tuple(self.hidden_neuron_list)
        self.model = AutoencoderDetector(
            widths=(*half, *half[-2::-1]),
            steps=self.epoch_num * max(1, len(X) // self.batch_size),
            batch_size=self.batch_size,
            learning_rate=self.lr,
            contamination=0.1,
            random_state=self.random_state,
        ).fit(X)
        losses = self.model.loss_curve_.mean(0)
        at = np.linspace(0, len(losses) - 1, self.epoch_num).round().astype(int)
        self.history_ = {"loss": losses[at].tolist()}
        self.decision_scores_ = self.decision_function(X)
        self._process_decision_scores()
        return self

    def decision_function(self, X: Any) -> np.ndarray:  # noqa: N803
        """Return the scores of rows X (n, columns), (n,): the higher, the stranger."""
        return -self.model.score_samples(X)
