"""Verdicts survive the disk, and a foreign line is named."""

from pathlib import Path

import pytest

from miad.core.errors import MiadError
from miad.sun.verdict import SampleVerdicts, Verdict, read_verdicts, write_verdicts

SUN = Verdict("sun", True, True, True, True, True, True, "r-0-0", None)
LOST = Verdict("not decoded", False, False, None, None, False, False)


def test_verdicts_come_back_as_they_were(tmp_path: Path) -> None:
    samples = [
        SampleVerdicts("r-0-0", -0.1 - 1 / 3, {"NaCl": 1.0}, {"strict": SUN, "as_paper": LOST}),
        SampleVerdicts("é-1", None, {}, {"strict": LOST, "as_paper": LOST}),
    ]
    write_verdicts(tmp_path / "v.jsonl", samples)
    assert list(read_verdicts(tmp_path / "v.jsonl").values()) == samples


@pytest.mark.parametrize("line", ["{}", "[]", '{"crystal_id": "a"', '{"protocols": {"strict": {"reason": "sun"}}}'])
def test_a_foreign_line_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "v.jsonl").write_text(line + "\n")
    with pytest.raises(MiadError, match=r"v\.jsonl, line 1 holds no verdicts"):
        read_verdicts(tmp_path / "v.jsonl")
