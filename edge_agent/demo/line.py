"""A line: orders are released, pieces go from stage to stage through buffers of limited room.

Rule: a line only moves pieces. That is where starving and blocking come from; nobody draws them by lot.
"""

from __future__ import annotations

from collections import deque
from random import Random

from edge_agent.demo.agenda import Agenda
from edge_agent.demo.layout import LineSpec
from edge_agent.demo.machine import Machine, Piece, Staffing

_MINUTE = 60_000


class Line:
    """The machines of a line and what lies between them."""

    def __init__(self, spec: LineSpec, staffing: Staffing, agenda: Agenda, seed: str) -> None:
        self.spec = spec
        self._agenda = agenda
        self._random = Random(f"{seed}/{spec.id}")  # noqa: S311 - a reproducible plant, no secrets
        self._product = spec.products[0]
        self._left = self._random.randint(*spec.first_batch)  # pieces of the order still to be started
        self._stages = [
            [Machine(on, number, self, staffing, agenda, Random(f"{seed}/{on.id}")) for on in stage]  # noqa: S311
            for number, stage in enumerate(spec.stages)
        ]
        first = Piece(self._product)
        self._room = (0, *spec.buffers)
        self._buffers = [deque[Piece](), *(deque([first] * (room // 2)) for room in spec.buffers)]
        self.machines = [machine for stage in self._stages for machine in stage]

    def take(self, stage: int, *, starved: bool) -> Piece | None:
        """A piece to work on: of the released order, or from the buffer before the stage."""
        if stage > 0:
            waiting = self._buffers[stage]
            enough = self.spec.restart if starved and self._comes(stage) else 1
            return waiting.popleft() if len(waiting) >= enough else None
        if self._left == 0:
            return None
        piece = Piece(self._product)
        self._left -= 1
        return piece

    def hand_on(self, stage: int, piece: Piece, *, blocked: bool) -> bool:
        """Put a piece into the next buffer; behind the last stage there is always room."""
        if stage + 1 == len(self._stages):
            return True
        if len(self._buffers[stage + 1]) + (self.spec.restart if blocked else 1) > self._room[stage + 1]:
            return False
        self._buffers[stage + 1].append(piece)
        return True

    def expects(self, stage: int) -> bool:
        """Whether pieces of released orders are still to reach this stage."""
        return bool(self._buffers[stage]) or self._comes(stage)

    def _comes(self, stage: int) -> bool:
        """Whether pieces are on their way to the buffer before this stage."""
        upstream = any(machine.has_piece for before in self._stages[:stage] for machine in before)
        return upstream or self._left > 0 or any(self._buffers[:stage])

    def settle(self, at: int) -> None:
        """Let machines that wait look again, downstream first, until nothing moves any more."""
        moved = True
        while moved:
            moved = False
            for machine in reversed(self.machines):
                if machine.waits:
                    before = machine.condition
                    machine.decide(at)
                    moved |= machine.condition is not before
        self._end_order(at)

    def _end_order(self, at: int) -> None:
        """When all pieces of an order have been started, the next one is released: at once, or after a while."""
        if self._left > 0 or self._product == "":
            return
        others = [product for product in self.spec.products if product != self._product]
        product, self._product = self._random.choice(others), ""
        least, most = self.spec.gap
        without_order = self._random.random() < self.spec.no_order
        wait = self._random.randrange(int(least * _MINUTE), int(most * _MINUTE)) if without_order else 1

        def release(_: int) -> None:
            self._product = product
            self._left = self._random.randint(*self.spec.batch)

        self._agenda.plan(at + wait, release)
