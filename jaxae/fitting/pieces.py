"""Rows of shards in the order in which they are trained on: read ahead of their use, many batches at a time."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxae.data import Shards
from jaxae.fitting.program import Piece
from jaxae.training import order
from jaxae.types import Batch, Key

__all__ = ["Part", "Pieces", "batches_of"]

AHEAD = 2
"""Pieces that are read before they are asked for."""
COPIES = AHEAD + 4
"""Pieces in memory at most: read ahead, on the way to the device, waiting there, trained on, and a program's copy."""
INDEX_BYTES = 4


class Part(NamedTuple):
    """A piece, and where in its epoch it lies.

    Attributes:
        piece: of every member, where there are several.
        first: the epoch's batch that is its first.
        count: of its batches; the last piece of an epoch is filled up with nothing.
    """

    piece: Piece
    first: int
    count: int


def batches_of(data: Shards, batch_size: int, members: int) -> int:
    """Return the batches of a piece: as many as fit into memory, and about equally many in every piece of an epoch.

    Raises:
        ValueError: if not even one fits.
    """
    steps = len(data.x) // batch_size
    row = data.x.row_bytes + (0 if data.cond is None else data.cond.row_bytes) + INDEX_BYTES
    least = COPIES * row * batch_size * members
    if least > data.memory:
        raise ValueError(
            f"memory of the shards is {data.memory} bytes, but batches of {batch_size} rows for {members} "
            f"member{'s' * (members > 1)} need at least {least}: open them with shards(..., memory={least})"
        )
    most = min(data.memory // least, steps)
    return -(-steps // -(-steps // most))


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
        self._keys = order_key
        self._batches = batches_of(data, batch_size, order_key.size)
        self._per_epoch = -(-self.steps // self._batches)
        self._order: tuple[int, np.ndarray] | None = None

    def __len__(self) -> int:
        return self.epochs * self._per_epoch

    def __getitem__(self, number: Any) -> Part:
        epoch, piece = divmod(int(number), self._per_epoch)
        first = piece * self._batches
        count = min(self._batches, self.steps - first)
        chosen = self._ordered(epoch)[:, first * self.batch_size : (first + count) * self.batch_size]
        filled = self._room(self._batches)
        for member, own in enumerate(chosen):
            # As they lie on the disk; which of them are a batch is told beside them.
            places = np.argsort(own)
            for stored, array in zip((self.data.x, self.data.cond), filled.data, strict=True):
                if stored is not None:
                    stored.take(own[places], array[member, : len(own)])
            filled.rows[member].reshape(-1)[places] = np.arange(len(own), dtype=np.int32)
        return Part(self._shaped(filled), first, count)

    def empty(self, batches: int | None = None) -> Piece:
        """Return a piece of so many batches, by default of as many as all have, with nothing in it."""
        return self._shaped(self._room(batches or self._batches))

    def _room(self, batches: int) -> Piece:
        members, rows = self._keys.size, batches * self.batch_size
        parts = (
            None if stored is None else np.empty((members, rows, *stored.shape[1:]), stored.dtype)
            for stored in (self.data.x, self.data.cond)
        )
        return Piece(Batch(*parts), np.zeros((members, batches, self.batch_size), np.int32))

    def _shaped(self, piece: Piece) -> Piece:
        return piece if self._keys.shape else jax.tree.map(lambda leaf: leaf[0], piece)

    def _ordered(self, epoch: int) -> np.ndarray:
        """Return (members, n) the order of an epoch."""
        if self._order is None or self._order[0] != epoch:
            keys = self._keys if self._keys.shape else self._keys[None]
            step, n = np.int32(epoch * self.steps), len(self.data.x)
            self._order = None
            # One at a time: to draw one takes several times its memory.
            self._order = epoch, np.stack([np.asarray(_drawn(keys[i], step, n)) for i in range(len(keys))])
        return self._order[1]

    def since(self, batch: int) -> Iterator[Part]:
        """Yield the pieces from the one on that holds a batch, counted from the first epoch's first, read ahead."""
        import grain

        epoch, within = divmod(batch, self.steps)
        options = grain.ReadOptions(num_threads=1, prefetch_buffer_size=AHEAD)
        found = iter(grain.MapDataset.source(self).to_iter_dataset(options))
        found.set_state({"next_index": epoch * self._per_epoch + within // self._batches})
        yield from found


_drawn = jax.jit(order, static_argnums=2)
