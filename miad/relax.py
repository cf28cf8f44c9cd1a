"""Relaxation of cell and positions by a machine-learned potential, each crystal on its own."""

import dataclasses
import itertools
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from miad.calculators import Atoms, Evaluator, potential
from miad.config import Relax
from miad.cores import num_cores
from miad.crystal import Crystal, read_crystals, write_crystals
from miad.files import checksum
from miad.fire import Relaxation
from miad.journal import Journal
from miad.model import pick_device
from miad.pool import in_processes
from miad.progress import track

log = logging.getLogger("miad")
STEP = "relax"
MIN_VOLUME = 0.1  # Å³ per crystal
MIN_FILL = 1e-6  # volume over the product of the edges; below, a cell is flat to rounding
# These do not change what a crystal relaxes to, so finished crystals outlive a change of them.
_IRRELEVANT = ("calculators", "workers", "device")


def run(settings: Relax, *, crystals: Path, relaxed: Path, calculator: str) -> None:
    """Relax every crystal; one that fails keeps its line and gains a reason.

    A killed run continues from the crystals that it had finished.

    Args:
        settings: section `relax`.
        crystals: crystals to relax, JSON lines.
        relaxed: where the relaxed crystals go, in the same order.
        calculator: name of the potential, one of miad.calculators.POTENTIALS.

    Raises:
        MiadError: the potential is unknown or cannot be loaded.
    """
    key = {
        "calculator": potential(calculator).label,
        "crystals": checksum(crystals, "sha256"),
        **{name: value for name, value in dataclasses.asdict(settings).items() if name not in _IRRELEVANT},
    }
    given = read_crystals(crystals)
    journal = Journal(relaxed, key)
    finished = journal.open()
    try:
        waiting = [crystal for crystal in given if crystal.crystal_id not in finished]
        if finished:
            log.info("continuing: %d of %d crystals were finished before", len(finished), len(given))
        for crystal in track(relax_all(waiting, settings, calculator), what="crystals relaxed", total=len(waiting)):
            journal.add(crystal)
            finished[crystal.crystal_id] = crystal
    except BaseException:
        journal.close(is_done=False)
        raise
    write_crystals(relaxed, (finished[crystal.crystal_id] for crystal in given))
    journal.close(is_done=True)


def relax_all(crystals: list[Crystal], settings: Relax, calculator: str) -> Iterator[Crystal]:
    """Relax crystals in single-threaded worker processes; yields them in the order of completion."""
    num_workers = settings.workers or num_cores()
    failed = [crystal for crystal in crystals if crystal.failure]
    sound = [crystal for crystal in crystals if not crystal.failure]
    treated = in_processes(
        sound,
        make_relaxer,
        (settings, calculator),
        num_workers=num_workers,
        # The worker's own clock is looked at between steps; this one is for steps that never end.
        hard_limit=2 * settings.time_limit + 60,
        step=STEP,
    )
    return itertools.chain(failed, treated)


def make_relaxer(settings: Relax, calculator: str) -> Callable[[Crystal], Crystal]:
    """The function that relaxes one crystal, for the process it is called in."""
    import torch

    torch.set_num_threads(1)
    chosen = potential(calculator)
    evaluate = chosen.evaluator(pick_device(settings.device))

    def relax(crystal: Crystal) -> Crystal:
        reason = why_not(crystal, settings, chosen.elements)
        if reason:
            return crystal.failed(STEP, reason)
        known = {"calculator": chosen.label, "energy_frame": chosen.energy_frame}
        return relax_one(crystal.replace(**known), settings, evaluate)

    return relax


def why_not(crystal: Crystal, settings: Relax, elements: frozenset[int]) -> str | None:
    """Why a crystal cannot be relaxed at all, or None."""
    from pymatgen.core import Element

    numbers = crystal.atomic_numbers
    if len(numbers) == 0:
        return "it has no atoms"
    if not (np.isfinite(crystal.lattice).all() and np.isfinite(crystal.frac_coords).all()):
        return "its lattice or coordinates are not numbers"
    unknown = sorted({int(z) for z in numbers} - elements)
    if unknown:
        names = [Element.from_Z(z).symbol if 1 <= z <= 118 else f"Z={z}" for z in unknown]
        return f"the potential does not know {', '.join(names)}"
    if crystal.volume < max(MIN_VOLUME, MIN_FILL * np.prod(np.linalg.norm(crystal.lattice, axis=1))):
        return f"its cell is flat ({crystal.volume:.3g} Å³)"
    distance = closest_distance(crystal.lattice, crystal.frac_coords)
    if distance < settings.min_distance:
        return f"atoms closer than {settings.min_distance} Å at the start ({distance:.3f} Å)"
    return None


def closest_distance(lattice: np.ndarray, frac_coords: np.ndarray) -> float:
    """Shortest distance between two atoms of a periodic crystal, images of one atom included, Å."""
    from ase.geometry import minkowski_reduce

    reduced, _ = minkowski_reduce(lattice)
    frac = np.asarray(frac_coords) @ lattice @ np.linalg.inv(reduced)
    frac = frac - np.floor(frac)
    # In a Minkowski-reduced cell the closest image of a point of the cell lies within one cell on each side.
    images = np.array(list(itertools.product((-1, 0, 1), repeat=3))) @ reduced  # (27, 3)
    shortest = np.linalg.norm(images[np.any(images != 0, axis=1)], axis=1).min()
    cart = frac @ reduced
    for index in range(len(cart) - 1):
        apart = cart[index + 1 :, None] - cart[index] + images  # (n_atoms - index - 1, 27, 3)
        shortest = min(shortest, np.linalg.norm(apart, axis=-1).min())
    return float(shortest)


def relax_one(crystal: Crystal, settings: Relax, evaluate: Evaluator) -> Crystal:
    """Relax one crystal that `why_not` found nothing against.

    Args:
        crystal: the crystal.
        settings: limits.
        evaluate: the potential.

    Returns:
        The relaxed crystal with energies, steps, displacement and volume change; failed if a limit was hit.
    """
    state = Relaxation(crystal.lattice, crystal.frac_coords, fmax=settings.fmax, max_steps=settings.max_steps)
    start = time.monotonic()
    while True:
        try:
            [result] = evaluate([Atoms(state.lattice, state.frac_coords, crystal.atomic_numbers)])
        except Exception as error:  # whatever a potential throws is the end of this crystal only
            return crystal.failed(STEP, _reason(error))
        if not (np.isfinite(result.energy) and np.isfinite(result.forces).all() and np.isfinite(result.virial).all()):
            return crystal.failed(STEP, f"the potential gave no number after {state.num_steps} steps")
        if state.update(result.energy, result.forces, result.virial):
            return _finished(crystal, state)
        ratio = state.volume_ratio
        if not 1 / settings.max_volume_ratio < ratio < settings.max_volume_ratio:
            return crystal.failed(STEP, f"its volume changed {ratio:.3g}-fold after {state.num_steps} steps")
        if time.monotonic() - start > settings.time_limit:
            return crystal.failed(STEP, f"time limit of {settings.time_limit:g} s after {state.num_steps} steps")


def _finished(crystal: Crystal, state: Relaxation) -> Crystal:
    return crystal.replace(
        lattice=state.lattice,
        frac_coords=np.mod(state.frac_coords, 1.0),
        energy_per_atom=state.energy / crystal.num_atoms,
        initial_energy_per_atom=state.initial_energy / crystal.num_atoms,
        num_steps=state.num_steps,
        rms_displacement=state.rms_displacement,
        volume_change=state.volume_ratio - 1,
        converged=state.is_converged,
    )


def _reason(error: Exception) -> str:
    # torch has a class of its own for a full GPU, and a plain RuntimeError for a full host.
    if isinstance(error, MemoryError) or "memory" in str(error).lower():
        return f"out of memory ({str(error)[:100]})"
    return f"the potential failed ({type(error).__name__}: {str(error)[:100]})"
