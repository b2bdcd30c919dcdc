import io
import sys

import pytest

from infogan_jax.runs import loop, progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def told(monkeypatch):
    """Standard error with a clock that stands still, and what moves it on."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])

    def open_on(stream):
        monkeypatch.setattr(sys, "stderr", stream)

        def wait(seconds):
            now[0] += seconds

        return stream, wait

    return open_on


def test_a_log_gets_a_line_a_minute_and_one_for_each_accuracy(told):
    log, wait = told(io.StringIO())
    with progress.Progress(5000, 2000) as telling:
        for _ in range(4):
            wait(20)
            telling.advance(30)
        wait(10)
        telling.advance(10)
        telling.note("test accuracy 0.754")
        telling.say("an alarm")
    assert log.getvalue().splitlines() == [
        "update 2090 of 5000, 1.5 a second",
        "update 2130 of 5000, 1.33 a second, test accuracy 0.754",
        "an alarm",
    ]


def test_a_terminal_gets_a_bar(told):
    screen, _ = told(Terminal())
    with progress.Progress(10, name="GAN") as telling:
        telling.advance(4)
        telling.note("test accuracy 0.754")
        telling.say("an alarm")
    shown = screen.getvalue()
    assert "GAN:  40%|" in shown and "4/10" in shown
    assert "test accuracy 0.754" in shown and "\ran alarm\n" in shown


def test_nobody_need_listen(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    with progress.Progress(10) as telling:
        telling.note("test accuracy 0.754")


def test_a_dispatch_grows_to_about_two_seconds(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(loop.time, "monotonic", lambda: now[0])
    pace, taken = loop._Pace(), []
    for _ in range(6):
        taken.append(pace.next(1000))
        now[0] += taken[-1] / 4  # Four updates a second.
    assert taken == [1, 2, 4, 8, 8, 8]
