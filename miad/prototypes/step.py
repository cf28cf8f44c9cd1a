"""The built-in data set `prototypes`: decorated structure types, relaxed with CHGNet, sifted by their hull."""

import logging
from collections import Counter
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

from miad.config.sections import Relax
from miad.core.crystal import Crystal, read_crystals, write_crystals
from miad.core.files import write_text
from miad.core.tabular import markdown_table
from miad.prototypes import selection
from miad.prototypes.candidates import candidates
from miad.relax import step as relax

log = logging.getLogger("miad")
CALCULATOR = "chgnet"
# Tighter than the 0.1 eV/Å of the paper's relaxations: symmetric cells converge fast, and these energies make a hull.
FMAX, MAX_STEPS = 0.05, 300


def run(*, out: Path, workers: int | None = None, seed: int = 0) -> None:
    """Make the built-in data set: `prototypes_{train,val,test}.jsonl.gz` and the card `prototypes.md`.

    A killed run continues where it stopped. The same seed and versions give the same files.

    Args:
        out: folder for the data set; the candidates and their relaxed cells stay there too.
        workers: processes; all cores if left out.
        seed: of the order of the candidates and of the split.
    """
    given = _relaxed(out, candidates(seed), workers)
    kept = selection.select(given, seed, workers)
    for name, part in kept.items():
        write_crystals(out / f"prototypes_{name}.jsonl.gz", part)
        log.info("%s: %d crystals", name, len(part))
    write_text(out / "prototypes.md", card(kept, len(given), seed))


def _relaxed(out: Path, chosen: list[Crystal], workers: int | None) -> list[Crystal]:
    """The candidates after relaxation; what an earlier run left in the folder is used if it is of the same ones."""
    crystals, relaxed = out / "candidates.jsonl", out / "relaxed.jsonl"
    if relaxed.is_file():
        found = read_crystals(relaxed)
        if [crystal.source_id for crystal in found] == [crystal.source_id for crystal in chosen]:
            return found
    write_crystals(crystals, chosen)
    relax.run(relax_settings(workers), crystals=crystals, relaxed=relaxed, calculator=CALCULATOR)
    return read_crystals(relaxed)


def relax_settings(workers: int | None) -> Relax:
    """The settings that the data set is relaxed with."""
    return Relax(
        calculators=[CALCULATOR],
        fmax=FMAX,
        max_steps=MAX_STEPS,
        min_distance=0.5,
        max_volume_ratio=4.0,
        time_limit=600.0,
        memory=1.5,
        workers=workers,
        device="cpu",
        potentials={},
    )


def card(kept: dict[str, list[Crystal]], num_candidates: int, seed: int) -> str:
    """Card of the data set, Markdown: its purpose, recipe and contents.

    Args:
        kept: crystals by split.
        num_candidates: number of crystals that were relaxed.
        seed: that the set was made with.
    """
    crystals = [crystal for part in kept.values() for crystal in part]
    elements = Counter(symbol for crystal in crystals for symbol in crystal.element_counts)
    # `source_id` is `type:formula`.
    by_split = [Counter((crystal.source_id or "").partition(":")[0] for crystal in part) for part in kept.values()]
    types = sum(by_split, Counter())
    sizes = Counter(crystal.num_atoms for crystal in crystals)
    names = sorted(types, key=lambda name: (-types[name], name))
    rows = [[name, *(counts[name] for counts in by_split), types[name]] for name in names]
    return (
        (files("miad.prototypes") / "card.md")
        .read_text(encoding="utf-8")
        .format(
            num_crystals=len(crystals),
            splits=", ".join(f"{len(part)} {name}" for name, part in kept.items()),
            num_types=len(types),
            num_elements=len(elements),
            max_atoms=selection.MAX_ATOMS,
            seed=seed,
            num_candidates=num_candidates,
            calculator=crystals[0].calculator,
            fmax=FMAX,
            max_steps=MAX_STEPS,
            max_e_above_hull=selection.MAX_E_ABOVE_HULL,
            num_on_hull=sum(crystal.e_above_hull is not None and crystal.e_above_hull <= 1e-6 for crystal in crystals),
            versions=", ".join(f"{name} {version(name)}" for name in ("pymatgen", "torch", "numpy", "scipy")),
            energy_frame=crystals[0].energy_frame,
            sizes=", ".join(f"{size}: {sizes[size]}" for size in sorted(sizes)),
            types=markdown_table(["structure type", *kept, "all"], rows),
            elements=", ".join(f"{symbol} {elements[symbol]}" for symbol in sorted(elements)),
        )
    )
