"""Rows as quantised codes in a file, and back: what a trained encoder makes of compression."""

import os
import uuid
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxae import latent
from jaxae.study.trained import Trained

__all__ = ["Compressed", "compress", "decompress"]

FORMAT = "jaxae.codes.1"


class Compressed(NamedTuple):
    """What compressing rows came to.

    Attributes:
        bytes: of the file.
        original_bytes: of the rows as float32.
        error: mean squared difference between the rows and what `decompress` gives back, in scaled units.
        error_unquantised: the same of the model's own reconstruction: what is lost even with exact codes.
    """

    bytes: int
    original_bytes: int
    error: float
    error_unquantised: float


def compress(trained: Trained, values: np.ndarray, path: str | os.PathLike[str], *, bits: int = 8) -> Compressed:
    """Write rows (n, d) to a file as codes of `bits` bits for each latent unit; the file appears whole or not at all.

    The codes are packed without gaps; a range for each unit, the number of rows and the model's fingerprint stand
    beside them. The decoder that reads them back is the trained folder's.

    Args:
        trained: with an encoder and a decoder, unconditional.
        values: (n, d) rows in the user's units.
        path: of the file, which ends in .npz.
        bits: of one number, 1 to 16.

    Raises:
        TypeError: if bits is no whole number.
        ValueError: if bits is out of range, the model cannot encode and decode, or the file cannot be written.
    """
    path = Path(path)
    if path.suffix != ".npz":
        raise ValueError(f"{path} must end in .npz, which is what the codes are written as")
    trained.require("compress")
    codes = trained.encode(values)
    quantised = latent.quantise(codes, bits)
    scaled, own = (trained.study.scaling.apply(rows) for rows in (values, trained.decode(codes)))
    back = trained.study.scaling.apply(trained.decode(np.asarray(quantised.codes())))
    part = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        with open(part, "xb") as file:
            np.savez(
                file,
                allow_pickle=False,
                format=np.asarray(FORMAT),
                model=np.asarray(trained.fingerprint),
                shape=np.asarray(codes.shape),
                bits=np.asarray(bits),
                low=np.asarray(quantised.low),
                step=np.asarray(quantised.step),
                packed=_packed(np.asarray(quantised.levels), bits),
            )
        os.replace(part, path)
    except OSError as error:
        raise ValueError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)
    return Compressed(
        path.stat().st_size,
        4 * values.size,
        float(np.mean((scaled - back) ** 2, dtype=np.float64)),
        float(np.mean((scaled - own) ** 2, dtype=np.float64)),
    )


def decompress(trained: Trained, path: str | os.PathLike[str]) -> np.ndarray:
    """Return the rows (n, d), in the user's units, that `compress` wrote to a file.

    Raises:
        ValueError: if the file is missing, damaged, no file of codes, or was written with another model.
    """
    trained.require("compress")
    path = Path(path)
    try:
        with np.load(path, allow_pickle=False) as file:
            content = {name: file[name] for name in file.files}
        n, units = (int(size) for size in content["shape"])
        bits = int(content["bits"])
        levels = _unpacked(content["packed"], (n, units), bits)
        form, model = str(content["format"]), str(content["model"])
        low, step = (content[name].astype(np.float32) for name in ("low", "step"))
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist") from None
    except Exception as error:
        raise ValueError(f"{path} is no file of codes, or it is damaged; jaxae compress writes one") from error
    if form != FORMAT or low.shape != (units,) or step.shape != (units,):
        raise ValueError(f"{path} holds {form!r}, but this program reads {FORMAT!r}")
    if model != trained.fingerprint:
        raise ValueError(f"{path} was written with another model: decompress it with the folder that compressed it")
    quantised = latent.Quantised(jnp.asarray(levels), jnp.asarray(low), jnp.asarray(step), bits)
    return trained.decode(np.asarray(quantised.codes()))


def _packed(levels: np.ndarray, bits: int) -> np.ndarray:
    """Return whole numbers of `bits` bits as bytes without gaps, the most significant bit first."""
    places = np.arange(bits - 1, -1, -1, dtype=np.uint16)
    return np.packbits((levels.reshape(-1, 1).astype(np.uint16) >> places) & 1)


def _unpacked(packed: np.ndarray, shape: tuple[int, int], bits: int) -> np.ndarray:
    if packed.dtype != np.uint8 or not 1 <= bits <= 16 or len(packed) != -(-shape[0] * shape[1] * bits // 8):
        raise ValueError("the packed codes are not as long as their shape says")
    ones = np.unpackbits(packed, count=shape[0] * shape[1] * bits).reshape(-1, bits).astype(np.uint16)
    return (ones << np.arange(bits - 1, -1, -1, dtype=np.uint16)).sum(1).astype(np.uint16).reshape(shape)
