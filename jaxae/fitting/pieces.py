"""Rows of shards in the order in which they are trained on: read ahead of their use, many batches at a time."""

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxae.data import Shards, Stored
from jaxae.fitting.program import Piece
from jaxae.training import order
from jaxae.types import Array, Batch, Key

__all__ = ["Part", "Pieces", "batches_of"]

AHEAD = 2
"""Pieces that are read before they are asked for."""
COPIES = AHEAD + 4
"""Pieces in memory at most: read ahead, on the way to the device, waiting there, trained on, and a program's copy."""
INDEX_BYTES = 4
LEAST = 2
"""Batches of a piece: XLA draws the rows of a single one out of the loop over batches, and may then round otherwise."""


class Part(NamedTuple):
    """A piece, and where in its epoch it lies.

    Attributes:
        piece: of every member, where there are several.
        first: the epoch's batch that is its first.
        batches: that it has; the last piece of an epoch is filled up with nothing.
    """

    piece: Piece
    first: int
    batches: int


def batches_of(data: Shards, batch_size: int, members: int) -> int:
    """Return the batches of a piece: as many as fit into memory, and about equally many in every piece of an epoch.

    Raises:
        ValueError: if not even two fit.
    """
    steps = len(data.x) // batch_size
    row = data.x.row_bytes + (0 if data.cond is None else data.cond.row_bytes) + INDEX_BYTES
    each = COPIES * row * batch_size * members
    if LEAST * each > data.memory:
        raise ValueError(
            f"memory of the shards is {data.memory} bytes, but batches of {batch_size} rows for {members} "
            f"member{'s' * (members > 1)} need at least {LEAST * each}: open them with shards(..., "
            f"memory={LEAST * each})"
        )
    most = min(data.memory // each, steps)
    return max(LEAST, -(-steps // -(-steps // most)))


class Pieces:
    """What Grain reads from: the pieces of all epochs, by their number.

    A member that trains has an order of the rows of its own, as it has in memory, so every one reads for itself.
    """

    def __init__(self, data: Shards, order_key: Key, *, batch_size: int, epochs: int) -> None:
        """Read nothing yet.

        Args:
            data: the shards.
            order_key: that of a run, or (members,) those of a population.
            batch_size: rows per step.
            epochs: in all.
        """
        self.data, self.batch_size, self.epochs = data, batch_size, epochs
        self.steps = len(data.x) // batch_size
        words = np.asarray(jax.random.key_data(order_key))
        self._many = bool(order_key.shape)
        self._words = words if self._many else words[None]
        like = jax.ShapeDtypeStruct(self._words.shape[1:], words.dtype)
        self._drawn = _drawing(len(data.x), like, jax.random.key_impl(order_key))
        self._batches = batches_of(data, batch_size, len(self._words))
        self._per_epoch = -(-self.steps // self._batches)
        self._order: tuple[int, np.ndarray] | None = None
        # Takes seconds to import, and only fits over shards need it.
        import grain

        options = grain.ReadOptions(num_threads=1, prefetch_buffer_size=AHEAD)
        self._read = grain.MapDataset.source(self).to_iter_dataset(options)

    def __len__(self) -> int:
        return self.epochs * self._per_epoch

    def __getitem__(self, number: Any) -> Part:
        epoch, piece = divmod(int(number), self._per_epoch)
        first = piece * self._batches
        count = min(self._batches, self.steps - first)
        chosen = self._ordered(epoch)[:, first * self.batch_size : (first + count) * self.batch_size]
        x, cond, rows = self._room(self._batches)
        for member, own in enumerate(chosen):
            # As they lie on the disk; which of them are a batch is told beside them.
            places = np.argsort(own)
            self.data.x.take(own[places], x[member, : len(own)])
            if self.data.cond is not None and cond is not None:
                self.data.cond.take(own[places], cond[member, : len(own)])
            rows[member].reshape(-1)[places] = np.arange(len(own), dtype=np.int32)
        return Part(self._piece(x, cond, rows), first, count)

    def empty(self, batches: int | None = None) -> Piece:
        """Return a piece of so many batches, by default of as many as all have, with nothing in it."""
        return self._piece(*self._room(batches or self._batches))

    def _room(self, batches: int) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
        def room(stored: Stored) -> np.ndarray:
            return np.empty((len(self._words), batches * self.batch_size, *stored.shape[1:]), stored.dtype)

        cond = None if self.data.cond is None else room(self.data.cond)
        return room(self.data.x), cond, np.zeros((len(self._words), batches, self.batch_size), np.int32)

    def _piece(self, x: np.ndarray, cond: np.ndarray | None, rows: np.ndarray) -> Piece:
        piece = Piece(Batch(x, cond), rows)
        return piece if self._many else jax.tree.map(lambda leaf: leaf[0], piece)

    def _ordered(self, epoch: int) -> np.ndarray:
        """Return (members, n) the order of an epoch."""
        if self._order is None or self._order[0] != epoch:
            step = np.asarray(epoch * self.steps, np.int32)
            self._order = None
            # One at a time: to draw one takes several times its memory.
            self._order = epoch, np.stack([np.asarray(self._drawn(own, step)) for own in self._words])
        return self._order[1]

    def since(self, batch: int) -> Iterator[Part]:
        """Yield the pieces from the one on that holds a batch, counted from the first epoch's first, read ahead."""
        epoch, within = divmod(batch, self.steps)
        found = iter(self._read)
        found.set_state({"next_index": epoch * self._per_epoch + within // self._batches})
        yield from found


@functools.cache
def _drawing(n: int, words: jax.ShapeDtypeStruct, impl: Any) -> Callable[[np.ndarray, np.ndarray], Array]:
    """Return (words of a key, step) -> the order of n rows, compiled."""

    def drawn(words: Array, step: Array) -> Array:
        return order(jax.random.wrap_key_data(words, impl=impl), step, n)

    return jax.jit(drawn).lower(words, jax.ShapeDtypeStruct((), np.int32)).compile()
