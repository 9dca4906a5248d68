"""Ensembles of dense models on a table, whose programs are compiled for a few sizes and not for every table.

A table is padded to the next of a few widths and lengths. Padded columns are 0, are drawn around and are left out of
every loss, so that they change nothing; padded rows are never drawn. What else differs between two fits (rows, columns,
steps, learning rate, noise) is an argument of the program.
"""

from jaxae.ensembles.conditional import Conditional
from jaxae.ensembles.convolving import Convolving
from jaxae.ensembles.families import Autoencoding, Coding, Family, Variational, deviations
from jaxae.ensembles.programs import POINTS, Members, Scored, begun, decoded, encoded, scored, trained
from jaxae.ensembles.spheres import Spheres
from jaxae.ensembles.tables import Table, padded, shuffled

__all__ = [
    "POINTS",
    "Autoencoding",
    "Coding",
    "Conditional",
    "Convolving",
    "Family",
    "Members",
    "Scored",
    "Spheres",
    "Table",
    "Variational",
    "begun",
    "decoded",
    "deviations",
    "encoded",
    "padded",
    "scored",
    "shuffled",
    "trained",
]
