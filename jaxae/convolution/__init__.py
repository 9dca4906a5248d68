"""Convolutions, transposed and resize convolutions of images, channels last, that a loop does not slow down.

`convolve` and its kin are functions; `Conv`, `ConvTranspose` and `ResizeConv` are Flax modules with the parameters of
`flax.linen.Conv` and `flax.linen.ConvTranspose`, whatever the form that computes them.
"""

from jaxae.convolution.forms import Form, best, gemm, native
from jaxae.convolution.functions import convolve, convolve_transposed
from jaxae.convolution.geometry import Geometry, mirrored
from jaxae.convolution.modules import Conv, ConvTranspose, ResizeConv
from jaxae.convolution.resizing import resize, resize_convolve

__all__ = [
    "Conv",
    "ConvTranspose",
    "Form",
    "Geometry",
    "ResizeConv",
    "best",
    "convolve",
    "convolve_transposed",
    "gemm",
    "mirrored",
    "native",
    "resize",
    "resize_convolve",
]
