"""One part of a step, read by Orbax, which leaves nothing behind where that fails."""

import contextlib
import gc
import inspect
import logging
import sys
import time
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["UnreadableError", "restored"]

FOREIGN = (ValueError, TypeError, LookupError, AttributeError, FileNotFoundError, NotADirectoryError)
"""What Orbax raises for files that are not as it wrote them; a disk that cannot be reached is something else."""
UNDER_WAY = 0.1


class UnreadableError(ValueError):
    """Files are not as Orbax wrote them; the message is Orbax's."""


def restored(path: Path, **wanted: Any) -> Any:
    """Return one part of a step; without a manager, which looks at other steps too, and fails where one is damaged.

    Raises:
        UnreadableError: if its files are not as Orbax wrote them.
    """
    import orbax.checkpoint as ocp

    with _unheard():
        try:
            with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as reader:
                (found,) = reader.restore(path, args=ocp.args.Composite(**wanted)).values()
            return found
        except FOREIGN as error:
            unreadable = UnreadableError(str(error) or type(error).__name__)
            _forget(error)
        time.sleep(UNDER_WAY)
        gc.collect()
    raise unreadable


def _forget(error: BaseException | None) -> None:
    """Let go of what an error's frames hold: the other reads of the same step."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


@contextlib.contextmanager
def _unheard() -> Iterator[None]:
    """Keep Python from telling, one traceback for each, of reads that Orbax's closed event loop still holds."""
    told, asyncio = sys.unraisablehook, logging.getLogger("asyncio")

    def hook(unraisable: Any) -> None:
        if not (inspect.iscoroutine(unraisable.object) or str(unraisable.exc_value) == "Event loop is closed"):
            told(unraisable)

    disabled, asyncio.disabled = asyncio.disabled, True
    sys.unraisablehook = hook
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
            yield
    finally:
        sys.unraisablehook, asyncio.disabled = told, disabled
