"""Each pair is compared once, and the arrays for the compiled verdicts describe the same cells."""

import numpy as np
from test_matching import caesium_chloride, rock_salt

from miad.comparisons import Comparisons, Stack, fits
from miad.reduced import reduce


def test_each_pair_is_compared_once(monkeypatch) -> None:
    asked = []
    monkeypatch.setattr("miad.comparisons.fits", lambda x, y: asked.append((x.crystal_id, y.crystal_id)) or False)
    comparisons = Comparisons([rock_salt("a"), rock_salt("b")], is_compiled=False)
    for match in ("forward", "either", "either"):
        assert comparisons.first_match(match, [0], 1) is None
    assert asked == [("a", "b"), ("b", "a")]


def test_cells_of_other_sizes_never_fit() -> None:
    assert not fits(rock_salt("conventional"), reduce(rock_salt("primitive")))


def test_the_stack_sorts_by_element_and_takes_the_rarest_as_anchor() -> None:
    # Na3Cl: chlorine is the rarest, wherever it stands
    cell = rock_salt("a").replace(
        frac_coords=np.arange(12).reshape(4, 3) / 13, atomic_numbers=np.array([11, 17, 11, 11]), lattice=np.eye(3) * 5
    )
    stack = Stack.of([cell])
    assert stack.blocks.tolist() == [0, 3, 4]
    assert np.array_equal(stack.coords[0, stack.anchors[0]], cell.frac_coords[1])
    assert np.isclose(abs(np.linalg.det(stack.lattices[0])), 4.0)  # 1 Å³ per atom


def test_compiled_and_plain_verdicts_agree() -> None:
    cells = [reduce(rock_salt("a")), reduce(rock_salt("b", a=5.7)), reduce(caesium_chloride("c"))]
    for second in range(3):
        plain, compiled = (Comparisons(cells, is_compiled=one) for one in (False, True))
        others = [one for one in range(3) if one != second]
        assert plain.first_match("either", others, second) == compiled.first_match("either", others, second)
