"""What other open implementations answer to the worked cases: writes `others` into tests/kpi/cases/cases.yaml.

Run as `python -m bench.other_implementations --write` in an environment that has them too (`pip install oee`); they are
no dependency of this project, and no test needs them. Without `--write` it only prints, as JSON.

`oee` (PyPI) speaks TPM: planned production time is planned busy time, run time is actual production time. It takes one
ideal time per result, so rows are computed one by one and put together by its own `aggregate`.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from kpi.formulas import in_units
from tests.kpi.worked_cases import FILE, cases, element_rows

_FACTORS: Final = {
    "availability": "availability",
    "performance": "effectiveness",
    "quality": "quality_ratio",
    "oee": "oee",
    "ooe": "ooe",
    "teep": "teep",
}
"""Attribute of its result → KPI."""


def answers_of_oee(package: Any, case: Mapping[str, Any]) -> dict[str, Any] | None:
    """What `oee` answers to a case; None where it has nothing for it."""
    if "line" in case and "steps" in case["line"]["rule"]:
        return _asked(lambda: {"rolled_throughput_yield": _rolled(package, case["line"])})
    rows = in_units(element_rows(case["rows"])).to_dicts() if "rows" in case else []
    if any(row["fe"] for row in rows) and len(rows) == 1 and not rows[0]["ideal_pq"]:
        return _asked(lambda: _reliability(package, rows[0]))
    if not rows or not any(kpi in case["expect"] for kpi in _FACTORS.values()):
        return None
    return _asked(lambda: _effectiveness(package, rows))


def _asked(ask: Callable[[], dict[str, float]]) -> dict[str, Any]:
    try:
        return ask()
    except (ValueError, ZeroDivisionError, TypeError) as error:
        return {"raises": str(error)}


def _effectiveness(package: Any, rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    parts = [
        package.oee(
            row["pbt"] - row["unknown"],
            run_time=row["apt"],
            ideal_cycle_time=row["ideal_pq"] / row["pq"] if row["pq"] else 1.0,
            total_count=row["pq"],
            good_count=row["gq"],
            all_time=row["calendar_time"] or None,
            planned_downtime=row["planned_downtime"] if row["pot"] else None,
            setup_time=row["aust"],
        )
        for row in rows
    ]
    whole = parts[0] if len(parts) == 1 else package.aggregate(parts)
    found = {kpi: getattr(whole, name) for name, kpi in _FACTORS.items()}
    return {kpi: round(value, 6) for kpi, value in found.items() if value is not None}


def _reliability(package: Any, row: Mapping[str, float]) -> dict[str, float]:
    found = package.reliability(row["apt"] / 3600, failures=round(row["fe"]), total_repair_time=row["breakdown"] / 3600)
    return {"mtbf": round(found.mtbf, 6), "mttr": round(found.mttr, 6)}


def _rolled(package: Any, line: Mapping[str, Any]) -> float:
    steps = [line["machines"][step] for step in line["rule"]["steps"]]
    pairs = [(step.get("gp", step["gq"]), step.get("ip", step["pq"])) for step in steps]
    return round(float(package.rolled_throughput_yield(pairs).rty), 6)


def main(arguments: Sequence[str]) -> None:
    """Ask, print and, if wanted, write."""
    package = importlib.import_module("oee")
    name = f"oee {package.__version__}"
    found = {id_: answers_of_oee(package, case) for id_, case in cases().items()}
    asked = {id_: answer for id_, answer in found.items() if answer is not None}
    sys.stdout.write(json.dumps({name: asked}, indent=2) + "\n")
    if "--write" in arguments:
        _write(name, asked)


def _write(name: str, asked: Mapping[str, Mapping[str, Any]]) -> None:
    """Put the answers at the end of each case; everything else in the file stays as somebody wrote it."""
    head, *blocks = re.split(r"^(?=- id: )", FILE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    made = [head]
    for block in blocks:
        id_ = block.split("\n", 1)[0].removeprefix("- id: ")
        bare = re.sub(r"^  others:\n(?:    .*\n)*", "", block, flags=re.MULTILINE).rstrip("\n")
        if id_ in asked:
            answer = ", ".join(f"{kpi}: {json.dumps(value)}" for kpi, value in asked[id_].items())
            bare += f"\n  others:\n    {name}: {{{answer}}}"
        made.append(f"{bare}\n\n")
    FILE.write_text("".join(made).rstrip("\n") + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
