"""Each pair is compared once, and screening before changes no verdict."""

from test_matching import caesium_chloride, rock_salt

from miad.comparisons import Comparisons, fits
from miad.reduced import reduce


def test_each_pair_is_compared_once(monkeypatch) -> None:
    asked = []
    monkeypatch.setattr("miad.comparisons.fits", lambda x, y: asked.append((x.crystal_id, y.crystal_id)) or False)
    comparisons = Comparisons([rock_salt("a"), rock_salt("b")], is_screened=False)
    for match in ("forward", "either", "either"):
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
