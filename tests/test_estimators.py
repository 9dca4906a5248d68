"""Detectors: scikit-learn's own checks, then what they promise, then what they refuse."""

import pickle
import re
import warnings

import jax
import numpy as np
import pandas
import pytest
import scipy.sparse
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from jaxae.estimators import (
    Autoencoder,
    AutoencoderDetector,
    ConditionalGenerator,
    ConvolutionalDetector,
    DeepSVDD,
    Denoiser,
    SparseAutoencoder,
    SparseDetector,
    VariationalAutoencoder,
    VariationalDetector,
    save,
    standardised,
)

SHORT = {"steps": 30, "members": 2, "widths": (8, 8)}
DETECTORS = [
    AutoencoderDetector(**SHORT),
    VariationalDetector(steps=30, members=2, widths=(8,), latent=2, draws=2),
    SparseDetector(steps=30, members=2, units=8),
    DeepSVDD(**SHORT),
    ConvolutionalDetector(steps=30, members=2, channels=(4,), latent=4),
]
TRANSFORMERS = [
    Autoencoder(steps=30, widths=(8,)),
    SparseAutoencoder(steps=30),
    VariationalAutoencoder(steps=30, widths=(8,)),
    Denoiser(steps=30, widths=(8, 8)),
]


GENERATORS = [ConditionalGenerator(steps=30, widths=(8,))]


@parametrize_with_checks([*DETECTORS, *TRANSFORMERS, *GENERATORS], expected_failed_checks=lambda estimator: {})
# Few rows cannot hold a small rate of false alarms, which is told; the checks give few rows.
@pytest.mark.filterwarnings("ignore:.*held-out rows cannot hold")
@pytest.mark.filterwarnings("error::sklearn.exceptions.SkipTestWarning")
def test_the_checks_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def x():
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(400, 2))
    return hidden @ rng.normal(size=(2, 6)) + 0.1 * rng.normal(size=(400, 6))


@pytest.fixture(scope="module")
def fitted(x):
    return AutoencoderDetector(steps=100).fit(x)


def test_it_finds_rows_that_break_the_relations_between_columns(fitted, x):
    rng = np.random.default_rng(1)
    # Every column alone is distributed as before.
    broken = np.stack([rng.permutation(column) for column in x.T], 1)
    labels = np.r_[np.zeros(len(x)), np.ones(len(x))]
    scores = -fitted.score_samples(np.r_[x, broken])
    alone = np.abs(np.r_[x, broken] / x.std(0)).sum(1)
    assert roc_auc_score(labels, scores) > 0.9 > 0.6 > roc_auc_score(labels, alone)


def test_real_rows():
    rows, benign = load_breast_cancer(return_X_y=True)
    normal = rows[benign == 1]
    detector = AutoencoderDetector(steps=100).fit(normal[:200])
    held, malignant = normal[200:], rows[benign == 0]
    scores = -detector.score_samples(np.r_[held, malignant])
    assert roc_auc_score(np.r_[np.zeros(len(held)), np.ones(len(malignant))], scores) > 0.9


@pytest.mark.parametrize("criterion", ["reconstruction", "elbo"])
def test_unlikely_rows(x, criterion):
    detector = VariationalDetector(steps=400, latent=2, criterion=criterion).fit(x)
    rng = np.random.default_rng(1)
    broken = np.stack([rng.permutation(column) for column in x.T], 1)
    labels = np.r_[np.zeros(len(x)), np.ones(len(x))]
    assert roc_auc_score(labels, -detector.score_samples(np.r_[x, broken])) > 0.9
    np.testing.assert_allclose(detector.contributions(x).sum(1), -detector.score_samples(x), rtol=1e-3, atol=1e-4)


def test_deep_svdd_learns(x):
    """Scores differ, the distance shrinks, and what the untrained network misses is found."""
    rng = np.random.default_rng(1)
    broken = np.stack([rng.permutation(column) for column in x.T], 1)
    rows, labels = np.r_[x, broken], np.r_[np.zeros(len(x)), np.ones(len(x))]
    found, untrained = (DeepSVDD(steps=steps, learning_rate=rate).fit(x) for steps, rate in ((400, 1e-3), (1, 1e-12)))
    assert found.loss_curve_[:, -1].max() < 0.2 * found.loss_curve_[:, 0].min()
    scores = -found.score_samples(x)
    assert scores.std() > 0.2 * scores.mean()
    areas = [roc_auc_score(labels, -detector.score_samples(rows)) for detector in (found, untrained)]
    assert areas[0] > 0.85 > 0.75 > areas[1]
    np.testing.assert_allclose(found.contributions(x).sum(1), scores, rtol=1e-3, atol=1e-4)
    assert not hasattr(found, "counterparts")
    assert re.fullmatch(r"x\d makes \d+% of it; x\d makes -?\d+% of it", found.explain(broken[:1], most=2)[0])


def test_a_fit_gives_the_same_bits_again(x, fitted):
    again = clone(fitted).fit(x)
    np.testing.assert_array_equal(again.score_samples(x), fitted.score_samples(x))
    other = clone(fitted).set_params(random_state=1).fit(x)
    assert (other.score_samples(x) != fitted.score_samples(x)).any()
    state = np.random.RandomState(3)
    drawn = [clone(fitted).set_params(random_state=state, steps=5).fit(x).score_samples(x) for _ in range(2)]
    assert (drawn[0] != drawn[1]).any()


def test_no_global_random_state_is_touched(x):
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    AutoencoderDetector(**SHORT, random_state=None).fit(x)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_false_alarms_on_new_rows_are_as_often_as_asked():
    rng = np.random.default_rng(5)
    found = []
    for seed in range(20):
        detector = AutoencoderDetector(**SHORT, rate=0.1, random_state=seed).fit(rng.normal(size=(396, 3)))
        found.append((detector.predict(rng.normal(size=(500, 3))) == -1).mean())
    # 99 calibration rows: the share of a fit is Beta(10, 90) with a deviation of .03, their mean's is .0067.
    assert abs(np.mean(found) - 0.1) < 4 * np.sqrt(0.09 / 100 / 20 + 0.09 / 500 / 20)


def test_every_row_trains_and_calibrates():
    rng = np.random.default_rng(7)
    found, small = [], []
    for seed in range(12):
        detector = AutoencoderDetector(**SHORT | {"members": 4}, contamination="cross", rate=0.1, random_state=seed)
        detector.fit(rng.normal(size=(80, 3)))
        assert len(detector.calibration_scores_) == 80 and set(detector.calibration_folds_) == {0, 1, 2, 3}
        new = rng.normal(size=(300, 3))
        found.append((detector.predict(new) == -1).mean())
        small.append((detector.p_values(new) <= 0.1).mean())
    # The share of one fit has a deviation of .03.
    assert 0.05 < np.mean(found) < 0.14 and 0.05 < np.mean(small) < 0.14
    moved = detector.recalibrate(new + 1)
    np.testing.assert_array_equal(moved.p_values(new) <= 0.1, moved.predict(new) == -1)


def test_rows_are_calibrated_by_the_members_that_left_them_out(x):
    detector = AutoencoderDetector(**SHORT | {"members": 4}, contamination="cross").fit(x)
    for row in (0, 7, 100):
        own = clone(detector).set_params(members=4)
        own.__dict__ |= detector.__dict__
        # Of four members one left it out: with that one's weight alone, its score is what calibrates.
        member = detector.calibration_folds_[row]
        own.variables_ = jax.tree.map(lambda leaf, member=member: leaf[[member]], detector.variables_)
        own.member_scale_ = detector.member_scale_[[member]]
        np.testing.assert_allclose(-own.score_samples(x[[row]]), detector.calibration_scores_[row], rtol=1e-5)


def test_p_values_agree_with_the_alarms(fitted, x):
    rng = np.random.default_rng(2)
    rows = np.r_[x, rng.normal(size=(200, 6)) * 3]
    np.testing.assert_array_equal(fitted.p_values(rows) <= fitted.rate, fitted.predict(rows) == -1)


def test_the_share_of_outliers_among_the_training_rows(x):
    detector = AutoencoderDetector(**SHORT, contamination=0.05).fit(x)
    assert (detector.predict(x) == -1).sum() == 20
    assert len(detector.calibration_scores_) == len(x)


def test_contributions_add_up_to_the_score(fitted, x):
    found = fitted.contributions(x)
    assert found.shape == x.shape and (found >= 0).all()
    np.testing.assert_allclose(found.sum(1), -fitted.score_samples(x), rtol=1e-4)
    strange = x[:1].copy()
    strange[0, 3] += 8 * x[:, 3].std()
    assert fitted.contributions(strange).argmax() == 3


def test_counterparts_keep_the_relations_between_columns(fitted, x):
    strange = x[:20].copy()
    strange[:, 3] += 8 * x[:, 3].std()
    made = fitted.counterparts(strange)
    assert made.shape == strange.shape
    # What is off is moved back towards the row it was made from, the more so than what is not.
    moved = np.abs(made - strange) / x.std(0)
    assert (moved[:, 3] > moved[:, [0, 1, 2, 4, 5]].max(1)).mean() > 0.8
    scale = np.abs(fitted.counterparts(x) - x) / fitted.residual_scale_
    assert 0.5 < np.sqrt((scale**2).mean()) < 2


def test_it_says_why(x):
    frame = pandas.DataFrame(x, columns=list("abcdef"))
    detector = AutoencoderDetector(steps=100).fit(frame)
    strange = frame[:1].copy()
    strange.loc[0, "d"] += 8 * frame["d"].std()
    (line,) = detector.explain(strange, most=2)
    first, second = line.split("; ")
    assert re.fullmatch(r"d is \d+\.\d sd above what its row implies \(\S+, not \S+\)", first)
    assert " sd " in second
    assert AutoencoderDetector(**SHORT).fit(x).explain(x[:1], most=1)[0].startswith("x")


def test_the_threshold_is_put_elsewhere_without_training(x):
    detector = AutoencoderDetector(**SHORT).fit(x)
    scores = -detector.score_samples(x)
    assert (detector.set_threshold(np.median(scores)).predict(x) == -1).sum() == len(x) // 2
    moved = x + 1
    detector.recalibrate(moved, rate=0.1)
    assert (detector.predict(moved) == -1).mean() <= 0.1
    np.testing.assert_array_equal(detector.p_values(moved) <= 0.1, detector.predict(moved) == -1)
    with pytest.raises(ValueError, match=r"10 reference scores cannot hold a false alarm rate of 0.05"):
        detector.recalibrate(x[:10])
    with pytest.raises(ValueError, match="threshold is nan"):
        detector.set_threshold(np.nan)


class Largest:
    """As an object of pythresh: the largest ten are outliers."""

    def __init__(self, count=10):
        self.count = count

    def eval(self, decision):
        return (np.argsort(np.argsort(decision)) >= len(decision) - self.count).astype(int)


def test_a_thresholder_places_the_threshold(x):
    detector = AutoencoderDetector(**SHORT, contamination=Largest()).fit(x)
    assert (detector.predict(x) == -1).sum() == 10 and len(detector.calibration_scores_) == len(x)
    assert (detector.set_threshold(Largest(7)).predict(x) == -1).sum() == 7
    assert (detector.set_threshold(Largest(0)).predict(x) == -1).sum() == 0
    assert (detector.set_threshold(Largest(400)).predict(x) == -1).all()

    class Wrong(Largest):
        def eval(self, decision):
            return decision

    with pytest.raises(ValueError, match="must label each of the 400 scores with 0 or 1"):
        detector.set_threshold(Wrong())


def test_a_thresholder_of_pythresh(x):
    iqr = pytest.importorskip("pythresh.thresholds.iqr")
    detector = AutoencoderDetector(**SHORT, contamination=iqr.IQR()).fit(x)
    scores = detector.calibration_scores_
    np.testing.assert_array_equal(detector.predict(x) == -1, iqr.IQR().eval(scores) == 1)


def test_disagreement_is_larger_far_away(fitted, x):
    assert np.median(fitted.uncertainty(x + 20)) > 10 * np.median(fitted.uncertainty(x))


def test_a_typical_row_scores_about_one(fitted, x):
    assert 0.5 < np.median(-fitted.score_samples(x)) < 2


def test_learning_is_kept(fitted):
    assert fitted.loss_curve_.shape == (8, 50)
    assert fitted.loss_curve_[:, -5:].mean() < fitted.loss_curve_[:, :5].mean()


def test_anomalies_among_the_rows_are_not_learned(x):
    rng = np.random.default_rng(3)
    strange = 4 + 0.3 * rng.normal(size=(30, 6))
    rows = np.r_[x, strange]
    robust, plain = (AutoencoderDetector(steps=200, trim=trim, noise=0.3).fit(rows) for trim in (0.15, 0.0))
    labels = np.r_[np.zeros(len(x)), np.ones(len(strange))]
    found = [roc_auc_score(labels, -detector.score_samples(rows)) for detector in (robust, plain)]
    assert found[0] > 0.95 and found[0] > found[1]


def test_constant_columns_and_units_do_not_matter(x, fitted):
    units = np.array([1e-6, 1e6, 1, 1, 1, 1])
    again = clone(fitted).fit(x * units + 3)
    np.testing.assert_allclose(again.score_samples(x * units + 3), fitted.score_samples(x), rtol=1e-2)
    constant = clone(fitted).set_params(steps=20).fit(np.c_[x, np.full(len(x), 7.0)])
    changed = np.c_[x, np.full(len(x), 9.0)]
    assert (constant.score_samples(changed) < constant.score_samples(np.c_[x, np.full(len(x), 7.0)])).all()
    rounded = np.where(np.arange(len(x)) % 2, 0.3, 0.1 + 0.2)
    assert clone(fitted).set_params(steps=2).fit(np.c_[x, rounded]).scale_[-1] == 1


@pytest.mark.parametrize(
    "kind",
    [AutoencoderDetector, VariationalDetector, SparseDetector, DeepSVDD, ConvolutionalDetector],
    ids=lambda kind: kind.__name__,
)
def test_values_however_far_are_outliers(kind, x):
    fitted = kind(steps=200).fit(x)
    rows = np.tile(x[:1], (4, 1))
    rows[:, 0] = 1e3, 1e12, 1e300, -1e300
    assert np.isfinite(fitted.score_samples(rows)).all() and (fitted.predict(rows) == -1).all()
    assert np.isfinite(fitted.contributions(rows)).all()
    assert (fitted.p_values(rows) == 1 / (len(fitted.calibration_scores_) + 1)).all()
    rows[:, :] = 1e300
    assert np.isfinite(fitted.score_samples(rows)).all() and (fitted.predict(rows) == -1).all()


def test_frames_keep_their_names(x):
    frame = pandas.DataFrame(x, columns=list("abcdef"))
    detector = AutoencoderDetector(**SHORT).fit(frame)
    assert list(detector.feature_names_in_) == list("abcdef")
    detector.predict(frame)
    with pytest.raises(ValueError, match="feature names should match"):
        detector.predict(frame[list("fedcba")])
    with pytest.raises(ValueError, match="feature names should match"):
        detector.predict(frame[list("abcde")])
    with pytest.raises(ValueError, match="could not convert string to float"):
        detector.fit(frame.assign(a="text"))


def test_explanations_tell_numbers_as_they_are(fitted, x):
    strange = x[:1] * 1.0
    strange[0, 3] = 1e300
    assert "(1e+300, not " in fitted.explain(strange, most=1)[0]
    names = pandas.DataFrame(x, columns=list("abcdef")).columns
    assert fitted.explain(strange, most=1, names=names)[0].startswith("d is ")
    with pytest.raises(ValueError, match="names are 1, but the rows have 6 columns"):
        fitted.explain(strange, names=["a"])
    far = clone(fitted).set_params(steps=20).fit(x * 1e-3 + 1e6)
    found, expected = re.search(r"\((\S+), not (\S+)\)", far.explain(x[:1] * 1e-3 + 1e6, most=1)[0]).groups()
    assert found != expected


def test_parameters_set_after_a_fit_are_those_of_the_next(x, tmp_path):
    fitted = VariationalDetector(steps=20, members=2, widths=(8,), latent=2).fit(x)
    before = fitted.score_samples(x), fitted.p_values(x)
    fitted.set_params(widths=(4,), latent=3, draws=1, criterion="elbo", members=5)
    np.testing.assert_array_equal(fitted.score_samples(x), before[0])
    np.testing.assert_array_equal(fitted.p_values(x), before[1])
    with pytest.raises(ValueError, match="parameters of VariationalDetector were changed after its fit"):
        save(fitted, tmp_path / "it.safetensors")


def test_seeds_are_those_of_numpy(x):
    ends = [AutoencoderDetector(**SHORT, random_state=seed).fit(x).score_samples(x) for seed in (0, 2**31, 2**32 - 1)]
    assert len({scores[0] for scores in ends}) == 3
    for seed in (-1, 2**32, 2**70):
        with pytest.raises(ValueError, match=f"random_state is {seed}"):
            AutoencoderDetector(**SHORT, random_state=seed).fit(x)


def test_it_stands_in_a_pipeline_and_is_pickled(x):
    pipeline = make_pipeline(StandardScaler(), AutoencoderDetector(**SHORT)).fit(x)
    again = pickle.loads(pickle.dumps(pipeline))
    np.testing.assert_array_equal(again.decision_function(x), pipeline.decision_function(x))


def test_of_many_rows_some_are_drawn(x, monkeypatch):
    monkeypatch.setattr(standardised, "MOST", 100)
    detector = AutoencoderDetector(**SHORT, rate=0.1).fit(x)
    assert len(detector.calibration_scores_) == 25
    own = {tuple(row) for row in x[::-1]}
    drawn = detector._drawn(x)
    assert len(drawn) == len({tuple(row) for row in drawn} & own) == 100
    coder = Autoencoder(**TRANSFORMERS[0].get_params() | {"random_state": 3}).fit(x)
    np.testing.assert_allclose(coder.mean_, coder._drawn(x).mean(0))


def test_fewer_rows_than_a_batch():
    rows = np.random.default_rng(0).normal(size=(12, 3))
    with pytest.warns(UserWarning, match=r"3 held-out rows cannot hold a false alarm rate of 0.05.*at least 76 rows"):
        detector = AutoencoderDetector(**SHORT).fit(rows)
    assert detector.threshold_ == detector.calibration_scores_.max()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        AutoencoderDetector(**SHORT, rate=0.25).fit(rows)


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"members": 0}, "members is 0"),
        ({"bootstrap": 1}, "bootstrap is 1, but must be True or False"),
        ({"steps": 2.5}, "steps"),
        ({"batch_size": -1}, "batch_size is -1"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"trim": 1.0}, "trim is 1"),
        ({"trim": 1.5}, "trim is 1.5"),
        ({"rate": 5}, "rate is 5.*write 0.05 for 5 %"),
        (
            {"contamination": 0.7},
            r"contamination is 0.7, but must be \"auto\", \"cross\", a share of the rows in \(0, 0.5\]",
        ),
        ({"contamination": "half"}, "contamination is 'half'"),
        ({"contamination": "cross"}, 'members is 2, but contamination="cross" needs at least one for each of 4 folds'),
        ({"widths": ()}, "widths is \\(\\)"),
        ({"widths": 64}, "widths is 64"),
        ({"widths": (0,)}, "a number in widths is 0"),
        ({"noise": -0.1}, "noise is -0.1"),
        ({"noise": ()}, "noise is \\(\\)"),
        ({"noise": None}, "noise is None, but must be one number or several"),
        ({"noise": "loud"}, "noise is 'loud', but must be one number or several"),
        ({"shares": 0.0}, "shares is 0"),
        ({"shares": (0.5, 1.5)}, "shares is 1.5"),
        ({"shares": ()}, "shares is \\(\\), but must be one number or several in"),
        ({"learning_rate": 1e30}, "members 0, 1 diverged with learning_rate=1e\\+30: give a lower one"),
    ],
)
def test_parameters_that_are_refused(parameters, said, x):
    with pytest.raises((ValueError, TypeError), match=said):
        AutoencoderDetector(**(SHORT | parameters)).fit(x)


@pytest.mark.parametrize(
    ("detector", "said"),
    [
        (SparseDetector(units=0), "units is 0"),
        (SparseDetector(trim=1.0), "trim is 1"),
        (SparseDetector(activity=0.0), "activity is 0"),
        (SparseDetector(weight=-1.0), "weight is -1"),
        (DeepSVDD(widths=()), "widths is"),
    ],
)
def test_parameters_of_others_that_are_refused(detector, said, x):
    with pytest.raises(ValueError, match=said):
        detector.fit(x)


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"latent": 0}, "latent is 0"),
        ({"draws": 0}, "draws is 0"),
        ({"criterion": "kl"}, 'criterion is \'kl\', but must be "reconstruction" or "elbo"'),
        ({"widths": (4, -1)}, "a number in widths is -1"),
    ],
)
def test_parameters_of_variational_ones_that_are_refused(parameters, said, x):
    with pytest.raises((ValueError, TypeError), match=said):
        VariationalDetector(**({"steps": 5} | parameters)).fit(x)


TABLES = {
    "text": ([["1", "a"], ["2", "3"]], ValueError, "could not convert string to float: 'a'"),
    "missing": ([[1.0, np.nan], [2.0, 3.0]], ValueError, "Input X contains NaN"),
    "None": ([[1.0, None], [2.0, 3.0]], ValueError, "Input X contains NaN"),
    "infinite": ([[1.0, np.inf], [2.0, 3.0]], ValueError, "contains infinity or a value too large"),
    "complex": (np.ones((3, 2), complex), ValueError, "Complex data not supported"),
    "sparse": (scipy.sparse.eye_array(4, format="csr"), TypeError, "Sparse data was passed.*toarray"),
    "no rows": (np.zeros((0, 3)), ValueError, r"0 sample\(s\).*minimum of [12] is required"),
    "no columns": (np.zeros((3, 0)), ValueError, r"0 feature\(s\)"),
    "one number": (3.0, ValueError, "Expected 2D array, got scalar array"),
    "one row": (np.ones(3), ValueError, "Expected 2D array, got 1D array.*[Rr]eshape"),
    "three axes": (np.ones((3, 2, 2)), ValueError, "dim 3"),
    "ragged": ([[1.0, 2.0], [3.0]], ValueError, "inhomogeneous|setting an array element"),
    "dates": (
        pandas.DataFrame({"a": pandas.to_datetime(["2020-01-01"] * 3), "b": [1.0, 2.0, 3.0]}),
        TypeError,
        r"column 'a' of X holds times \(datetime64",
    ),
    "words in a frame": (
        pandas.DataFrame({"a": [1.0, 2.0, 3.0], "b": ["1", "2", "three"]}),
        ValueError,
        "column 'b' of X holds what is no number.*could not convert string to float: 'three'",
    ),
}


@pytest.mark.parametrize("estimator", [*DETECTORS, *TRANSFORMERS], ids=lambda own: type(own).__name__)
@pytest.mark.parametrize(("table", "kind", "said"), TABLES.values(), ids=TABLES.keys())
def test_tables_that_are_refused(estimator, table, kind, said):
    with pytest.raises(kind, match=f"(?s){said}"):
        clone(estimator).fit(table)


@pytest.mark.parametrize("estimator", [DETECTORS[0], TRANSFORMERS[0]], ids=lambda own: type(own).__name__)
def test_new_tables_that_are_refused(estimator, x):
    fitted = clone(estimator).fit(pandas.DataFrame(x, columns=list("abcdef")))
    ask = fitted.predict if hasattr(fitted, "predict") else fitted.transform
    frame = pandas.DataFrame(x[:5], columns=list("abcdef"))
    for table, said in (
        (frame[list("fedcba")], "Feature names must be in the same order as they were in fit"),
        (frame[list("abcde")], "(?s)names should match.*Feature names seen at fit time, yet now missing.*f"),
        (frame.assign(g=1.0), "(?s)names should match.*Feature names unseen at fit time.*g"),
        (frame.rename(columns={"a": "z"}), "(?s)unseen at fit time.*z.*now missing.*a"),
        (frame.assign(a="much"), "column 'a' of X holds what is no number.*could not convert string to float: 'much'"),
        (frame.assign(a=np.nan), "Input X contains NaN"),
    ):
        with pytest.raises(ValueError, match=said):
            ask(table)
    with (
        pytest.warns(UserWarning, match="X does not have valid feature names"),
        pytest.raises(ValueError, match=r"X has 5 features, but .* is expecting 6 features"),
    ):
        ask(x[:5, :5])


@pytest.mark.parametrize("estimator", [*DETECTORS, *TRANSFORMERS], ids=lambda own: type(own).__name__)
@pytest.mark.filterwarnings("ignore:.*held-out rows cannot hold")
def test_odd_tables_that_are_taken(estimator):
    """Constants, duplicates, whole numbers, truth values, one column, two rows, and numbers far apart."""
    rng = np.random.default_rng(0)
    for table in (
        np.ones((50, 3)),
        np.repeat(rng.normal(size=(2, 3)), 40, axis=0),
        rng.integers(0, 255, size=(60, 3)).astype(np.uint8),
        rng.random((60, 3)) > 0.5,
        rng.normal(size=(60, 1)),
        rng.normal(size=(2, 3)),
        np.c_[1e-200 * rng.normal(size=60), 1e200 * rng.normal(size=60), 1e9 + rng.normal(size=60)],
        pandas.DataFrame({"a": [1, 2, 3] * 9, "b": [0.5, 1.5, 2.5] * 9}),
        rng.normal(size=(60, 3)).astype(object),
        np.asfortranarray(rng.normal(size=(60, 3)))[::-1],
    ):
        fitted = clone(estimator).fit(table)
        found = fitted.decision_function(table) if hasattr(fitted, "predict") else fitted.transform(table)
        assert np.isfinite(np.asarray(found, float)).all() and len(found) == len(table)
