"""A pickled PatchedPhaseDiagram, as matbench-discovery publishes that of the Materials Project."""

import gzip
import pickle
from pathlib import Path


def diagram_entries() -> list:
    from pymatgen.entries.computed_entries import (
        CompositionEnergyAdjustment,
        ComputedEntry,
        TemperatureEnergyAdjustment,
    )

    anion = CompositionEnergyAdjustment(-0.614, 4, name="Cl anion")
    warm = TemperatureEnergyAdjustment(-1e-3, 300, 2, name="warm")
    return [
        ComputedEntry("Na", -1.3, entry_id="mp-127"),
        ComputedEntry("Cl4", -7.2, entry_id="mp-22848"),
        ComputedEntry("Na4Cl4", -27.0, energy_adjustments=[anion], entry_id="mp-22862"),
        ComputedEntry("O8", -39.0, entry_id="mp-12957"),
        ComputedEntry("Na2O", -11.0, energy_adjustments=[warm], entry_id="mp-2352"),
    ]


def pickled_diagram(path: Path, protocol: int = 4) -> Path:
    from pymatgen.analysis.phase_diagram import PatchedPhaseDiagram

    path.write_bytes(gzip.compress(pickle.dumps(PatchedPhaseDiagram(diagram_entries()), protocol)))
    return path
