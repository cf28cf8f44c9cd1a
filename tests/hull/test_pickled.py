"""Other people's pickles: read without running them."""

import gzip
import os
import pickle
from pathlib import Path

import pytest

from miad.core.errors import MiadError
from miad.core.files import checksum
from miad.hull.pickled import read_patched_diagram
from tests.builders.pickled_diagram import diagram_entries, pickled_diagram


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_entries_keep_their_corrected_energies(tmp_path: Path, protocol: int) -> None:
    path = pickled_diagram(tmp_path / "ppd.pkl.gz", protocol)
    found = {entry.entry_id: entry for entry in read_patched_diagram(path, "md5:" + checksum(path, "md5"))}
    for expected in diagram_entries():
        assert found[expected.entry_id].energy_per_atom == pytest.approx(expected.energy_per_atom, abs=1e-12)


def test_a_wrong_checksum_keeps_it_closed(tmp_path: Path) -> None:
    with pytest.raises(MiadError, match="md5"):
        read_patched_diagram(pickled_diagram(tmp_path / "ppd.pkl.gz"), "md5:" + "0" * 32)


class Trap:
    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.target),)


def test_code_in_a_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    trap, path = Trap(), tmp_path / "trap.pkl.gz"
    Trap.target = tmp_path / "sprung"
    path.write_bytes(gzip.compress(pickle.dumps(trap)))
    with pytest.raises(MiadError, match=r"posix\.mkdir"):
        read_patched_diagram(path, "md5:" + checksum(path, "md5"))
    assert not Trap.target.exists()


def test_a_pickle_of_something_else_is_named(tmp_path: Path) -> None:
    path = tmp_path / "odd.pkl.gz"
    path.write_bytes(gzip.compress(pickle.dumps({"a": 1})))
    with pytest.raises(MiadError, match=r"odd\.pkl\.gz"):
        read_patched_diagram(path, "md5:" + checksum(path, "md5"))


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_numbers_and_arrays_of_numpy_are_records_but_for_their_value(tmp_path: Path, protocol: int) -> None:
    import numpy as np

    from miad.hull.pickled import _Unpickler

    given = [np.float64(-1.25), np.float32(0.5), np.int64(-7), np.bool_(True), np.dtype(">f8").type(2.0)]
    (tmp_path / "x.pkl").write_bytes(pickle.dumps([given, np.arange(3), np.array(["a", None], dtype=object)], protocol))
    with (tmp_path / "x.pkl").open("rb") as file:
        numbers, *arrays = _Unpickler(file).load()
    assert numbers == [-1.25, 0.5, -7, True, 2.0]
    assert not any(isinstance(one, np.ndarray) for one in arrays)
