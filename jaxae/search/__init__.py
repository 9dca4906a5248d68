"""Searches among the members of a population while they train: those that do badly make room for those that do well."""

from jaxae.search.dropping import halving, hyperband
from jaxae.search.exchanging import evolution

__all__ = ["evolution", "halving", "hyperband"]
