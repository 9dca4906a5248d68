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
    from jaxae.checkpoint.exported import write_exported
    from jaxae.types import Batch

    if command.source.is_dir():
        trained = study.load(command.source, recipes.find, command.member)
        if study.trains_itself(trained.recipe):
            raise ValueError(
                f"{command.source} holds an ensemble, of which no functions are exported: pass on the folder as it is, "
                "or fit the estimator in Python and pass on the file that estimators.save writes"
            )
        own = trained.study
        cond = None if own.conditions is None else np.zeros((0, own.conditions.width), np.float32)
        # What generates has no loss of a single example.
        score = trained.recipe.score(own.model, own.settings) if trained.can("encode") else None
        functions, root = write_exported(own.model, own.variables, Batch(own.train, cond), command.out, score)
    elif command.member is not None:
        raise ValueError(f"member is {command.member}, but {command.source} is a file of one model: leave it out")
    else:
        model = checkpoint.load_model(command.source)
        functions, root = write_exported(model.module, model.variables, model.example, command.out, None)
    if not functions:
        raise ValueError(
            f"{command.out} holds no functions, since its model has none: pass on {command.source} as it is"
        )
    print(f"{', '.join(functions)}: {command.out}\nroot: {root}")
