"""What signals can give: agrees with what is computed of a machine that has no more than them."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest

from kpi.capability import CAPABILITY, capability
from kpi.derivable import SIGNALS, Derivation, derivable
from kpi.formulas import KNOWN_ELEMENTS, Kpi, kpi_book
from kpi.lines import LineKind, LineRule
from kpi.plant import (
    Calendar,
    Characteristic,
    Counter,
    EnergyFactor,
    Machine,
    Quantity,
    Signal,
    State,
    StateModel,
    StateRule,
)

ALL_STATES = frozenset(State)


def machine(*counted: Quantity, states: frozenset[State] = ALL_STATES, ideal: int | None = 1) -> Machine:
    model = StateModel(("s",), tuple(StateRule({"s": frozenset({float(s)})}, s) for s in sorted(states)))
    counters = {quantity: Counter(1) for quantity in counted}
    return Machine(
        "m", "m", "line", "area", Calendar("UTC", ()), model, (Signal(0),), counters=counters, default_ideal_ns=ideal
    )


def found(of: Machine, kpi: str, **more: object) -> Derivation:
    return next(one for one in derivable(of, **more) if one.kpi.id == kpi)  # type: ignore[arg-type]


def test_every_element_says_what_it_needs() -> None:
    assert set(KNOWN_ELEMENTS) <= set(SIGNALS)


def test_good_pieces_alone_give_an_oee_and_neither_effectiveness_nor_quality() -> None:
    """OEE = PRI × good pieces ÷ planned busy time needs no more; its factors need what was produced."""
    good = machine(Quantity.GOOD)
    assert found(good, "oee").derivable
    assert found(good, "effectiveness").missing == (
        "a count of `total`, or of `good` and `scrap`",
        "a planned run time per item (where it is by product, also `product`)",
    )
    assert not found(good, "quality_ratio").derivable


def test_all_pieces_alone_give_effectiveness_no_quality_and_an_oee_that_takes_them_as_good() -> None:
    total = machine(Quantity.TOTAL)
    assert found(total, "effectiveness").derivable
    assert found(total, "oee").caveats == ("without a count of `good`, or of `total` and `scrap`",)
    assert not any(found(total, kpi).derivable for kpi in ("quality_ratio", "scrap_ratio", "loss_defects"))


def test_scrap_alone_gives_neither_pieces_nor_an_oee() -> None:
    of = machine(Quantity.SCRAP)
    assert not any(found(of, kpi).derivable for kpi in ("oee", "effectiveness", "quality_ratio", "scrap_ratio"))


def test_scrap_that_is_counted_in_setup_gives_the_start_up_loss() -> None:
    assert found(machine(Quantity.TOTAL, Quantity.SCRAP), "loss_startup").derivable
    assert not found(machine(Quantity.TOTAL), "loss_startup").derivable
    assert not found(
        machine(Quantity.TOTAL, Quantity.SCRAP, states=frozenset({State.PRODUCING})), "loss_startup"
    ).derivable
    assert found(machine(Quantity.TOTAL), "loss_startup", declared={"startup_lost"}).derivable


@pytest.mark.parametrize("counted", [("good", "scrap"), ("good", "total"), ("scrap", "total")])
def test_two_of_three_counts_give_the_third(counted: tuple[str, ...]) -> None:
    of = machine(*(Quantity(name) for name in counted))
    assert all(found(of, kpi).derivable for kpi in ("quality_ratio", "oee", "effectiveness", "scrap_ratio"))


def test_a_state_that_is_never_said_takes_a_ratio_of_it_and_leaves_a_caveat_elsewhere() -> None:
    of = machine(states=frozenset({State.PRODUCING, State.STARVED}))
    assert found(of, "setup_ratio").missing == ("a state rule that says `setup`",)
    assert found(of, "allocation_efficiency").caveats == ("without a state rule that says `setup`",)
    assert found(of, "mttr").missing[0] == "a state rule that says `breakdown`"


def test_stops_that_are_told_apart_by_their_length_give_failures() -> None:
    of = machine(states=frozenset({State.PRODUCING, State.STOPPED}))
    assert not found(of, "mtbf").derivable
    assert found(replace(of, minor_stop_ns=1), "mtbf").derivable


def test_reasons_give_states_that_the_rules_do_not() -> None:
    of = machine(states=frozenset({State.PRODUCING, State.STOPPED}))
    assert found(replace(of, reason=Signal(5), reasons={0: State.SETUP}), "setup_ratio").derivable


def test_a_machine_without_a_state_has_nothing_even_with_meters() -> None:
    """Pieces and energy count in rows; without a state all time is unknown."""
    of = replace(machine(Quantity.GOOD, states=frozenset()), energy=Counter(7))
    assert not [one.kpi.id for one in derivable(of) if one.derivable]


def test_carbon_needs_a_meter_of_a_carrier_with_a_factor() -> None:
    of = replace(machine(Quantity.TOTAL), energy=Counter(7))
    assert not found(of, "co2e_per_piece").derivable
    assert found(of, "co2e_per_piece", factors=(EnergyFactor(None, 0, 0.0, 0.5),)).derivable
    assert not found(of, "coal_per_piece", factors=(EnergyFactor(None, 0, 0.0, 0.5),)).derivable


def test_declared_elements_and_a_place_in_a_serial_line_give_what_needs_them() -> None:
    of = machine(Quantity.GOOD, Quantity.SCRAP)
    assert found(of, "finished_goods_ratio", declared={"consumed"}).derivable
    assert found(of, "fall_off_ratio", rule=LineRule("line", LineKind.SERIAL, "m", ("m",))).derivable
    assert not found(of, "fall_off_ratio").derivable


def test_a_plants_own_kpi_is_judged_too() -> None:
    book = kpi_book([Kpi("a", "a", "a", "rq / gq", "1", "", ""), Kpi("b", "b", "b", "setup_ratio + 1", "1", "", "")])
    of = machine(Quantity.GOOD)
    assert found(of, "a", book=book).missing == ("a count of `rework`",)
    assert found(of, "b", book=book).derivable


BORE, TORQUE = Characteristic("bore", 3, 9.0, 11.0), Characteristic("torque", 4, lower=20.0)


@pytest.mark.parametrize("index", ["cm", "cp", "pp"])
@pytest.mark.parametrize(
    ("characteristics", "unlimited", "missing"),
    [
        ((), (), "a measured value with `limits`"),
        ((), ("heat",), "a measured value with `limits` (`heat` has no `limits`)"),
        ((TORQUE,), ("heat",), "both limits of one measured value (`torque` has no upper limit)"),
    ],
)
def test_capability_of_both_limits_says_what_is_missing(
    index: str, characteristics: tuple[Characteristic, ...], unlimited: tuple[str, ...], missing: str
) -> None:
    of = replace(machine(), characteristics=characteristics)
    assert found(of, index, unlimited=unlimited).missing == (missing,)


@pytest.mark.parametrize("index", ["cmk", "cpk", "ppk"])
def test_one_limit_is_enough_for_the_critical_indices(index: str) -> None:
    assert found(replace(machine(), characteristics=(TORQUE,)), index).derivable
    assert not found(machine(), index, unlimited=("heat",)).derivable


def test_capability_of_some_measured_values_names_those_that_it_is_not_of() -> None:
    of = replace(machine(), characteristics=(TORQUE, BORE))
    assert found(of, "cp", unlimited=("heat",)).caveats == (
        "not of all: `torque` has no upper limit",
        "not of all: `heat` has no `limits`",
    )
    assert found(of, "cpk", unlimited=()).caveats == ()


@pytest.mark.parametrize("one", [BORE, TORQUE, Characteristic("roughness", 5, upper=3.0)])
def test_what_is_said_of_capability_is_what_comes_out_of_values(one: Characteristic) -> None:
    row = {"n": 3, "sum": 0.3, "sum_sq": 0.05, "within_ss": 0.02, "within_df": 2, "shift": 10.0}
    limits = {"lower": one.lower, "upper": one.upper}
    schema = {"lower": pl.Float64, "upper": pl.Float64}
    values = capability(pl.DataFrame([{**row, **limits}], schema_overrides=schema)).row(0, named=True)
    of = replace(machine(), characteristics=(one,))
    for index in CAPABILITY:
        assert found(of, index.id).derivable == (values[index.id] is not None)


def test_maintenance_that_the_calendar_plans_gives_the_corrective_maintenance_ratio() -> None:
    of = machine(states=frozenset({State.PRODUCING, State.MAINTENANCE}))
    assert not found(of, "corrective_maintenance_ratio").derivable
    of = replace(of, calendar=replace(of.calendar, planned_stops=((0, 1),), maintenance=((0, 1),)))
    assert found(of, "corrective_maintenance_ratio").derivable
