"""Formulas over summed elements, written as text and compiled once.

Rule: the text that people read is the text that is computed. A formula knows element ids, numbers, + - * /, brackets
and `first(a, b, …)` (the first that has a value); nothing else, so a formula of a stranger can do no harm.
Two ways were weighed: Python lambdas beside a text for people (two truths), or a parsed text (one). The text won.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection

import polars as pl


class FormulaError(ValueError):
    """A formula that cannot be compiled: says what was found, where, and what may stand there."""


def compile_formula(text: str, known: Collection[str]) -> pl.Expr:
    """The formula as an expression over Float64 columns named by element ids.

    A division by zero, and everything computed from one, is null. Raises FormulaError.
    """
    return _compile(_parse(text), text, known)


def names_in(text: str) -> frozenset[str]:
    """The element ids that a formula uses. Raises FormulaError where it cannot be parsed."""
    return frozenset(node.id for node in ast.walk(_parse(text)) if isinstance(node, ast.Name) and node.id != "first")


def _parse(text: str) -> ast.expr:
    try:
        return ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise FormulaError(f"`{text[:80]}` is not a formula: {error.__class__.__name__}") from None


def _compile(node: ast.expr, text: str, known: Collection[str]) -> pl.Expr:
    match node:
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](_compile(left, text, known), _compile(right, text, known))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_compile(operand, text, known)
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return pl.lit(float(number))
        case ast.Call(func=ast.Name(id="first"), args=[_, *_] as args, keywords=[]):
            return pl.coalesce([_compile(arg, text, known) for arg in args])
        case ast.Name(id=name) if name in known:
            return pl.col(name)
        case ast.Name(id=name):
            raise FormulaError(f"`{text}`: `{name}` is not an element; known are {', '.join(sorted(known))}")
        case _:
            raise FormulaError(
                f"`{text}`: `{ast.unparse(node)}` may not stand in a formula; "
                "allowed are element ids, numbers, + - * /, brackets and first(a, b)"
            )


def _divide(dividend: pl.Expr, divisor: pl.Expr) -> pl.Expr:
    return pl.when(divisor != 0).then(dividend / divisor)


_OPERATORS: dict[type[ast.operator], Callable[[pl.Expr, pl.Expr], pl.Expr]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: _divide,
}
