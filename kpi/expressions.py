"""Formulas over summed elements, written as text and compiled once.

Rule: the text that people read is the text that is computed. A formula knows element ids, numbers, + - * /, brackets,
`first(a, b, …)` (the first that has a value) and `unless(a, b)` (b, but nothing where a holds, which is `x > y` or a
value that is not zero); nothing else, so a formula of a stranger can do no harm.
Two ways were weighed: Python lambdas beside a text for people (two truths), or a parsed text (one). The text won.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Final

import polars as pl

FIRST: Final = "first"
"""A function: its first argument that has a value."""

UNLESS: Final = "unless"
"""A function of two: the second, and nothing where the first holds."""

_FUNCTIONS: Final = frozenset({FIRST, UNLESS})

_LONGEST: Final = 500
"""Characters of a formula: more than a person writes, and too few to nest deeper than a compiler can follow."""

_MOST_SHOWN: Final = 80
"""Characters of a formula that a message shows."""

_NOTHING: Final[Mapping[str, pl.Expr]] = {}


class FormulaError(ValueError):
    """A formula that cannot be compiled: says what was found, where, and what may stand there.

    complaint: the same without the formula. column: where in the formula, from 1; 0 where it is of no single place.
    name: the unknown element, else empty.
    """

    def __init__(self, formula: str, complaint: str, column: int = 0, name: str = "") -> None:
        shown = formula if len(formula) <= _MOST_SHOWN else f"{formula[:_MOST_SHOWN]}…"
        super().__init__(f"`{shown}`: {complaint}")
        self.complaint = complaint
        self.column = column
        self.name = name


def compile_formula(text: str, known: Collection[str], named: Mapping[str, pl.Expr] = _NOTHING) -> pl.Expr:
    """The formula as an expression over Float64 columns named by element ids.

    known: names of columns. named: further names and what they stand for.
    A division by zero, and everything computed from one, is null; so is what is too large to be a number. Raises
    FormulaError.
    """
    value = _Compiler(text, {name: pl.col(name) for name in known} | dict(named)).value(_parse(text))
    return pl.when(value.is_finite()).then(value)


def compile_condition(text: str, known: Collection[str]) -> pl.Expr:
    """Whether a condition, as `unless` takes one, holds over Float64 columns named by element ids.

    Raises FormulaError.
    """
    return _Compiler(text, {name: pl.col(name) for name in known}).condition(_parse(text))


def names_in(text: str) -> frozenset[str]:
    """The element ids that a formula uses. Raises FormulaError where it cannot be parsed."""
    return _names(_parse(text))


def names_without_which(text: str) -> frozenset[str]:
    """The element ids without which a formula has no value: those that are not alternatives within `first`.

    Raises FormulaError where it cannot be parsed.
    """
    return frozenset(_certain(_parse(text)))


def divisors(text: str) -> tuple[str, ...]:
    """What a formula divides by, in order of appearance, each once. Raises FormulaError where it cannot be parsed."""
    divisions = (n for n in ast.walk(_parse(text)) if isinstance(n, ast.BinOp) and isinstance(n.op, ast.Div))
    by_place = sorted((division.right for division in divisions), key=lambda node: (node.lineno, node.col_offset))
    texts = [ast.unparse(node) for node in by_place if not isinstance(node, ast.Constant)]
    return tuple(dict.fromkeys(texts))


def _names(part: ast.expr) -> frozenset[str]:
    return frozenset(node.id for node in ast.walk(part) if isinstance(node, ast.Name) and node.id not in _FUNCTIONS)


def _parse(text: str) -> ast.expr:
    if len(text) > _LONGEST:
        raise FormulaError(text, f"is not a formula: {len(text)} characters, at most {_LONGEST} are read")
    try:
        return ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        raise FormulaError(text, f"is not a formula: {error.msg}", error.offset or 0) from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise FormulaError(text, f"is not a formula: {error.__class__.__name__}") from None


def _certain(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Name(id=name):
            yield name
        case ast.Call(func=ast.Name(id="unless"), args=[*both]):
            for argument in both:
                yield from _certain(argument)
        case ast.Call(args=[*alternatives]):
            common = [set(_certain(alternative)) for alternative in alternatives]
            yield from set.intersection(*common) if common else ()
        case _:
            for child in ast.iter_child_nodes(node):
                yield from _certain(child)


class _Compiler:
    """One formula and what its names stand for."""

    def __init__(self, text: str, meaning: Mapping[str, pl.Expr]) -> None:
        self._text = text
        self._meaning = meaning

    def value(self, node: ast.expr) -> pl.Expr:
        """The part of the formula as an expression."""
        match node:
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
                dividend, divisor = self.value(left), self.value(right)
                if isinstance(op, ast.Div) and not _names(right) and not pl.select(divisor).item():
                    raise self._error(right, f"`{ast.unparse(right)}` is always zero: the formula never has a value")
                return _OPERATORS[type(op)](dividend, divisor)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -self.value(operand)
            case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
                return pl.lit(self._finite(node, number))
            case ast.Call(func=ast.Name(id="first"), args=[_, *_] as args, keywords=[]):
                return pl.coalesce([self.value(arg) for arg in args])
            case ast.Call(func=ast.Name(id="unless"), args=[guard, value], keywords=[]):
                return pl.when(~self.condition(guard)).then(self.value(value))
            case ast.Name(id=name) if name in self._meaning:
                return self._meaning[name]
            case ast.Name(id=name):
                listed = ", ".join(sorted(self._meaning))
                raise self._error(node, f"`{name}` is not an element; known are {listed}", name)
            case _:
                raise self._error(
                    node,
                    f"`{ast.unparse(node)}` may not stand in a formula; "
                    "allowed are element ids, numbers, + - * /, brackets, first(a, b) and unless(a > b, c)",
                )

    def condition(self, node: ast.expr) -> pl.Expr:
        """Whether the part of the formula holds: a comparison, or a value that is not zero."""
        match node:
            case ast.Compare(left=left, ops=[ast.Gt()], comparators=[right]):
                return self.value(left) > self.value(right)
            case ast.Compare(left=left, ops=[ast.Lt()], comparators=[right]):
                return self.value(left) < self.value(right)
            case _:
                return self.value(node) != 0

    def _finite(self, node: ast.expr, number: float) -> float:
        try:
            value = float(number)
        except OverflowError:
            value = math.inf
        if not math.isfinite(value):
            raise self._error(node, "the number is larger than any that can be calculated with; check its exponent")
        return value

    def _error(self, node: ast.expr, complaint: str, name: str = "") -> FormulaError:
        leading = len(self._text) - len(self._text.lstrip())
        return FormulaError(self._text, complaint, node.col_offset + leading + 1, name)


def _divide(dividend: pl.Expr, divisor: pl.Expr) -> pl.Expr:
    return pl.when(divisor != 0).then(dividend / divisor)


_OPERATORS: dict[type[ast.operator], Callable[[pl.Expr, pl.Expr], pl.Expr]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: _divide,
}
