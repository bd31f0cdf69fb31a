"""What one late sample costs the engine: CPU milliseconds from its arrival to the corrected rows.

`python bench/late.py [--machines 1000]` prints JSON. Every machine has 8 tags of one sample a second each (see
`bench/engine.py`), so 1,000 machines are 8,000 samples a second. A sample comes late for one machine, into a minute
that is still in memory, or into one that was packed away into the archive (read, corrected and packed again); of each
kind of signal, at another machine each time. Median and worst of `--times`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from typing import Final

import numpy as np

from bench.engine import MINUTE, SECOND, START, TAGS, minute_of_samples, plant
from kpi.engine import Engine

MINUTES: Final = 12
IN_MEMORY: Final = 4
"""Minutes that stay in memory; those before are in the archive."""

LATE: Final = {
    "state": (1, 2.0),
    "link": (0, 0.0),
    "good count": (3, 1.0),
    "product": (5, 1.0),
    "energy meter": (6, 0.5),
}
"""Kind of signal → (place among a machine's tags, value). The readings are old ones: counters step back."""


def measured(machines: int, times: int) -> list[dict[str, object]]:
    """Figures by kind of signal and where its minute is."""
    random = np.random.default_rng(7)
    engine = Engine(plant(machines), horizon_ns=60 * MINUTE, most_samples=IN_MEMORY * 60 * machines * TAGS)
    archive: dict[int, bytes] = {}
    for minute in range(MINUTES):
        engine.add(*minute_of_samples(machines, minute, random))
        archive |= engine.advance(START + minute * MINUTE, archive).archive
    closed = START + (MINUTES - 1) * MINUTE
    figures: list[dict[str, object]] = []
    for place, minute in (("memory", MINUTES - 3), ("archive", 3)):
        for name, (tag, value) in LATE.items():
            spent, rows = [], 0
            for number in range(times):
                when = START + minute * MINUTE + (7 + number) * SECOND + 7
                sample = (np.array([TAGS * (number + 3) + tag], np.int32), np.array([when]), np.array([value]))
                before = time.process_time()
                engine.add(*sample, np.zeros(1, np.uint8))
                update = engine.advance(closed, archive)
                spent.append((time.process_time() - before) * 1e3)
                archive |= update.archive
                rows = update.elements.height
            figures.append(
                {
                    "minute_in": place,
                    "signal": name,
                    "rows_corrected": rows,
                    "median_ms": round(statistics.median(spent), 2),
                    "worst_ms": round(max(spent), 2),
                }
            )
    return figures


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--machines", type=int, default=1_000)
    parser.add_argument("--times", type=int, default=20)
    options = parser.parse_args()
    figures = measured(options.machines, options.times)
    print(json.dumps({"bench": "late", "aim_ms": 10, "machines": options.machines, "figures": figures}, indent=1))


if __name__ == "__main__":
    main()
