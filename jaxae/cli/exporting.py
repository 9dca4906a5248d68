"""A trained model from the command line to one file that can be passed on."""

from jaxae import recipes
from jaxae.cli.commands import Export
from jaxae.cli.training import start

__all__ = ["export"]


def export(command: Export) -> None:
    """Write the file, and print the root that its receivers should know it by."""
    out = command.out.resolve()
    if out == command.source.resolve() or command.source.resolve() in out.parents:
        raise ValueError(f"{command.out} lies in what it is made of, {command.source}: write it elsewhere")
    start(cache=True, devices=1)
    import numpy as np

    from jaxae import checkpoint, study
    from jaxae.types import Batch

    if command.source.is_dir():
        trained = study.load(command.source, recipes.find, command.member)
        own = trained.study
        cond = None if own.conditions is None else np.zeros((0, own.conditions.width), np.float32)
        # What generates has no loss of a single example.
        score = trained.recipe.score(own.model, own.settings) if trained.can("encode") else None
        path = checkpoint.export(own.model, own.variables, Batch(own.train, cond), command.out, score=score)
    elif command.member is not None:
        raise ValueError(f"member is {command.member}, but {command.source} is a file of one model: leave it out")
    else:
        model = checkpoint.load_model(command.source)
        path = checkpoint.export(model.module, model.variables, model.example, command.out)
    root = checkpoint.load_model(path).root
    print(f"{', '.join(checkpoint.load_functions(path, root))}: {path}\nroot: {root}")
