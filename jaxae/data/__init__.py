"""Files and synthetic sources to arrays, and back: tables with their column names, images, scalings, splits."""

from jaxae.data.arrays import Images
from jaxae.data.conditions import Conditions, conditions
from jaxae.data.files import Table, check_target, fingerprint, read, write
from jaxae.data.folders import ImageFolder, image_folder
from jaxae.data.formats import is_table
from jaxae.data.images import images
from jaxae.data.photos import Photos, photos
from jaxae.data.scaling import Scaling, min_max, pixel_columns, split, standard
from jaxae.data.shards import Shards, shards
from jaxae.data.sources import (
    CONDITIONAL_NOISE,
    PATTERNS,
    Conditional,
    Digits,
    Process,
    anomalies,
    conditional,
    conditional_mean,
    digits,
    process,
)
from jaxae.data.stored import Stored
from jaxae.data.structured import Dictionary, Series, dictionary, series
from jaxae.data.writing import write_images

__all__ = [
    "CONDITIONAL_NOISE",
    "PATTERNS",
    "Conditional",
    "Conditions",
    "Dictionary",
    "Digits",
    "ImageFolder",
    "Images",
    "Photos",
    "Process",
    "Scaling",
    "Series",
    "Shards",
    "Stored",
    "Table",
    "anomalies",
    "check_target",
    "conditional",
    "conditional_mean",
    "conditions",
    "dictionary",
    "digits",
    "fingerprint",
    "image_folder",
    "images",
    "is_table",
    "min_max",
    "photos",
    "pixel_columns",
    "process",
    "read",
    "series",
    "shards",
    "split",
    "standard",
    "write",
    "write_images",
]
