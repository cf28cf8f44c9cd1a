"""Each pair is compared once, and screening before changes no verdict."""

import numpy as np

from miad.sun.matching.comparisons import Comparisons, Screen, fits
from miad.sun.matching.reduced import reduce
from tests.builders.crystals import caesium_chloride, rock_salt


def test_each_pair_is_compared_once(monkeypatch) -> None:
    asked = []
    monkeypatch.setattr(
        "miad.sun.matching.comparisons.fits", lambda x, y: asked.append((x.crystal_id, y.crystal_id)) or False
    )
    comparisons = Comparisons([rock_salt("a"), rock_salt("b")], is_screened=False)
    for match in ("sample_first", "either", "either"):
        assert comparisons.first_match(match, [0], 1) is None
    assert asked == [("a", "b"), ("b", "a")]


def test_cells_of_other_sizes_never_fit() -> None:
    assert not fits(rock_salt("conventional"), reduce(rock_salt("primitive")))


def test_screened_and_plain_verdicts_agree() -> None:
    cells = [reduce(rock_salt("a")), reduce(rock_salt("b", a=5.7)), reduce(caesium_chloride("c"))]
    for second in range(3):
        plain, screened = (Comparisons(cells, is_screened=one) for one in (False, True))
        others = [one for one in range(3) if one != second]
        assert plain.first_match("either", others, second) == screened.first_match("either", others, second)


def test_the_screen_puts_the_rarest_element_first_and_takes_it_as_anchor() -> None:
    # Na3Cl: chlorine is the rarest, wherever it stands
    cell = rock_salt("a").replace(
        frac_coords=np.arange(12).reshape(4, 3) / 13, atomic_numbers=np.array([11, 17, 11, 11]), lattice=np.eye(3) * 5
    )
    screen = Screen.of([cell])
    assert screen.blocks.tolist() == [0, 1, 4]
    assert np.array_equal(screen.coords[0, screen.anchors[0]], cell.frac_coords[1])
    assert np.isclose(abs(np.linalg.det(screen.lattices[0])), 4.0)  # 1 Å³ per atom
