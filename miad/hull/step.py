"""The hull step: the table of reference energies."""

from pathlib import Path

from miad.config.sections import Hull
from miad.core.crystal import read_crystals
from miad.core.energy_frames import must_match
from miad.core.errors import MiadError
from miad.hull.convex import ConvexHull, write_table
from miad.hull.sources import read_source


def run(
    settings: Hull,
    *,
    hull: Path,
    train: Path | None = None,
    val: Path | None = None,
    test: Path | None = None,
    frames: list[str] | None = None,
) -> None:
    """Make the table of reference energies.

    Args:
        settings: section hull of config.yaml.
        hull: the table to write, e.g. entries.csv.gz
        train: crystals of the training split; the source `dataset` takes their energies
        val: crystals of the validation split
        test: crystals of the test split
        frames: of the energies that will be compared with the hull; one that does not fit is refused now, not after
            the relaxation

    Raises:
        MiadError: the source cannot be read, its frame is unknown, contradicts hull.energy_frame or does not fit
            `frames`, or (with hull.missing: stop) an element of the data set has no entry.
    """
    crystals = [crystal for path in (train, val, test) if path for crystal in read_crystals(path)]
    table = read_source(settings, crystals)
    for frame in frames or []:
        must_match("a calculator of this run", frame, table.name, table.energy_frame)
    convex = ConvexHull(table)
    if settings.missing == "stop":
        for crystal in crystals:
            absent = sorted(set(crystal.element_counts) - convex.elements)
            if absent:
                raise MiadError(
                    f"{crystal.crystal_id} of the data set contains {', '.join(absent)}, but the hull {table.name} has"
                    f" no entry with it. Add entries to {settings.source}, or set hull.missing: report in config.yaml."
                )
    write_table(hull, table)
