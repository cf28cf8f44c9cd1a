"""Lay out the pages of the site in build/docs, of which `make docs` builds it: python docs/pages.py

The guides as they are, with the files outside docs/ that they link to; the reference, made of the sections, config.yaml
and the command line; the notebook with its outputs.
"""

import contextlib
import functools
import io
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from miad.__main__ import STEPS, main
from miad.config.schema import schema
from miad.config.sections import SECTIONS
from miad.core.tabular import markdown_table

ROOT = Path(__file__).resolve().parents[1]
DOCS, OUT = ROOT / "docs", ROOT / "build" / "docs"
HEADS = ["key", "type", "value", "meaning"]
LINK = re.compile(r"(?<=\]\()[^)\s]+(?=\))")


def lay_out() -> None:
    """Write all pages anew."""
    shutil.rmtree(OUT, ignore_errors=True)
    waiting, seen = [*DOCS.rglob("*.md"), DOCS / "notebook.ipynb", DOCS / "site.css"], set[Path]()
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        place(path).parent.mkdir(parents=True, exist_ok=True)
        if path.suffix in (".md", ".ipynb"):
            text = from_notebook(path) if path.suffix == ".ipynb" else path.read_text(encoding="utf-8")
            waiting += linked(path, text)
            place(path).write_text(generated(moved(path, text)), encoding="utf-8")
        else:
            shutil.copy(path, place(path))


def place(path: Path) -> Path:
    """The place of a file of the repository on the site."""
    if path.is_relative_to(DOCS):
        return (OUT / path.relative_to(DOCS)).with_suffix(".md" if path.suffix == ".ipynb" else path.suffix)
    return OUT / "repository" / path.relative_to(ROOT)


def local(path: Path, target: str) -> Path | None:
    """The file that a link of a page leads to; None if it leads out of the repository or stays on the page."""
    file = target.partition("#")[0]
    return None if not file or re.match(r"\w+:", target) else (path.parent / file).resolve()


def linked(path: Path, text: str) -> list[Path]:
    """The files of the repository that a page links to."""
    return [found for target in LINK.findall(text) if (found := local(path, target))]


def moved(path: Path, text: str) -> str:
    """A page with the links that fit the places on the site."""

    def link(match: re.Match) -> str:
        found, anchor = local(path, match[0]), re.search("#.*", match[0])
        if found is None:
            return match[0]
        return os.path.relpath(place(found), place(path).parent) + (anchor[0] if anchor else "")

    return LINK.sub(link, text)


def generated(text: str) -> str:
    """A page with what its marks stand for."""
    for mark, made in {"<!-- sections -->": sections, "<!-- commands -->": commands, "<!-- groups -->": groups}.items():
        if mark in text:
            text = text.replace(mark, made())
    return text


def sections() -> str:
    """Tables of the settings, the sections in the order of config.yaml and then what they hold, then config.yaml."""
    whole, text = schema(), (ROOT / "config.yaml").read_text(encoding="utf-8")
    values = yaml.safe_load(text)
    blocks = {"top level": whole, **{name: whole["$defs"][name] for name in SECTIONS}} | whole["$defs"]
    parts = [part for name, block in blocks.items() for part in table_of(name, block, values)]
    return "\n".join([*parts, "## config.yaml", "", "The values with their reasons:", "", "```yaml", text + "```"])


def table_of(name: str, block: dict[str, Any], values: dict[str, Any]) -> Iterator[str]:
    """The keys of a section of the schema, with their values in config.yaml if it has any."""
    within = values if name == "top level" else values.get(name)
    rows = [
        [f"`{key}`", in_words(rule), value(within, key), rule.get("description")]
        for key, rule in block.get("properties", {}).items()
    ]
    if rows:
        used = [0, 1, 2, 3] if any(row[2] for row in rows) else [0, 1, 3]
        head = headings().get(name, name)
        yield f"## {head} {{#{anchor(head)}}}\n\n{block.get('description', '')}\n"
        heads, *lines = ([line[n] for n in used] for line in [HEADS, *rows])
        yield markdown_table(heads, lines) + "\n"


@functools.cache
def headings() -> dict[str, str]:
    """The key of config.yaml that holds each block of the schema: {block: key}; a section has its own name."""
    whole, found = schema(), dict[str, list[str]]()
    waiting = [("", whole)]
    while waiting:
        key, rule = waiting.pop(0)
        if "$ref" in rule:
            name = rule["$ref"].rpartition("/")[2]
            if name not in found:
                waiting.append((key, whole["$defs"][name]))
            found.setdefault(name, []).append(key)
        waiting += [(f"{key}.{name}".strip("."), one) for name, one in rule.get("properties", {}).items()]
        entries = [rule.get("additionalProperties"), rule.get("items"), *rule.get("patternProperties", {}).values()]
        waiting += [(f"an entry of {key}", one) for one in entries if isinstance(one, dict)]
        waiting += [(key, one) for one in (*rule.get("anyOf", ()), *rule.get("oneOf", ()))]
    return {name: name if name in SECTIONS else ", ".join(keys) for name, keys in found.items()}


def anchor(head: str) -> str:
    """The anchor of a heading on its page."""
    return re.sub(r"\W+", "-", head).lower()


def value(section: Any, key: str) -> str:
    """The value of a key in config.yaml; empty if it is not there, or is a section of its own."""
    found = section.get(key) if isinstance(section, dict) and key in section else {}
    return "" if isinstance(found, dict) else f"`{json.dumps(found, ensure_ascii=False)}`"


def in_words(rule: dict[str, Any]) -> str:
    """What a key may hold."""
    if "$ref" in rule:
        head = headings()[rule["$ref"].rpartition("/")[2]]
        return f"[{head}](#{anchor(head)})"
    if "enum" in rule or "const" in rule:
        return ", ".join(f"`{one}`" for one in rule.get("enum", [rule.get("const")]))
    if "anyOf" in rule or "oneOf" in rule:
        return " or ".join(in_words(one) for one in rule.get("anyOf", rule.get("oneOf")))
    kind = rule.get("type", "any")
    if kind == "array":
        return f"list of {in_words(rule.get('items', {}))}"
    words = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limits = [f"{sign} {rule[bound]:g}" for bound, sign in words.items() if bound in rule]
    return " ".join([kind, ", ".join(limits)]).strip()


def commands() -> str:
    """The help of each command."""
    os.environ["COLUMNS"] = "84"
    return "\n".join(f"## miad {name}\n\n```text\n{help_of([name])}```\n" for name in STEPS)


def help_of(words: list[str]) -> str:
    """What a command prints with --help."""
    with contextlib.redirect_stdout(io.StringIO()) as printed, contextlib.suppress(SystemExit):
        main([*words, "--help"])
    return printed.getvalue()


def groups() -> str:
    """The groups of elements, by their names."""
    from miad.sample.elements import GROUPS, symbols

    return markdown_table(["group", "elements"], [[f"`{name}`", symbols(found)] for name, found in GROUPS.items()])


def from_notebook(path: Path) -> str:
    """A notebook as a page: its text, its code, what came out."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n\n".join(part for cell in cells for part in of_cell(cell))


def of_cell(cell: dict[str, Any]) -> Iterator[str]:
    """A cell, and its outputs: pictures, tables, text."""
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        yield source
        return
    yield f"```python\n{source}\n```"
    for output in cell["outputs"]:
        data = output.get("data", {"text/plain": output.get("text", "")})
        if "image/png" in data:
            png = "".join("".join(data["image/png"]).split())
            yield f'<img alt="Output of the cell above" src="data:image/png;base64,{png}">'
        elif "text/html" in data:
            plain = re.sub(r"<style.*?</style>\s*", "", "".join(data["text/html"]), flags=re.DOTALL)
            yield re.sub(r' (border|class|style)="[^"]*"', "", plain)
        else:
            yield f"```text\n{''.join(data['text/plain']).rstrip()}\n```"


if __name__ == "__main__":
    lay_out()
