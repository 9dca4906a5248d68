import io

import numpy as np
import pytest

from jaxae.progress import Progress, printer


def at(epoch: int, *, members: int = 1, training: int | None = None, validation=None) -> Progress:
    loss = np.linspace(1.0, 2.0, members) if epoch else np.zeros(0)
    return Progress(epoch, 10, loss, validation, members if training is None else training, 1.25, 2.0 * epoch, 50.0)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_seconds_left_extrapolates_the_rate_so_far():
    assert at(4).seconds_left() == pytest.approx(12.0)
    assert np.isnan(at(0).seconds_left())


def test_the_first_line_says_what_was_compiled_and_for_how_long():
    assert at(0).line() == "compiled one run of 10 epochs as one program in 1.2 s"
    assert at(0, members=32).line() == "compiled 32 runs of 10 epochs as one program in 1.2 s"


def test_a_line_of_one_run():
    assert at(4, validation=np.array([3.0])).line() == "epoch 4/10 · loss 1 · validation 3 · 50 steps/s · 12 s left"


def test_a_line_of_a_population_gives_median_and_range():
    line = at(4, members=3, training=2).line()
    assert line == "epoch 4/10 · loss 1.5 (1–2) · 2/3 members · 50 member-steps/s · 12 s left"


def test_members_that_ended_do_not_count():
    progress = at(4, members=3)._replace(loss=np.array([np.nan, 5.0, np.nan]))
    assert "loss 5 (5–5)" in progress.line()
    assert "loss not finite" in progress._replace(loss=np.full(3, np.nan)).line()


def test_plain_lines_are_rare_but_the_first_and_the_last_are_there():
    stream = io.StringIO()
    show = printer(stream, every=3600.0)
    for epoch in (0, 1, 2, 9, 10):
        show(at(epoch))
    assert [line.split(" · ")[0] for line in stream.getvalue().splitlines()[1:]] == ["epoch 10/10"]
    assert stream.getvalue().startswith("compiled")


def test_plain_lines_all_come_without_an_interval():
    stream = io.StringIO()
    show = printer(stream, every=0.0)
    for epoch in range(4):
        show(at(epoch))
    assert len(stream.getvalue().splitlines()) == 4


def test_a_terminal_gets_one_line_redrawn():
    stream = Terminal()
    show = printer(stream)
    for epoch in (0, 1, 10):
        show(at(epoch))
    assert stream.getvalue().count("\n") == 2 and stream.getvalue().count("\r") == 3


def test_a_run_that_ended_early_ends_its_line():
    stream = Terminal()
    printer(stream)(at(3, training=0))
    assert stream.getvalue().endswith("\n")
