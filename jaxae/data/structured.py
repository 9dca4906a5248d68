"""Made data whose hidden structure is known: rows of a sparse dictionary, and a series with planted events."""

from __future__ import annotations

import datetime
import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from jaxae import checks

if TYPE_CHECKING:
    from jax import Array

__all__ = ["Dictionary", "Series", "dictionary", "series"]

PERIOD = 48
"""Points of a day of half hours."""
QUIET = 0.6
"""Share of the points, from the first, in which no event is planted."""


class Dictionary(NamedTuple):
    """Rows that are made of a few atoms each, and those atoms.

    Attributes:
        values: (n, d) float64, codes @ atoms + noise.
        atoms: (k, d) float64 of length 1, 0 but for a few variables.
        codes: (n, k) float64 ≥ 0, 0 but for a few atoms.
        noise: The standard deviation of the noise on each variable.
    """

    values: np.ndarray
    atoms: np.ndarray
    codes: np.ndarray
    noise: float


class Series(NamedTuple):
    """A series, where its events are, and when its points were.

    Attributes:
        values: (t, 1) float64.
        events: (k, 2) int64, half-open pairs [start, stop) of points.
        stamps: t times in ISO 8601, half an hour apart.
    """

    values: np.ndarray
    events: np.ndarray
    stamps: tuple[str, ...]


def dictionary(
    key: Array,
    *,
    rows: int,
    variables: int = 30,
    atoms: int = 20,
    active: int = 2,
    loads: int = 4,
    noise: float = 0.05,
) -> Dictionary:
    """Return rows that are sums of `active` atoms each, with weights uniform on 0.5 to 1.5, and normal noise.

    Every atom loads on `loads` variables, drawn at random, with loads of random sign and of size 0.5 to 1.5 before it
    is scaled to length 1.

    Args:
        key: A typed JAX key.
        rows: The number of rows, at least 1.
        variables: d, at least `loads`.
        atoms: k, at least `active`.
        active: Atoms of a row, at least 1.
        loads: Variables of an atom, at least 1.
        noise: The standard deviation of the noise, at least 0.

    Raises:
        TypeError: `key` is not a typed key, or a count not an integer.
        ValueError: A number is out of its range.

    Example:
        >>> import jax
        >>> made = dictionary(jax.random.key(0), rows=5)
        >>> (made.codes > 0).sum(1).tolist(), sorted(set((made.atoms != 0).sum(1).tolist()))
        ([2, 2, 2, 2, 2], [4])

    References:
        Olshausen and Field, Emergence of simple-cell receptive field properties by learning a sparse code, 1996.
    """
    checks.typed_key(key)
    for name, count in (("rows", rows), ("variables", variables), ("atoms", atoms)):
        checks.whole(name, count)
    checks.whole("active", active, high=atoms, why=", the atoms")
    checks.whole("loads", loads, high=variables, why=", the variables")
    checks.not_negative("noise", noise)
    import jax

    which_key, size_key, sign_key, active_key, weight_key, noise_key = jax.random.split(key, 6)

    def chosen(key: Array, shape: tuple[int, int], count: int) -> np.ndarray:
        """Return for each row (n, m) which `count` of its m places are chosen."""
        order = np.argsort(np.asarray(jax.random.uniform(key, shape)), axis=1, kind="stable")
        where = np.zeros(shape, bool)
        np.put_along_axis(where, order[:, :count], True, axis=1)
        return where

    def sizes(key: Array, shape: tuple[int, int]) -> np.ndarray:
        return np.asarray(jax.random.uniform(key, shape, minval=0.5, maxval=1.5), np.float64)

    signs = np.where(np.asarray(jax.random.bernoulli(sign_key, 0.5, (atoms, variables))), 1.0, -1.0)
    table = chosen(which_key, (atoms, variables), loads) * sizes(size_key, (atoms, variables)) * signs
    table /= np.linalg.norm(table, axis=1, keepdims=True)
    codes = chosen(active_key, (rows, atoms), active) * sizes(weight_key, (rows, atoms))
    epsilon = np.asarray(jax.random.normal(noise_key, (rows, variables)), np.float64)
    return Dictionary(codes @ table + noise * epsilon, table, codes, noise)


def series(key: Array, *, points: int = 4000, events: int = 6, noise: float = 0.1) -> Series:
    """Return a series of period 48 with a weekly swell, normal noise and planted events in its last 40 %.

    The events are, in turn, a spike of three points, half a day that stands still, a day that runs backwards, a third
    of a day on a higher level, and a quarter of a day at the lowest level.

    Args:
        key: A typed JAX key.
        points: t, so many that the events lie at least three days apart.
        events: The number of events, at least 0.
        noise: The standard deviation of the noise, at least 0; the swing of a day is about 3.

    Raises:
        TypeError: `key` is not a typed key, or a count not an integer.
        ValueError: A number is out of its range.

    Example:
        >>> import jax
        >>> made = series(jax.random.key(0), points=3000, events=2)
        >>> made.values.shape, made.events.shape, made.stamps[1]
        ((3000, 1), (2, 2), '2024-01-01T00:30:00')
    """
    checks.typed_key(key)
    checks.whole("events", events, low=0)
    least = math.ceil(3 * PERIOD * max(events, 1) / (1 - QUIET))
    checks.whole("points", points, low=least, why=f", for {events} events three days apart in the last 40 %")
    checks.not_negative("noise", noise)
    import jax

    noise_key, place_key = jax.random.split(key)
    day = 2 * np.pi * np.arange(points) / PERIOD
    values = (np.sin(day) + 0.5 * np.sin(2 * day + 1)) * (1 + 0.2 * np.sin(day / 7))
    values += noise * np.asarray(jax.random.normal(noise_key, (points,)), np.float64)
    spread, lowest = values.std(), values.min()
    first = math.ceil(QUIET * points)
    room = (points - first) // max(events, 1)
    # Each event has a stretch of its own, begins anywhere in its first third, and ends before its last day.
    offsets = np.asarray(jax.random.randint(place_key, (events,), 0, room // 3))
    found = []
    for number, offset in enumerate(offsets):
        start = first + number * room + int(offset)
        stop = start + (3, PERIOD // 2, PERIOD, PERIOD // 3, PERIOD // 4)[number % 5]
        part = values[start:stop]
        if number % 5 == 0:
            part += 4 * spread
        elif number % 5 == 1:
            part[:] = part[0]
        elif number % 5 == 2:
            part[:] = part[::-1].copy()
        elif number % 5 == 3:
            part += 1.5
        else:
            part[:] = lowest
        found.append((start, stop))
    begin, step = datetime.datetime(2024, 1, 1), datetime.timedelta(minutes=30)
    stamps = tuple((begin + i * step).isoformat() for i in range(points))
    return Series(values[:, None], np.asarray(found, np.int64).reshape(-1, 2), stamps)
