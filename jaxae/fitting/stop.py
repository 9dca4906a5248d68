"""A fit that is told to stop: at the end of a chunk, once it is saved."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from jaxae.hosts import TRY_AGAIN

__all__ = ["Stopped", "listening"]


class Stopped(SystemExit):
    """A fit was told to stop by a signal, and was saved: the same call goes on from there.

    It ends a program that does not catch it with exit status 75, "try again later".
    """

    def __init__(self, said: str) -> None:
        super().__init__(TRY_AGAIN)
        self.said = said

    def __str__(self) -> str:
        return self.said


@contextmanager
def listening() -> Iterator[list[str]]:
    """Note SIGTERM and SIGINT in the list that is given, while the block runs; a second one acts as it did before.

    Signals reach a process's main thread alone: elsewhere nothing is noted. Nor are signals that the process ignores.
    """
    told: list[str] = []
    if threading.current_thread() is not threading.main_thread():
        yield told
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    before = {number: handler for number, handler in before.items() if handler not in (None, signal.SIG_IGN)}

    def note(number: int, _: Any) -> None:
        told.append(signal.Signals(number).name)
        restore()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    try:
        for number in before:
            signal.signal(number, note)
        yield told
    finally:
        restore()
