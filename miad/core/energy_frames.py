"""Energy frames and MP2020 corrections: from raw PBE(+U) energies to those of the Materials Project, made only here.

A crystal says in `energy_frame` whether it has them, so that they are never added twice.
"""

import functools
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from miad.core.crystal import Crystal
from miad.core.errors import MiadError
from miad.core.oxidation_states import guess

if TYPE_CHECKING:
    from pymatgen.core import Structure
    from pymatgen.entries.compatibility import MaterialsProject2020Compatibility
    from pymatgen.entries.computed_entries import ComputedStructureEntry, EnergyAdjustment

CORRECTED, UNCORRECTED = "mp2020", "uncorrected"  # MP2020-corrected, or raw PBE/PBE+U
FRAMES = (CORRECTED, UNCORRECTED)


def correct(crystal: Crystal, frame: str, step: str) -> Crystal:
    """The crystal with its energies in `frame`; the crystal itself if they are so already, or if it has none.

    The correction depends on composition and relaxed structure. `step` is named where it fails.

    Raises:
        MiadError: corrected energies are asked for uncorrected; what was added is not known any more.
    """
    if crystal.failure or crystal.energy_per_atom is None or crystal.energy_frame == frame:
        return crystal
    from pymatgen.entries.compatibility import CompatibilityError

    if (crystal.energy_frame, frame) != (UNCORRECTED, CORRECTED):
        raise MiadError(
            f"{crystal.crystal_id} has energies in the frame '{crystal.energy_frame}', which cannot be turned into"
            f" '{frame}'. Only {UNCORRECTED} energies can be corrected."
        )
    try:
        added = correction_per_atom(crystal.structure)
    except CompatibilityError as error:
        return crystal.failed(step, f"its energy cannot be corrected ({error})")
    initial = crystal.initial_energy_per_atom
    return crystal.replace(
        energy_per_atom=crystal.energy_per_atom + added,
        # The same for both, so that their difference stays what the relaxation gained.
        initial_energy_per_atom=None if initial is None else initial + added,
        energy_frame=CORRECTED,
    )


def correction_per_atom(structure: "Structure", parameters: dict[str, Any] | None = None) -> float:
    """Correction that MP2020 adds to the energy, eV/atom.

    Args:
        structure: relaxed; whether oxygen is oxide, peroxide or superoxide is read from its bonds.
        parameters: of the calculation, as pymatgen's entries hold them (`run_type`, `hubbards`, …); None: those of
            the Materials Project, with +U where its input sets have it.

    Raises:
        CompatibilityError: pymatgen has no correction for such a calculation.

    Source: Wang et al., Scientific Reports 11, 15496 (2021).
    """
    from pymatgen.entries.computed_entries import ComputedStructureEntry

    if parameters is None:
        parameters = parameters_of(structure)
    terms = adjustments(ComputedStructureEntry(structure, energy=0.0, parameters=parameters), check_potcar=False)
    return float(sum(term.value for term in terms)) / len(structure)


def adjustments(entry: "ComputedStructureEntry", *, check_potcar: bool) -> "Sequence[EnergyAdjustment]":
    """The terms that MP2020 adds to the energy of an entry, each with its name and value in eV.

    They are those of the hull of 2023-02-07, as the scheme was published. pymatgen has since left out anions between 0
    and −1 by default, and it leaves out all but the most electronegative one where it takes a formula for too large to
    guess oxidation states (above 20 atoms); the hull's entries have them.
    Corrections that it carries are not looked at. `check_potcar` refuses pseudopotentials other than MPRelaxSet's.

    Raises:
        CompatibilityError: pymatgen has no correction for such a calculation.
        KeyError, ValueError: the parameters do not say how the energy was calculated.
    """
    entry.data.setdefault("oxidation_states", guess(entry.composition))
    with warnings.catch_warnings():
        # Alloys have no oxidation states to guess, and no anions to correct.
        warnings.filterwarnings("ignore", message="Failed to guess oxidation states")
        # Not process_entry, which hides why there is no correction.
        return _compatibility(check_potcar).get_adjustments(entry)


def parameters_of(structure: "Structure") -> dict[str, Any]:
    """Run parameters of the Materials Project for a structure: with U of oxides and fluorides, {element: eV}."""
    hubbards = hubbard_values(structure)
    return {"run_type": "GGA+U" if hubbards else "GGA", "hubbards": hubbards, "is_hubbard": bool(hubbards)}


def hubbard_values(structure: "Structure") -> dict[str, float]:
    """{symbol: U in eV} that MPRelaxSet would use, only those that are not zero."""
    symbols = {element.symbol for element in structure.composition}
    # As in VASP's input sets: U belongs to the most electronegative element of the compound.
    # Noble gases have none, and no U.
    anion = max(structure.composition, key=lambda element: element.X if element.X == element.X else 0.0).symbol
    values = _mp_settings()["LDAUU"].get(anion, {})
    return {symbol: values[symbol] for symbol in sorted(symbols) if values.get(symbol)}


@functools.cache
def _compatibility(check_potcar: bool) -> "MaterialsProject2020Compatibility":
    from pymatgen.entries.compatibility import MaterialsProject2020Compatibility

    return MaterialsProject2020Compatibility(check_potcar=check_potcar, strict_anions="no_check")


@functools.cache
def _mp_settings() -> dict[str, Any]:
    from pymatgen.io.vasp.sets import MPRelaxSet

    return MPRelaxSet.CONFIG["INCAR"]


def must_match(whose: str, frame: str | None, hull: str, hull_frame: str) -> None:
    """Refuse, by a MiadError, to compare energies of one frame, `whose` says of what, with a hull of another."""
    if frame != hull_frame:
        raise MiadError(
            f"{whose} has energies in the frame '{frame}', but the hull '{hull}' is in the frame '{hull_frame}'."
            " Choose another calculator (relax.calculators), energies of the hull's frame (`miad replay` corrects those"
            " of VASP), a hull of the same frame (hull.source; of `miad evaluate`: --hull), or a protocol that takes"
            " energies as_given (sun.protocol)."
        )
