"""The built-in data set `prototypes`: decorated structure types, relaxed with CHGNet, sifted by their hull."""

import logging
from pathlib import Path

from miad.config.sections import Relax
from miad.core.crystal import Crystal, read_crystals, write_crystals
from miad.core.files import write_text
from miad.prototypes import card, selection
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
    write_text(
        out / "prototypes.md",
        card.text(kept, num_candidates=len(given), seed=seed, fmax=FMAX, max_steps=MAX_STEPS),
    )


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
