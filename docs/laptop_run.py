"""Draw the picture of the README from a laptop run: python docs/laptop_run.py [RESULTS] > docs/laptop_run.svg"""

import csv
import itertools
import re
import sys
from pathlib import Path

import matplotlib
import numpy as np
from ase import Atoms
from ase.data.colors import jmol_colors
from ase.visualize.plot import plot_atoms
from pymatgen.core import Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

matplotlib.use("svg")
import matplotlib.pyplot as plt

plt.rcParams.update({"svg.hashsalt": "miad", "font.size": 11, "axes.titlesize": 11, "svg.fonttype": "none"})
LABELS = {
    "attempted": "generated",
    "not relaxed": "relaxed",
    "one element": "of two elements or more",
    "not stable": "stable",
    "duplicate": "unique",
    "known": "novel",
}


def funnel(axes, rows: list[dict]) -> None:
    """Bars of the samples that are left after each criterion."""
    left = {LABELS[row["reason"]]: int(row["left"]) for row in rows if row["reason"] in LABELS}
    axes.barh(list(left), list(left.values()), color="#2b5797")
    for place, number in enumerate(left.values()):
        axes.text(number + 2, place, str(number), va="center")
    axes.invert_yaxis()
    axes.set(xlim=(0, 150), xlabel="samples")
    axes.spines[["top", "right"]].set_visible(False)


def crystal(axes, path: Path, row: dict) -> None:
    """The conventional cell, atoms on its faces drawn on both sides; its elements in their colours below."""
    cell = SpacegroupAnalyzer(Structure.from_file(path), symprec=0.1).get_conventional_standard_structure()
    sites = [
        (site.specie.Z, site.frac_coords % 1 + image)
        for site in cell
        for image in itertools.product((0, 1), repeat=3)
        if np.all(site.frac_coords % 1 + image < 1.01)
    ]
    numbers, places = zip(*sites, strict=True)
    atoms = Atoms(numbers, scaled_positions=places, cell=cell.lattice.matrix)
    plot_atoms(atoms, axes, rotation="-80x,20y,5z", radii=0.4, colors=jmol_colors[atoms.numbers])
    axes.set_axis_off()
    energy = 1000 * float(row["e_above_hull"])
    axes.set_title(f"{row['reduced_formula']}, {row['space_group'].split()[0]}\n{energy:.0f} meV/atom")
    elements = cell.composition.elements
    for place, element in enumerate(elements):
        where = (0.5 + 0.2 * (place - (len(elements) - 1) / 2), -0.12)
        balls = {"boxstyle": "circle", "facecolor": jmol_colors[element.Z], "edgecolor": "black"}
        axes.text(*where, element.symbol, transform=axes.transAxes, ha="center", fontsize=8, bbox=balls)


def main() -> None:
    """The samples of a run that are left, and three of its S.U.N. crystals, of the highest symmetries."""
    results = Path(sys.argv[1] if len(sys.argv) > 1 else "results")
    with (results / "figures" / "waterfall.csv").open() as file:
        rows = list(csv.DictReader(file))
    with (results / "miad" / "candidates.csv").open() as file:
        candidates = sorted(csv.DictReader(file), key=lambda row: -int(re.findall(r"\d+", row["space_group"])[-1]))
    candidates = list({row["space_group"]: row for row in reversed(candidates)}.values())[::-1]
    figure = plt.figure(figsize=(9.6, 3.2), layout="constrained")
    grid = figure.add_gridspec(1, 4, width_ratios=[2.2, 1, 1, 1])
    funnel(figure.add_subplot(grid[0, 0]), rows)
    for place, row in enumerate(candidates[:3]):
        crystal(figure.add_subplot(grid[0, 1 + place]), results / "miad" / "cif" / row["cif"], row)
    figure.savefig(sys.stdout.buffer, format="svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
