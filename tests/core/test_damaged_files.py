"""Files that were torn, edited or are of another kind: an error that names the file and the line, nothing else."""

import gzip
import json

import pytest

from miad.core.crystal import from_line, read_crystals
from miad.core.errors import MiadError
from miad.core.files import text_lines
from miad.core.tabular import read_csv

SALT = {
    "crystal_id": "a",
    "lattice": [[4, 0, 0], [0, 4, 0], [0, 0, 4]],
    "frac_coords": [[0, 0, 0]],
    "atomic_numbers": [11],
}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"energy_per_atom": "low"}, "energy_per_atom is 'low'"),
        ({"energy_per_atom": True}, "energy_per_atom is True"),
        ({"energy_per_atom": 10**400}, "too large"),
        ({"crystal_id": 5}, "crystal_id is 5"),
        ({"converged": "yes"}, "converged is 'yes'"),
        ({"num_steps": 1.5}, "num_steps is 1.5"),
        ({"atomic_numbers": [11.5]}, "atomic_numbers"),
        ({"atomic_numbers": [10**30]}, "atomic_numbers"),
        ({"atomic_numbers": 11}, "atomic_numbers"),
        ({"failure": "oops"}, "failure is 'oops', expected step and reason"),
        ({"failure": {"step": "relax"}}, "expected step and reason"),
        ({"crystal_id": ""}, "crystal_id is ''"),
        ({"crystal_id": "a\nb"}, "printable"),
        ({"crystal_id": "a\ud800"}, "printable"),
        ({"source_id": "\x1b[31m"}, "printable"),
        ({"crystal_id": "x" * 201}, "of at most 200 characters"),
        ({"atomic_numbers": [0]}, "atomic_numbers have 0, which is no element"),
        ({"atomic_numbers": [119]}, "atomic_numbers have 119"),
        ({"atomic_numbers": [-1]}, "atomic_numbers have -1"),
        ({"lattice": [[1e300, 0, 0], [0, 4, 0], [0, 0, 4]]}, "lattice has a number above 1e"),
        ({"lattice": [[10**400, 0, 0], [0, 4, 0], [0, 0, 4]]}, "too large"),
        ({"frac_coords": [[1e9, 0, 0]]}, "frac_coords has a number above"),
        ({"energy_per_atom": -1e9}, "energy_per_atom has a number above"),
    ],
)
def test_fields_of_the_wrong_type_are_named(tmp_path, change, said):
    path = tmp_path / "odd.jsonl"
    path.write_text(json.dumps(SALT) + "\n" + json.dumps({**SALT, "crystal_id": "b", **change}) + "\n")
    with pytest.raises(MiadError, match=rf"odd\.jsonl, line 2 is not a crystal.*{said}.*delete"):
        read_crystals(path)


@pytest.mark.parametrize("text", ["5", "null", "[]", "[" * 100_000, '"x"', ""])
def test_lines_that_are_no_crystals_at_all(tmp_path, text):
    path = tmp_path / "odd.jsonl"
    path.write_text(text + "\n")
    with pytest.raises(MiadError, match="line 1 is not a crystal"):
        read_crystals(path)


def test_what_is_not_finite_is_not_known():
    line = json.dumps({**SALT, "energy_per_atom": float("nan"), "e_above_hull": float("-inf")})
    assert from_line(line).energy_per_atom is None and from_line(line).e_above_hull is None
    assert from_line(json.dumps({**SALT, "energy_per_atom": -3})).energy_per_atom == -3.0


PACKED = gzip.compress(b"one\n" * 1000)


@pytest.mark.parametrize("content", [PACKED[:-20], PACKED + b"junk", b"\x1f\x8bno gzip", b"\xfc\xfe\x00", b"ok\n\xff"])
def test_torn_or_undecodable_files_are_named(tmp_path, content):
    path = tmp_path / "torn.jsonl.gz"
    path.write_bytes(content)
    with pytest.raises(MiadError, match=r"torn\.jsonl\.gz is damaged after line \d+ .*Delete"):
        list(text_lines(path))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a,b\n1,2\n3\n", "row 2"),
        (b"a,b\n1,2,3\n", "row 1"),
        (b"a,b\n\xff,2\n", "is no CSV"),
    ],
)
def test_tables_that_were_damaged(tmp_path, content, said):
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    with pytest.raises(MiadError, match=rf"table\.csv.*{said}"):
        read_csv(path)
