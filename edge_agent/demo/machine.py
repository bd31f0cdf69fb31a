"""One simulated machine: takes pieces, works on them, stops, breaks down, is set up, stands in breaks.

Rule: a machine knows the time only from who calls it, and everything random comes from its own generator; so what it
does depends on its seed and its neighbours, not on how the simulation is advanced.
Failures and short stops come with operating time (exponential), repairs go on through breaks and nights.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Protocol

from edge_agent.demo.agenda import Agenda
from edge_agent.demo.events import Condition, Outcome, Phase
from edge_agent.demo.layout import Device, MachineSpec

_MINUTE = 60_000
_ENTERING = 1_200  # ms that a PackML machine takes from, say, Aborting to Aborted
_LEAVING = 900
_START_UP_PIECES = 8  # pieces after a setup that are scrapped more often


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece on its way through the line."""

    product: str


@dataclass(frozen=True, slots=True)
class Completed:
    """A piece that a machine has just made."""

    product: str
    outcome: Outcome
    inspected: bool
    first_pass: bool


class Neighbours(Protocol):
    """The line as a machine sees it."""

    def take(self, stage: int, *, starved: bool) -> Piece | None:
        """A piece to work on, if there is one."""

    def hand_on(self, stage: int, piece: Piece, *, blocked: bool) -> bool:
        """Whether there was room downstream for the piece."""

    def expects(self, stage: int) -> bool:
        """Whether more pieces of released orders are still to reach this stage."""


class Staffing(Protocol):
    """Who is on the floor now."""

    staffed: bool  # a shift is on
    busy: bool  # and it is no break


class Machine:
    """A machine of a line, as its spec says.

    After each instant, `condition`, `phase` and `product` are what it is doing, and `completed` the piece it finished
    in this instant, if any.
    """

    def __init__(
        self, spec: MachineSpec, stage: int, line: Neighbours, staffing: Staffing, agenda: Agenda, random: Random
    ) -> None:
        self.spec = spec
        self.stage = stage
        self.condition = Condition.OFF
        self.phase = Phase.WITHIN
        self.product = next(iter(spec.ideal))
        self.completed: Completed | None = None
        self._line = line
        self._staffing = staffing
        self._agenda = agenda
        self._random = random
        self._since = 0
        self._timer = 0  # number of the timer that counts; older ones are void
        self._episode = 0  # number of the condition, for its phases
        self._piece: Piece | None = None
        self._retest = False
        self._done: Piece | None = None  # finished, waits to be handed on
        self._work_left = 0
        self._setup_left = 0
        self._stop_left = 0
        self._repaired_at = 0
        self._off_at = 0
        self._pieces_since_setup = _START_UP_PIECES
        self._to_failure = self._draw(spec.minutes_to_failure * _MINUTE)
        self._to_stop = self._draw(spec.minutes_to_stop * _MINUTE)

    @property
    def waits(self) -> bool:
        """Whether it waits for its neighbours."""
        return self.condition in {Condition.STARVED, Condition.BLOCKED} or (
            self.condition is Condition.IDLE and self._staffing.busy
        )

    @property
    def has_piece(self) -> bool:
        """Whether a piece is in it."""
        return self._piece is not None or self._done is not None

    def switch_on(self, at: int, *, cold: bool) -> None:
        """Begin at the start of the simulation: warm up first, or as if in full swing."""
        self._since = at
        if cold:
            self._warm_up()
        self.decide(at)

    def change_shift(self, at: int) -> None:
        """A shift or a break begins or ends."""
        if self._staffing.busy and self.condition is Condition.OFF:
            self._warm_up()
        elif not self._staffing.staffed:
            self._off_at = at + self._random.randrange(_MINUTE, 6 * _MINUTE)
        self.decide(at)

    def decide(self, at: int) -> None:
        """Account for the time since the last call, then do what comes next."""
        self._account(at)
        self._complete()
        while not self._settle(at):
            pass

    def _account(self, at: int) -> None:
        elapsed, self._since = at - self._since, at
        if self.condition is Condition.PRODUCING:
            self._work_left -= elapsed
            self._to_failure -= elapsed
            self._to_stop -= elapsed
        elif self.condition is Condition.SETUP:
            self._setup_left -= elapsed
        elif self.condition is Condition.STOPPED:
            self._stop_left -= elapsed

    def _settle(self, at: int) -> bool:  # noqa: PLR0911 - one row of a decision table each
        """One step towards what the machine does from now on; True when that is found."""
        if self._repaired_at > at:
            return self._be(Condition.BREAKDOWN, at, until=self._repaired_at)
        if not self._staffing.busy:
            return self._stand(at)
        if self._setup_left > 0:
            return self._be(Condition.SETUP, at, until=at + self._setup_left)
        if self._stop_left > 0:
            return self._be(Condition.STOPPED, at, until=at + self._stop_left)
        if self._done is not None:
            if not self._line.hand_on(self.stage, self._done, blocked=self.condition is Condition.BLOCKED):
                return self._be(Condition.BLOCKED, at)
            self._done = None
        if self._piece is None:
            return self._take(at)
        if self._to_failure <= 0:
            self._repaired_at = at + self._draw(self.spec.repair_minutes * _MINUTE, least=_MINUTE)
            self._to_failure = self._draw(self.spec.minutes_to_failure * _MINUTE)
            return False
        if self._to_stop <= 0:
            self._stop_left = self._draw(self.spec.stop_seconds * 1000, least=5000)
            self._to_stop = self._draw(self.spec.minutes_to_stop * _MINUTE)
            return False
        return self._be(Condition.PRODUCING, at, until=at + min(self._work_left, self._to_failure, self._to_stop))

    def _stand(self, at: int) -> bool:
        """No work is planned: idle in breaks, switched off some minutes after the shift."""
        if self._staffing.staffed or self.spec.stands_by:
            return self._be(Condition.IDLE, at)
        if at < self._off_at:
            return self._be(Condition.IDLE, at, until=self._off_at)
        return self._be(Condition.OFF, at)

    def _take(self, at: int) -> bool:
        piece = self._line.take(self.stage, starved=self.condition is Condition.STARVED)
        if piece is None:
            return self._be(Condition.STARVED if self._line.expects(self.stage) else Condition.IDLE, at)
        self._piece = piece
        self._retest = self._random.random() < self.spec.fails_first_test
        self._work_left = self._cycle(piece)
        if piece.product != self.product:
            self._change_over(piece.product, at)
        return False

    def _change_over(self, product: str, at: int) -> None:
        """The new order is loaded a moment after the setup has begun, so never in the instant of a piece."""
        least, most = self.spec.setup_minutes
        self._setup_left = self._random.randrange(int(least * _MINUTE), int(most * _MINUTE))
        self._pieces_since_setup = 0

        def load(_: int) -> None:
            self.product = product

        self._agenda.plan(at + 2_000 + self._random.randrange(3_000), load)

    def _cycle(self, piece: Piece) -> int:
        """Actual run time of a piece in ms: the planned one and a bit, longer where it has to be tested again."""
        ideal = self.spec.ideal[piece.product] * 1000
        slower = 1 + self._random.gammavariate(4.0, self.spec.slowness / 4.0)
        return round(ideal * slower * (1.6 if self._retest else 1.0))

    def _complete(self) -> None:
        if self._piece is None or self._work_left > 0:
            return
        piece, self._piece = self._piece, None
        outcome, first_pass = self._judge()
        self.completed = Completed(piece.product, outcome, bool(self.spec.fails_first_test), first_pass)
        self._pieces_since_setup += 1
        if outcome is Outcome.GOOD:
            self._done = piece

    def _judge(self) -> tuple[Outcome, bool]:
        """What became of the piece, and whether it was good at first pass."""
        draw = self._random.random()
        if self.spec.fails_first_test:
            if not self._retest:
                return Outcome.GOOD, True
            return (Outcome.GOOD if draw < 0.5 else Outcome.REWORK if draw < 0.8 else Outcome.SCRAP), False
        scrap = self.spec.scrap * (4 if self._pieces_since_setup < _START_UP_PIECES else 1)
        return (Outcome.SCRAP if draw < scrap else Outcome.GOOD), False

    def _warm_up(self) -> None:
        self._setup_left += self._random.randrange(40_000, 150_000)

    def _be(self, condition: Condition, at: int, until: int | None = None) -> bool:
        """Be in a condition, until a time where it ends by itself."""
        self._timer += 1
        if until is not None:
            timer = self._timer
            self._agenda.plan(until, lambda now: self.decide(now) if timer == self._timer else None)
        if condition is not self.condition:
            self.condition = condition
            self._show_phases(at, until)
        return True

    def _show_phases(self, at: int, until: int | None) -> None:
        self._episode += 1
        self.phase = Phase.WITHIN
        acts = {Condition.BREAKDOWN, Condition.STOPPED, Condition.STARVED, Condition.BLOCKED}
        if self.spec.device is not Device.PACKML or self.condition not in acts:
            return
        episode = self._episode

        def show(phase: Phase) -> None:
            if episode == self._episode:
                self.phase = phase

        self.phase = Phase.ENTERING
        self._agenda.plan(at + _ENTERING, lambda _: show(Phase.WITHIN))
        if until is not None and until - at > _ENTERING + _LEAVING:
            self._agenda.plan(until - _LEAVING, lambda _: show(Phase.LEAVING))

    def _draw(self, mean: float, least: int = 1) -> int:
        """An exponential duration in ms, at least `least` and at most four times the mean."""
        return max(least, min(round(self._random.expovariate(1 / mean)), round(4 * mean)))
