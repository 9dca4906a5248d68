"""Settings in words: how they are read from a command line, and shown."""

import dataclasses
import inspect
import itertools
import types
import typing
from collections.abc import Iterable
from types import ModuleType
from typing import Any, Literal

from jaxae import recipes
from jaxae.cli.commands import List, Train

__all__ = ["pairs", "settings", "show"]


def show(command: List) -> None:
    """Print the recipes and their settings, or what those of one mean."""
    if command.recipe is not None:
        recipe = recipes.find(command.recipe)
        print(inspect.cleandoc(recipe.__doc__ or ""), inspect.cleandoc(recipe.Settings.__doc__ or ""), sep="\n\n")
        print(f"\nDefaults: {_defaults(recipe)}")
        return
    for name in recipes.names():
        if command.plain:
            print(name)
            continue
        recipe = recipes.find(name)
        print(f"{name}\n    {(recipe.__doc__ or '').splitlines()[0]}")
        print(f"    settings: {_defaults(recipe)}")


def _defaults(recipe: ModuleType) -> str:
    return ", ".join(f"{field.name}={_written(field.default)}" for field in dataclasses.fields(recipe.Settings))


def settings(recipe: ModuleType, command: Train) -> tuple[Any, dict[str, Any]]:
    """Return the settings and what is swept, or refuse what contradicts itself or would have no effect."""
    given = {name: _parsed(recipe, name, value) for name, value in pairs("--set", command.set).items()}
    sweep = {
        name: _range(recipe, name, values)
        if ".." in values
        else [_parsed(recipe, name, value) for value in values.split("/" if _several(recipe, name) else ",")]
        for name, values in pairs("--sweep", command.sweep).items()
    }
    if command.epochs is not None and "epochs" in given:
        raise ValueError("epochs are given by --epochs and by --set: give them once")
    for name in given:
        if name in sweep:
            raise ValueError(f"{name} is given by --set and by --sweep: give it once")
        if command.data is not None and name in recipe.OF_OWN_DATA:
            raise ValueError(
                f"{name} is about data that the recipe makes, but --data names a file: leave one of them out"
            )
    if command.epochs is not None:
        given["epochs"] = command.epochs
    stand_in = getattr(recipe, "STAND_IN", {}) if command.data is None else {}
    return recipe.Settings(**{**stand_in, **given}), sweep


def pairs(option: str, words: Iterable[Iterable[str]]) -> dict[str, str]:
    """Return name -> value of words such as `name=value`."""
    found: dict[str, str] = {}
    for word in itertools.chain.from_iterable(words):
        name, equals, value = word.partition("=")
        if not (name and equals and value):
            raise ValueError(f"{option} {word!r} is no setting: write {option} name=value")
        if name in found:
            raise ValueError(f"{option} names {name} twice: give it once")
        found[name] = value
    return found


def _several(recipe: ModuleType, name: str) -> bool:
    """Return whether a value of the setting has commas itself."""
    return typing.get_origin(typing.get_type_hints(recipe.Settings).get(name)) is tuple


def _range(recipe: ModuleType, name: str, words: str) -> Any:
    """Return the range that LOW..HIGH or LOW..HIGH:log says."""
    from jaxae.study import Range

    limits, colon, kind = words.partition(":")
    low, _, high = limits.partition("..")
    if colon and kind != "log":
        raise ValueError(f"{name} is {words!r}, but a range is written {name}=LOW..HIGH or {name}=LOW..HIGH:log")
    return Range(_parsed(recipe, name, low), _parsed(recipe, name, high), bool(colon))


def _parsed(recipe: ModuleType, name: str, word: str) -> Any:
    """Return the word as a value of the setting's type."""
    kinds = typing.get_type_hints(recipe.Settings)
    if name not in kinds:
        from jaxae import checks

        checks.known(f"setting of {recipe.__name__.rpartition('.')[2].replace('_', '-')}", [name], kinds)
    kind = kinds[name]
    try:
        return _as(kind, word)
    except ValueError:
        raise ValueError(f"{name} is {word!r}, but must be {_allowed(kind)}") from None


def _as(kind: Any, word: str) -> Any:
    if typing.get_origin(kind) is Literal:
        if word not in typing.get_args(kind):
            raise ValueError(word)
        return word
    if typing.get_origin(kind) is tuple:
        return tuple(_as(typing.get_args(kind)[0], part) for part in word.split(","))
    if isinstance(kind, types.UnionType):
        return None if word == "none" else _as(typing.get_args(kind)[0], word)
    if kind is bool:
        return {"true": True, "false": False}[word] if word in ("true", "false") else _as(float, "not a bool")
    return kind(word)


def _allowed(kind: Any) -> str:
    if typing.get_origin(kind) is Literal:
        return "one of " + ", ".join(typing.get_args(kind))
    if typing.get_origin(kind) is tuple:
        return f"{_allowed(typing.get_args(kind)[0])}, or several with commas between"
    if isinstance(kind, types.UnionType):
        return f"{_allowed(typing.get_args(kind)[0])}, or none"
    return {int: "a whole number", float: "a number", bool: "true or false", str: "text"}[kind]


def _written(value: Any) -> str:
    return (
        ",".join(map(str, value)) if isinstance(value, tuple) else str(value).lower() if value is None else str(value)
    )
