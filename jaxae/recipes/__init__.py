"""Worked systems: each is one file that reads from data to pictures, and a line of `jaxae list`.

A recipe is a module with, in this order,

- a docstring whose first line says what it is; `UNITS` of its metrics, what its `CONTROLS` are, and the names of the
  settings that are only `OF_OWN_DATA`;
- `Settings`, a frozen dataclass that refuses impossible values; it has `epochs`, `batch_size` and `latent`;
- `source(settings, key)`: its own data; `scaling(settings, values, columns)`: from the user's units to the model's;
- `model(settings, shape)` of examples of that shape, (variables,) or of images (height, width, channels), which come
  as rows (n, pixels) none the less; and `encode`, `decode`, `sample` on the bound model as far as it can;
- `learner(model, settings, steps, *, ...)`: its keyword arguments are the settings that can be swept;
- `score(model, settings)`: what validation rows are judged by, or None; `final(fit)` where the variables to use are not
  those of the best epoch;
- `evaluate(study, *, key)`, `controls(study)`, `checks(study, metrics, controls, *, key)`: figures on held-out rows;
- `pictures(study, folder, *, key)`.

Some need more, and what they do not have has a meaning of its own:

- `read(settings, path, impute, key)`: the `Source` of a file, where it is more than a table of rows (labels, stamps,
  conditions, test rows of its own); `PARTS`: shares of the rows, where there are others than train, validation, test;
- `STAND_IN`: settings for the recipe's own data, where those stand in for something larger;
- `examples(settings, rows)`: what the model sees of scaled rows (windows), `reconstruct(study, rows)` and
  `errors(study, rows, cond)` back in rows, and `events(settings, alarms)`, where an example is not a row; without
  `errors` a row's score is the squared distance to its reconstruction;
- `fit(study, key)`: the trained `Fit`, in the place of `learner` and `score`, where an ensemble trains by itself; its
  `model` has `init(key, x)` and `bind(variables)`, and it is neither swept nor saved on the way;
- `explain(study, values)`: in words what makes rows in the user's units strange, where it is more than shares;
- `judge(study)`: what takes long to make and every member is evaluated by, as `study.judge`;
- `denoise(model, x)`, where a model is trained to;
- a last argument `cond` of `encode`, `decode`, `sample`, where the source has conditions.

JAX, Flax and optax are imported inside the functions, so that listing the recipes takes no time.
"""

import importlib
import pkgutil
from types import ModuleType

__all__ = ["find", "names"]


def names() -> list[str]:
    """Return the names of all recipes: those of the files in this folder."""
    return sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__))


def find(name: str) -> ModuleType:
    """Return the recipe's module.

    Raises:
        ValueError: for a name that does not exist, with those that do, nearest first.
    """
    if name not in names():
        from jaxae import checks

        checks.known("recipe", [name], names())
    return importlib.import_module(f"jaxae.recipes.{name.replace('-', '_')}")
