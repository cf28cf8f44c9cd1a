"""Figure: S.U.N. crystals by crystal system."""

import re
from collections import Counter

from matplotlib.figure import Figure

from miad.core.tabular import Rows
from miad.report.figures.base import Plot, sun_counts
from miad.report.figures.style import grouped_bars

# Crystal systems by the number of the first space group of each. Source: International Tables for Crystallography A,
# where trigonal and hexagonal are two systems of one family. The paper calls them space-group families.
CRYSTAL_SYSTEMS = {
    "triclinic": 1,
    "monoclinic": 3,
    "orthorhombic": 16,
    "tetragonal": 75,
    "trigonal": 143,
    "hexagonal": 168,
    "cubic": 195,
}


def counts_of(candidates: Rows) -> Rows:
    """S.U.N. crystals by crystal system, symmetry found with a tolerance of 0.1 Å; every system has a row."""
    counts = Counter(crystal_system(row["space_group"]) for row in candidates)
    names = [*CRYSTAL_SYSTEMS, *(["not found"] if counts["not found"] else [])]
    return [{"crystal_system": name, "sun": counts[name]} for name in names]


def crystal_system(space_group: str | None) -> str:
    """The crystal system of a space group written as `Fm-3m (225)`."""
    number = re.search(r"\((\d+)\)$", space_group or "")
    if number is None:
        return "not found"
    return [name for name, first in CRYSTAL_SYSTEMS.items() if first <= int(number[1])][-1]


def draw(figure: Figure, rows: Rows) -> None:
    """Bars per crystal system, runs side by side."""
    names = [name for name in (*CRYSTAL_SYSTEMS, "not found") if any(row["crystal_system"] == name for row in rows)]
    grouped_bars(figure, rows, "crystal_system", names, "")


PLOT = Plot(
    place=50,
    title="S.U.N. crystals by crystal system",
    caption="Space groups found by spglib with a tolerance of 0.1 Å (Figure 5 of the paper, there called space-group"
    " families). Counts: the legend says of how many attempted samples.",
    columns=("run", "calculator", "attempted", "crystal_system", "sun"),
    gather=lambda results: sun_counts(results, counts_of),
    draw=draw,
)
