"""Plain values made into checked records, and their errors in words that name the key, the value and the remedy."""

import difflib
import functools
import json
import operator
import types
import typing
from collections.abc import Iterable
from typing import Any, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from miad.core.errors import MiadError
from miad.core.redact import is_private, without_secrets

Kind = TypeVar("Kind")

# Of every block of settings: no unknown keys, and a number is a finite number, not text or a truth value.
STRICT = ConfigDict(strict=True, extra="forbid", defer_build=True, allow_inf_nan=False)
BLOCK = "expected keys with values below it"
# Sentences of pydantic's errors, by their type; fields are those of the error's context.
WORDS = {
    "int_type": "expected an integer",
    "float_type": "expected a number",
    "finite_number": "expected a finite number",
    "bool_type": "expected a boolean (true or false)",
    "string_type": "expected text",
    "list_type": "expected a list",
    "tuple_type": "expected a list",
    **dict.fromkeys(("dict_type", "model_type", "dataclass_type"), BLOCK),
    "literal_error": "expected {expected}",
    "greater_than": "expected more than {gt}",
    "greater_than_equal": "expected at least {ge}",
    "less_than": "expected less than {lt}",
    "less_than_equal": "expected at most {le}",
    "multiple_of": "expected a multiple of {multiple_of}",
    "too_short": "expected at least {min_length} of them",
    "string_too_short": "expected text",
    "string_pattern_mismatch": "expected text of the form {pattern}",
    "value_error": "expected {error}",
}
# Errors of text that may mean something else.
OF_TYPE = ("int_type", "float_type", "bool_type", "literal_error")


def validated(kind: type[Kind], value: Any, *, section: str = "", origin: str = "config.yaml") -> Kind:
    """A record of settings from plain values.

    Text that means a number, a boolean or null becomes that where text is not wanted: snakemake hands on what is
    nested in `--config` as text, and YAML 1.1 reads 1e-5 as text.

    Args:
        kind: a pydantic dataclass or model.
        value: its keys and values, blocks within blocks as dicts.
        section: the section of config.yaml that holds the keys, for messages.
        origin: where the values come from, for messages.

    Raises:
        MiadError: a key is missing, unknown, of the wrong type or out of its range; all of them are told, a line each.
    """
    try:
        value, typed = json.loads(json.dumps(value, default=str)), adapter(typing.cast(Any, kind))
        json.dumps(value, ensure_ascii=False).encode()
    except (UnicodeEncodeError, TypeError, ValueError, RecursionError) as error:
        raise MiadError(f"{origin}: a key or value that no text file can hold ({error}). Correct it.") from error
    try:
        return typed.validate_json(json.dumps(value))
    except ValidationError as error:
        for problem in error.errors(include_url=False):
            if problem["type"] in OF_TYPE and isinstance(problem["input"], str):
                *parents, key = problem["loc"]
                functools.reduce(operator.getitem, parents, value)[key] = meant(problem["input"])
    try:
        return typed.validate_json(json.dumps(value))
    except ValidationError as error:
        problems = sorted(error.errors(include_url=False), key=lambda problem: [str(part) for part in problem["loc"]])
        lines = [_sentence(kind, problem, section) for problem in problems]
    raise MiadError(f"{origin}: " + "\n".join(lines))


def meant(text: str) -> Any:
    """The number, boolean or null that a text means to YAML or to Python; the text itself if it is none."""
    import yaml

    try:
        value = yaml.safe_load(text)
        value = float(value) if isinstance(value, str) else value
    except (ValueError, yaml.YAMLError):
        return text
    return value if isinstance(value, bool | int | float | None) else text


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The close one of the known words, as a sentence, or all of them."""
    known = sorted(known)
    close = closest(word, known)
    return f" Did you mean {close}?" if close else f" Known keys: {', '.join(known)}."


def closest(word: str, known: Iterable[str]) -> str | None:
    """The known word that is most like another, or begins with it; None if none is like it."""
    known = sorted(known)
    close = [one for one in known if one.startswith(word)] or difflib.get_close_matches(word, known, n=1)
    return close[0] if close else None


@functools.cache
def adapter(kind: Any) -> TypeAdapter[Any]:
    """Maker of records of a type, and of plain values of them."""
    return TypeAdapter(kind)


def _sentence(kind: Any, problem: Any, section: str) -> str:
    """One error: key, value, what was expected and the key's description."""
    path = tuple(part for part in problem["loc"] if part != "[key]")
    description, known = _described(kind, path)
    names = (section, *path) if section else path
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in names)[1:]
    if problem["type"] == "missing":
        return f"{where} is missing. Add it, or restore config.yaml. {description}".strip()
    if problem["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"{where} is not a known key.{did_you_mean(str(path[-1]), known)}"
    words = WORDS.get(problem["type"], problem["msg"]).format(**problem.get("ctx", {}))
    words = words.replace("'", "") if problem["type"] == "literal_error" else words
    if problem["loc"][-1:] == ("[key]",):
        return f"{where} cannot be a key, {words}. {description}".strip()
    is_hidden = isinstance(problem["input"], dict) or any(is_private(part) for part in names)
    value = "" if is_hidden else f" is {without_secrets(repr(problem['input']))}"
    return f"{where}{value}, {words}. {description}".strip()


def _described(kind: Any, path: tuple[int | str, ...]) -> tuple[str, list[str]]:
    """Description of the field at a path, and the keys that its block knows."""
    description, known = "", []
    for part in path:
        kind = _bare(kind)
        fields = getattr(kind, "__pydantic_fields__", None)
        if fields is None:  # a list, or a block whose entries are named freely
            kind = next(iter(typing.get_args(kind)[-1:]), None)
            continue
        known = [field.alias or name for name, field in fields.items()]
        field = fields.get(part)
        description, kind = ((field.description or ""), field.annotation) if field else ("", None)
    return description, known


def _bare(hint: Any) -> Any:
    """A type without its annotations and without None."""
    while typing.get_origin(hint) in (typing.Annotated, typing.Union, types.UnionType):
        hint = next(one for one in typing.get_args(hint) if one is not type(None))
    return hint
