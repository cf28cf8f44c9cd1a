"""Chemical systems in which competing phases are searched, the most useful ones first, and the cells tried in each."""

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from functools import cache, partial

from miad.core.crystal import Crystal
from miad.prototypes.candidates import candidates, crystal_of, decorations
from miad.prototypes.metals import GROUPS
from miad.prototypes.properties import ANIONS, CATIONS, NONMETALS, VOLUMES, rows
from miad.prototypes.screening import decorated
from miad.prototypes.structures import STRUCTURE_TYPES
from miad.prototypes.templates import Template, aflow, binary_templates, of_structure, of_type

ANION_LIKE = frozenset(["H", "N", "F", "S", "Cl", "Se", "Br", "Te", "I"])
MOLECULES = ("carbon-dioxide", "sulfur-dioxide")
FEW = 4  # pairs between two lots of ternary systems
LOT = 16  # ternary systems that are searched together: each has few cells


def lots(crystals: list[Crystal], seed: int) -> list[list[str]]:
    """All systems to search, in the lots in which they are searched, for a data set of that seed.

    The pairs that are oxides come first, then the other pairs, with a lot of ternary systems after every few; each in
    the order of `_rank`.
    """
    counts = pair_counts(crystals)
    elements = sorted({symbol for crystal in crystals for symbol in crystal.element_counts})
    pairs = sorted(map("-".join, itertools.combinations(elements, 2)), key=partial(_rank, counts=counts))
    triples = sorted(ternary_cells(seed), key=partial(_rank, counts=counts))
    many = iter([triples[start : start + LOT] for start in range(0, len(triples), LOT)])
    chosen: list[list[str]] = []
    for number, pair in enumerate(pairs, 1 - len(elements)):
        chosen.append([pair])
        if number >= 0 and number % FEW == 0:
            chosen += itertools.islice(many, 1)
    return [*chosen, *many]


def _rank(system: str, counts: Counter[str]) -> tuple[bool, int, str]:
    """Oxides first, then by how often the pairs of a system occur, twice for those with an element of an anion."""
    symbols = set(system.split("-"))
    often = sum(counts["-".join(pair)] for pair in itertools.combinations(sorted(symbols), 2))
    return "O" not in symbols, -often * (2 if symbols & ANION_LIKE else 1), system


def pair_counts(crystals: Iterable[Crystal]) -> Counter[str]:
    """Number of crystals of three or more elements that hold a pair of elements, by pair."""
    contents = (sorted(crystal.element_counts) for crystal in crystals)
    return Counter(
        "-".join(pair) for symbols in contents if len(symbols) > 2 for pair in itertools.combinations(symbols, 2)
    )


def binary_cells(pair: str) -> list[Crystal]:
    """The templates of two elements, decorated both ways; those of molecules only with two nonmetals."""
    one, other = pair.split("-")
    return [
        decorated(template, symbols)
        for template in binary_templates()
        if template.name not in MOLECULES or {one, other} <= NONMETALS
        for symbols in ([(one, other)] if template.is_even else [(one, other), (other, one)])
    ]


@cache
def ternary_cells(seed: int) -> dict[str, list[Crystal]]:
    """{system: cells} of the ternary systems: what phase_rules.csv allows, and the candidates that were not drawn."""
    found: dict[str, list[Crystal]] = defaultdict(list)
    for crystal in {one.crystal_id: one for one in itertools.chain(_by_rules(), _not_drawn(seed))}.values():
        found[crystal.chemical_system].append(crystal)
    return dict(found)


def _by_rules() -> Iterator[Crystal]:
    for rule in rows("phase_rules.csv"):
        template, places = _template(rule["template"]), rule["places"].split()
        order = sorted(places)
        for symbols in itertools.product(*(_choices(rule[name]) for name in ("first", "second", "third"))):
            if len(set(symbols)) == len(places) and set(symbols) <= set(VOLUMES):
                in_place = dict(zip(places, symbols, strict=True))
                yield decorated(template, tuple(in_place[place] for place in order))


def _template(name: str) -> Template:
    """A template by its label in AFLOW's library, or the name of a structure type with its roles as elements."""
    if name in STRUCTURE_TYPES:
        kind = STRUCTURE_TYPES[name]
        in_order = dict(zip(kind.roles, ("Al", "B", "Cl"), strict=True))  # of the alphabet, as the roles are numbered
        return of_structure(name, of_type(kind, in_order))
    return of_structure(name, aflow()[name])


def _choices(cell: str) -> list[str]:
    """The elements that a cell of a rule allows: symbols, groups of metal_rules.csv, and ions such as 2+ or 2-."""
    found: list[str] = []
    for token in cell.format(**GROUPS).split():
        tables = {"+": CATIONS, "-": ANIONS}.get(token[-1])
        found += tables[int(token[:-1])] if tables else [token]
    return list(dict.fromkeys(found))


def _not_drawn(seed: int) -> Iterator[Crystal]:
    drawn = {crystal.source_id for crystal in candidates(seed)}
    for decoration in decorations():
        if len(decoration.elements) == 3:
            crystal = crystal_of("", decoration)
            if crystal.source_id not in drawn:
                identity = f"{decoration.kind}/{'-'.join(decoration.elements.values())}"
                yield crystal.replace(crystal_id=identity, source_id=decoration.kind)
