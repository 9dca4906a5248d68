"""The command line: train a recipe, use what was trained. Help and lists answer without importing JAX."""

import os
import signal
import sys
import warnings
from typing import Any

import tyro

from jaxae.cli.benching import bench
from jaxae.cli.commands import Bench, Command, Export, List, Report, Train
from jaxae.cli.exporting import export
from jaxae.cli.training import resumed, train
from jaxae.cli.using import use
from jaxae.cli.words import show

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit status.

    0; or with one sentence on standard error 1, or 75 where a signal stopped a training that can go on.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    command = _parsed(arguments)
    stopped: list[int] = []

    def stop(number: int, _: Any) -> None:
        stopped.append(number)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_: print(f"jaxae: {message}", file=sys.stderr)
            _run(command, arguments, stopped)
    except BrokenPipeError:
        # Whoever read the output has seen enough; what is left of it goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (ValueError, TypeError, OSError, FloatingPointError) as error:
        print(f"jaxae: {error}", file=sys.stderr)
        return 1
    except SystemExit as end:
        if end.code != 75:  # a training that was stopped, and saved
            raise
        print(f"jaxae: {end}", file=sys.stderr)
        return 75
    except KeyboardInterrupt as error:
        print(f"jaxae: {str(error) or 'interrupted; nothing was written'}", file=sys.stderr, flush=True)
        # Threads that still compile do not survive the interpreter's own clean-up.
        os._exit(128 + stopped[-1] if stopped else 130)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 0


def _parsed(arguments: list[str]) -> Any:
    return tyro.cli(
        Command,
        prog="jaxae",
        description="Autoencoders, VAEs and small GANs whose whole training runs are pure functions.",
        args=arguments,
    )


def _run(command: Any, arguments: list[str], stopped: list[int]) -> None:
    match command:
        case List():
            show(command)
        case Train():
            if command.resume is not None:
                command, arguments = resumed(command, _parsed)
            train(command, arguments, stopped)
        case Bench():
            bench(command)
        case Export():
            export(command)
        case Report():
            from jaxae import report

            print(report.write_page(command.folder))
        case _:
            use(command)
