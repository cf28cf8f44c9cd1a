"""The read step: crystals of other programs in the place of samples, relaxed or to be relaxed."""

import logging
from pathlib import Path

from miad.core.crystal import Crystal, carry_energies, write_crystals
from miad.core.energy_frames import FRAMES, must_match
from miad.core.errors import MiadError
from miad.core.sound import ENERGIES, unread
from miad.core.unreadable import of_crystals
from miad.hull.convex import read_table
from miad.io.any_format import STEP, read_any
from miad.sample import trajectories as snapshots

log = logging.getLogger("miad")
ATTEMPTED = "count as attempted"  # fate of samples that failed
# What an as-generated crystal cannot know.
_ENERGY = dict.fromkeys(("energy_per_atom", "energy_frame", "calculator", "initial_energy_per_atom"))


def run(
    source: Path,
    *,
    crystals: Path,
    given: Path,
    run: str,
    trajectories: Path | None = None,
    generated: Path | None = None,
    energy_frame: str | None = None,
    hull: Path | None = None,
    calculator: str | None = None,
    relaxed_frame: str | None = None,
    column: str | None = None,
) -> None:
    """Read crystals of other programs in place of sampling.

    Crystals that all carry energies are taken as relaxed, and need not be relaxed again.

    Args:
        source: extended XYZ, CIF, a folder or zip of CIFs, CSV or Parquet with a column of crystals, JSON of pymatgen,
            pandas or OPTIMADE, JSON lines; plain or gzipped
        crystals: JSON lines to write: the crystals as generated, as far as the input tells, one line per attempted one
        given: JSON lines to write: the same ones as `miad relax` takes them, with the energies that they carry
        run: name of the run; crystals without an id of miad are called {run}-0-{index}
        trajectories: safetensors to write: empty, since nothing of their generation is known
        generated: the same crystals before relaxation, for protocols that compare as-generated cells; those of them
            that are not among the relaxed ones count as attempted
        energy_frame: mp2020 or uncorrected, of energies that the crystals carry without saying so
        hull: table of `miad hull`, whose energy frame has to be that of the relaxation
        calculator: name of the potential that will relax crystals without energies
        relaxed_frame: energy frame of this potential, if it has to be that of the hull
        column: of a table of crystals, the column that holds them; cif, structure, LeMatStructs or cif_string, if left
            out

    Raises:
        MiadError: no readable crystal, energies of a few only or without a frame, a potential of another frame than the
            hull, generated crystals beside relaxed ones without energies, or without their ids.
    """
    ones = with_energies(with_frame([credible(one) for one in read_any(source, run, column)], energy_frame))
    of_crystals(source, ones, ATTEMPTED).report(None, "Correct the file.")
    is_relaxed = carry_energies(ones)
    if generated and not is_relaxed:
        raise MiadError(
            f"{source}: not all crystals carry energies, so that they would be relaxed, and --generated are what they"
            " were relaxed from. Give the energies, or leave --generated out."
        )
    if hull and relaxed_frame and not is_relaxed:
        table = read_table(hull)
        must_match(str(calculator), relaxed_frame, table.name, table.energy_frame)
    before = ones
    if generated:
        before = read_any(generated, f"{run}_generated")
        of_crystals(generated, before, ATTEMPTED).report(None, "Correct --generated.")
        ones, before = with_generated(ones, before)
        before = [one.replace(**_ENERGY) for one in before]
    write_crystals(given, ones)
    write_crystals(crystals, before)
    if trajectories:
        snapshots.write(trajectories, {})
    log.info("%d crystals, %s", len(ones), "taken as relaxed" if is_relaxed else "to be relaxed")


def credible(crystal: Crystal) -> Crystal:
    """The crystal, or failed if it carries an energy that none has: mostly it is that of the cell."""
    low, high = ENERGIES
    energy = crystal.energy_per_atom
    if crystal.failure or energy is None or low <= energy <= high:
        return crystal
    reason = f"its energy_per_atom is {energy:g} eV/atom, outside of {low:g} to {high:g}; is it that of the cell?"
    return unread(crystal.crystal_id, STEP, reason, crystal.source_id)


def with_energies(crystals: list[Crystal]) -> list[Crystal]:
    """Crystals of which all carry energies, or none: those without fail where most carry one.

    Energies of two origins cannot be told apart later; and what lacks one is mostly a calculation that failed.

    Raises:
        MiadError: a few carry energies, and most do not.
    """
    intact = [one for one in crystals if not one.failure]
    known = sum(one.energy_per_atom is not None for one in intact)
    if known in (0, len(intact)):
        return crystals
    if 2 * known < len(intact):
        raise MiadError(
            f"{known} of {len(intact)} crystals carry energies, the others do not. Give the energies of all, or of none"
            " to have all relaxed."
        )
    reason = f"it carries no energy, unlike {known} of the {len(intact)} crystals"
    return [unread(one.crystal_id, STEP, reason, one.source_id) if is_bare(one) else one for one in crystals]


def is_bare(crystal: Crystal) -> bool:
    """Whether a crystal that did not fail carries no energy."""
    return not crystal.failure and crystal.energy_per_atom is None


def with_frame(crystals: list[Crystal], frame: str | None) -> list[Crystal]:
    """Crystals whose energies have a frame.

    Raises:
        MiadError: an energy without a frame, or a flag that contradicts the file.
    """
    if frame not in (None, *FRAMES):
        raise MiadError(f"--energy-frame is '{frame}'; use {' or '.join(FRAMES)}.")
    framed = []
    for one in crystals:
        if one.energy_per_atom is not None:
            own = one.energy_frame or frame
            if not own:
                known = " or ".join(FRAMES)
                raise MiadError(f"{one.crystal_id} has an energy without its frame. Give --energy-frame {known}.")
            if own != (frame or own):
                raise MiadError(f"{one.crystal_id} states the energy frame '{own}', --energy-frame '{frame}'.")
            one = one.replace(energy_frame=own, calculator=one.calculator or "as given")
        framed.append(one)
    return framed


def with_generated(relaxed: list[Crystal], generated: list[Crystal]) -> tuple[list[Crystal], list[Crystal]]:
    """Relaxed and as-generated crystals, joined; what was generated only was attempted too, and counts as failed.

    As-generated crystals get the ids of the relaxed ones, told by the ids that the two inputs carry.

    Raises:
        MiadError: a relaxed crystal has no generated one of its id, or ids are absent or occur twice.
    """
    by_id = {_identity(one): one for one in generated}
    if len(by_id) < len(generated):
        raise MiadError("--generated: an id occurs twice, so that the crystals cannot be joined. Make the ids unique.")
    if absent := [_identity(one) for one in relaxed if _identity(one) not in by_id]:
        raise MiadError(
            f"{absent[0]} has no crystal of the same id in --generated. Write an id (crystal_id, material_id, id, or"
            " the file name of a CIF) into both inputs; rows are not joined by order."
        )
    joined = [by_id[_identity(one)].replace(crystal_id=one.crystal_id) for one in relaxed]
    kept = {_identity(one) for one in relaxed}
    lost = [one for one in generated if _identity(one) not in kept]
    if lost:
        names = f"{_identity(lost[0])} and {len(lost) - 1} others"
        log.warning("%s are not among the relaxed crystals; they count as attempted", names)
    reason = "it is among the generated crystals, but not among the relaxed ones"
    return relaxed + [one.failed("relax", reason) for one in lost], joined + lost


def _identity(crystal: Crystal) -> str:
    """The id that the input carried, or else the one that was made here."""
    return crystal.source_id or crystal.crystal_id
