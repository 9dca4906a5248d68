"""The strict setting under which every test runs."""

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "agg")
# Threads of OpenMP wait for each other by spinning: of two test processes on two cores each would wait for the other's.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Read by SciPy when it is imported: without it scikit-learn leaves out its check of arrays of other libraries.
os.environ["SCIPY_ARRAY_API"] = "1"
# Many tests train the same programs: a process compiles each of them once. Each process keeps its own, as JAX may read
# what another has half written; all of them go with the first one, in whose folder the others' lie.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(dir=os.environ["JAX_COMPILATION_CACHE_DIR"])
else:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="jaxae-tests-")
    atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"
os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"

import jax
import numpy as np
import pytest
from jax._src import compiler

jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_debug_key_reuse", True)
jax.config.update("jax_numpy_rank_promotion", "raise")
# Nearly all of the suite's time is compilation. Tests about bits compile as users do (`optimised`), and so do commands
# in processes of their own.
jax.config.update("jax_disable_most_optimizations", True)


def quick(*args: Any, env_options_overrides: dict[str, Any] | None = None, **given: Any) -> Any:
    """Compile fusions without MLIR, which takes three times as long: no setting but XLA_FLAGS, read once, says so."""
    options = dict(env_options_overrides or {})
    if jax.config.read("jax_disable_most_optimizations"):
        options["xla_cpu_use_fusion_emitters"] = False
    return as_users_do(*args, env_options_overrides=options, **given)


as_users_do = compiler.get_compile_options
if jax.__version_info__ < (0, 11):  # from there on XLA has no such option
    compiler.get_compile_options = quick


@pytest.fixture
def optimised() -> Iterator[None]:
    """Compile as users do."""
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", True)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
