"""The agent's time when the gateway's clock is set, rightly or wrongly."""

from __future__ import annotations

from edge_agent.steady_clock import ACCEPT_AFTER_NS, SteadyClock

SECOND = 1_000_000_000
HOUR = 3600 * SECOND
START = 1_780_000_000 * SECOND


class Gateway:
    """A wall clock that can be set, and a steady one that cannot."""

    def __init__(self) -> None:
        self.steady, self.set_by = 5 * HOUR, 0
        self.clock = SteadyClock(lambda: START + self.steady - 5 * HOUR + self.set_by, lambda: self.steady)

    def after(self, seconds: float, *, heard: int | None = None) -> int:
        """The agent's time so many seconds later, in ns since the start; `heard` is of the sources, likewise."""
        self.steady += round(seconds * SECOND)
        self.clock()
        if heard is not None:
            self.clock.hear(START + heard)
        return self.clock() - START


def test_small_steps_are_followed() -> None:
    gateway = Gateway()
    gateway.set_by = 20 * SECOND
    assert gateway.after(1) == 21 * SECOND
    gateway.set_by = -5 * SECOND
    assert gateway.after(1) == -3 * SECOND


def test_a_glitch_of_a_day_is_not_believed() -> None:
    gateway = Gateway()
    gateway.set_by = 24 * HOUR
    assert gateway.after(10) == 10 * SECOND
    gateway.set_by = 0
    assert gateway.after(10) == 20 * SECOND


def test_sources_that_agree_with_the_new_time_confirm_it_at_once() -> None:
    gateway = Gateway()
    gateway.set_by = 24 * HOUR
    assert gateway.after(1, heard=24 * HOUR) == 24 * HOUR + SECOND


def test_sources_that_agree_with_the_old_time_refute_a_step_for_as_long_as_they_speak() -> None:
    gateway = Gateway()
    gateway.set_by = -HOUR
    for minute in range(1, 40):
        assert gateway.after(60, heard=minute * 60 * SECOND) == minute * 60 * SECOND


def test_where_no_source_speaks_a_step_holds_after_a_while() -> None:
    gateway = Gateway()
    gateway.set_by = 24 * HOUR
    assert gateway.after(1) == SECOND
    assert gateway.after(ACCEPT_AFTER_NS / SECOND) == 24 * HOUR + SECOND + ACCEPT_AFTER_NS
