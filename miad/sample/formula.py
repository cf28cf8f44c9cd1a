"""Formulas as people write them, such as TiO2 or Ca3(PO4)2, read strictly: what is odd is refused, never guessed."""

import re
from collections import Counter

from miad.core.errors import MiadError

DIGITS = 6  # of a number; cells of a million atoms are beyond every model
_PART = re.compile(r"([A-Z][a-z]?|\(|\))([0-9]*)")


def counts_of(formula: str, key: str) -> Counter[str]:
    """{symbol: atoms} of a formula of symbols, positive whole numbers and parentheses; the symbols are not checked.

    Raises:
        MiadError: anything else, such as blanks, dots, a 0 or a parenthesis too many; names the `key`.
    """
    levels: list[Counter[str]] = [Counter()]  # of the parentheses that are open
    end = 0
    for part in _PART.finditer(formula):
        symbol, digits = part.groups()
        if part.start() != end or (symbol == "(" and digits):
            break
        amount = _amount(digits, formula, key)
        end = part.end()
        if symbol == "(":
            levels.append(Counter())
        elif symbol == ")":
            inner = levels.pop()
            if not (levels and inner):
                raise _refusal(formula, key, "its parentheses do not match, or are empty")
            levels[-1].update({one: amount * count for one, count in inner.items()})
        else:
            levels[-1][symbol] += amount
    if end < len(formula):
        raise _refusal(formula, key, f"'{formula[end]}' cannot stand at place {end + 1}")
    if len(levels) > 1 or not levels[0]:
        raise _refusal(formula, key, "its parentheses do not match, or are empty")
    return levels[0]


def _amount(digits: str, formula: str, key: str) -> int:
    """The number behind a symbol or a parenthesis; 1 if there is none."""
    if digits.startswith("0"):
        raise _refusal(formula, key, f"{digits[:DIGITS]} is no positive whole number")
    if len(digits) > DIGITS:
        raise _refusal(formula, key, f"a number has {len(digits)} digits, more than {DIGITS}")
    return int(digits or 1)


def _refusal(formula: str, key: str, why: str) -> MiadError:
    shown = formula if len(formula) <= 40 else f"{formula[:40]}…"
    return MiadError(
        f"{key}: {shown} is not a formula of whole numbers: {why}. Write symbols, numbers and parentheses only, e.g."
        " Ca3(PO4)2."
    )
