"""Card of the built-in data set: its purpose, recipe and contents."""

from collections import Counter
from importlib.metadata import version

from miad.core.crystal import Crystal
from miad.prototypes.selection import MAX_ATOMS, MAX_E_ABOVE_HULL


def text(kept: dict[str, list[Crystal]], *, num_candidates: int, seed: int, fmax: float, max_steps: int) -> str:
    """The card, Markdown.

    Args:
        kept: crystals by split.
        num_candidates: number of crystals that were relaxed.
        seed: that the set was made with.
        fmax: eV/Å, limit of the relaxation.
        max_steps: limit of the relaxation.
    """
    crystals = [crystal for part in kept.values() for crystal in part]
    elements = Counter(symbol for crystal in crystals for symbol in crystal.element_counts)
    by_split = {name: Counter(map(_structure_type, part)) for name, part in kept.items()}
    kinds = sum(by_split.values(), Counter())
    num_on_hull = sum(crystal.e_above_hull is not None and crystal.e_above_hull <= 1e-6 for crystal in crystals)
    sizes = Counter(crystal.num_atoms for crystal in crystals)
    rows = "\n".join(
        f"| {kind} | {' | '.join(str(by_split[name][kind]) for name in kept)} | {kinds[kind]} |"
        for kind in sorted(kinds, key=lambda kind: (-kinds[kind], kind))
    )
    splits = ", ".join(f"{len(part)} {name}" for name, part in kept.items())
    return f"""# The built-in data set `prototypes`

{len(crystals)} crystals ({splits}) of {len(kinds)} structure types and {len(elements)} elements, at most {MAX_ATOMS}
atoms in the primitive cell. Made by miad itself, so that the first run needs no download; it is for
learning and testing the program, not a reference for materials.

## How it was made

    python -m miad prototypes --out FOLDER --seed {seed}

1. {num_candidates} candidates: textbook structure types decorated by oxidation states, ratios of radii, tolerance
   factors and electron counts (`structure_types.csv`, `salts.py` and `metals.py` in `miad/prototypes`).
2. Cell and positions relaxed with {crystals[0].calculator}:
   FIRE, fmax {fmax} eV/Å, at most {max_steps} steps. What did not converge or left any sane volume was dropped.
3. Standard cells (primitive, Niggli, standard orientation), kept when at most {MAX_E_ABOVE_HULL} eV/atom above the
   convex hull of all sane candidates; {num_on_hull} lie on it.
4. Duplicates removed with StructureMatcher at its defaults, the lowest energy kept.
5. Split 60/20/20 by seed.

Made with {", ".join(f"{name} {version(name)}" for name in ("pymatgen", "torch", "numpy", "scipy"))}.
Other versions or processors differ in the last digits.

## What it carries

- `energy_per_atom` is CHGNet's, frame `{crystals[0].energy_frame}` (MP2020-corrected): never correct it again.
- `e_above_hull` and the hull are CHGNet's for this set only; phases outside these structure types are unknown to it.
- `source_id` is the structure type that the crystal started from and its formula; relaxation may have left the type.

Atoms in the cell: {", ".join(f"{size}: {sizes[size]}" for size in sorted(sizes))}.

| structure type | {" | ".join(kept)} | all |
|---|{"---|" * (len(kept) + 1)}
{rows}

Crystals by element: {", ".join(f"{symbol} {elements[symbol]}" for symbol in sorted(elements))}.
"""


def _structure_type(crystal: Crystal) -> str:
    """Name of the structure type that a crystal started from; its `source_id` is `type:formula`."""
    return (crystal.source_id or "").partition(":")[0]
