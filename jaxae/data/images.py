"""Images from files, with their labels and official test images where the files bring them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from jaxae.data.arrays import Images, flattened, from_numpy, joined, shape_of, whole_labels
from jaxae.data.files import read
from jaxae.data.folders import image_folder
from jaxae.data.formats import idx, is_idx, pixels
from jaxae.data.pictures import Size, sides

__all__ = ["images"]

LABEL = "label"
"""Column of a table of images that holds their labels."""
STEMS = ("train", "t10k")
"""How MNIST's files begin, those to train on and those to test on."""
PICTURED = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")


def images(path: str | os.PathLike[str], *, size: Size = None) -> Images:
    """Return the images of a file, or of a folder of image files or with the files of MNIST.

    A folder of PNG and JPEG files is read as `image_folder` says, all at once. A folder in MNIST's format holds
    train-images-idx3-ubyte and train-labels-idx1-ubyte, and usually t10k-images-idx3-ubyte and
    t10k-labels-idx1-ubyte, all with or without .gz: the t10k images are the test images. Beside a file of images whose
    name holds "images-idx3", its labels are taken from the file of the same name with "labels-idx1".

    An array (.npy; .npz with the key X or one array of two or more dimensions, and labels y, label or labels; or with
    Keras' keys x_train, y_train, x_test and y_test) is (n, height, width), (n, height, width, channels) with 1, 3 or
    4 channels, of which the fourth, the opacity, is laid over white, or (n, height · width) of square images. Whole
    numbers of 16 bits without sign are divided by 257, to 0…255. Of any other file that `read` takes, a column called
    "label" holds the labels, and the pixels are those of square images, unless they are called pixel_<row>_<column>.

    Args:
        path: The folder or file.
        size: The side of a square, or (height, width), that each image is cut to the aspect of, at its centre, and
            resized to (Lanczos). None leaves them as they are.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: There are no images, a file is damaged, images and labels differ in number, the shape is none of
            those above, the sizes differ and `size` is None; or as `image_folder`.

    Example:
        >>> import pathlib, tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> file = pathlib.Path(folder.name, "images.npy")
        >>> np.save(file, np.zeros((3, 4, 4)))
        >>> images(file).values.shape, images(file, size=2).shape
        ((3, 16), (2, 2, 1))
        >>> folder.cleanup()

    References:
        LeCun, Cortes and Burges, The MNIST database of handwritten digits, 1998.
    """
    path, wanted = Path(path), sides(size)
    if not path.is_dir():
        if path.suffix.lower() in PICTURED and path.exists():
            raise ValueError(f"{path} is one image: give the folder that the images lie in, as PNG or JPEG files")
        return _file(path, wanted)
    found = [_named(path, f"{stem}-images-idx3-ubyte") for stem in STEMS]
    if found[0] is None:
        files = image_folder(path, size=size)
        values = files[:].reshape(len(files), -1)
        shape = (*files.size, files.channels)
        return Images(values, pixels(*shape), files.labels, files.test, files.notes, shape, files.classes, 255.0)
    return joined(path, [_file(file, wanted) for file in found if file is not None])


def _named(folder: Path, stem: str) -> Path | None:
    return next((folder / name for name in (stem, f"{stem}.gz") if (folder / name).is_file()), None)


def _file(path: Path, size: tuple[int, int] | None) -> Images:
    if path.is_file() and is_idx(path):
        return _beside(path, flattened(str(path), idx(path), size, kept=False))
    if path.is_file() and path.suffix.lower() in (".npy", ".npz"):
        return from_numpy(path, size)
    table = read(path)
    values, columns, labels, notes = table.values, table.columns, None, table.notes
    if LABEL in columns:
        place = columns.index(LABEL)
        labels = whole_labels(f"the column {LABEL!r} of {path}", values[:, place], len(values))
        values, columns = np.delete(values, place, axis=1), (*columns[:place], *columns[place + 1 :])
        notes = (*notes, f"labels are the column {LABEL!r}")
    shape = shape_of(columns)
    if size is not None and shape is None:
        raise ValueError(
            f"{path} does not say how high and wide its images of {len(columns)} pixels are, so they cannot be "
            "resized: call the columns pixel_<row>_<column>, or leave size out"
        )
    if size is None or shape is None:
        return Images(values, columns, labels, notes=notes, shape=shape)
    made = flattened(str(path), values.reshape(-1, *shape), size, kept=False)
    return made._replace(labels=labels, notes=(*notes, *made.notes))


def _beside(path: Path, found: Images) -> Images:
    """Return the images of an IDX file with the labels that lie beside it."""
    if "images-idx3" not in path.name:
        return found
    beside = _named(path.parent, path.name.removesuffix(".gz").replace("images-idx3", "labels-idx1"))
    if beside is None:
        return found
    labels = idx(beside).reshape(-1).astype(np.int64)
    if len(labels) != len(found.values):
        raise ValueError(f"{beside} has {len(labels)} labels for the {len(found.values)} images of {path}")
    note = f"labels of {path.name} were found in {beside.name}"
    return found._replace(labels=labels, notes=(*found.notes, note))
