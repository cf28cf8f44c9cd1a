"""SECURITY.md and the tests in this folder belong together."""

import ast
import re
from pathlib import Path

from tests.builders import ROOT

HERE = Path(__file__).parent


def test_every_promise_names_its_tests_and_every_test_its_promise():
    promises = re.findall(
        r"^(\d)\. \*\*.*?(?=^\d\. \*\*|^## |\Z)", (ROOT / "SECURITY.md").read_text(), re.DOTALL | re.MULTILINE
    )
    texts = re.split(r"^(?=\d\. \*\*)|^## ", (ROOT / "SECURITY.md").read_text(), flags=re.MULTILINE)
    named = {text[0]: set(re.findall(r"`(test_\w+)\.py`", text)) for text in texts if re.match(r"\d\. \*\*", text)}
    assert sorted(named) == promises == [str(number) for number in range(1, len(promises) + 1)]
    kept: dict[str, set[str]] = {number: set() for number in named}
    for path in HERE.glob("test_*.py"):
        said = re.match(r"Promise (\d)", ast.get_docstring(ast.parse(path.read_text())) or "")
        if path != Path(__file__):
            assert said, f"{path.name} does not say which promise it keeps"
            kept[said[1]].add(path.stem)
    assert kept == named
