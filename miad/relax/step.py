"""Relaxation of crystals by a machine-learned potential, in batches on a GPU and in one process per core on a CPU."""

import dataclasses
import itertools
import logging
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from miad.config.sections import Relax
from miad.core.cells import closest_distance
from miad.core.crystal import Crystal, carry_energies, read_crystals, write_crystals
from miad.core.energy_frames import correct
from miad.core.files import checksum
from miad.machine.cores import num_cores
from miad.machine.device import pick_device
from miad.machine.guarded_pool import Limits, in_processes
from miad.machine.progress import track
from miad.relax.journal import Journal
from miad.relax.potentials.register import Potential, potential, settings_of

if TYPE_CHECKING:
    from miad.relax.potentials.engine import Engine

log = logging.getLogger("miad")
STEP = "relax"
MIN_VOLUME = 0.1  # Å³ per crystal
MIN_FILL = 1e-6  # volume over the product of the edges; below, a cell is flat to rounding
BASE_MEMORY = 0.45e9  # bytes that a worker takes before it has seen a crystal: Python, torch, weights
# These do not change what a crystal relaxes to, so finished crystals outlive a change of them.
_IRRELEVANT = ("calculators", "potentials", "memory", "workers", "device")


def run(settings: Relax, *, crystals: Path, relaxed: Path, calculator: str) -> None:
    """Relax every crystal; one that fails keeps its line and gains a reason.

    Crystals that all carry energies were relaxed elsewhere and stay as they are. A killed run continues from the
    crystals that it had finished.

    Args:
        settings: section `relax`.
        crystals: crystals to relax, JSON lines.
        relaxed: where the relaxed crystals go, in the same order.
        calculator: name of the potential, see miad.relax.potentials.register.

    Raises:
        MiadError: the potential is unknown or cannot be loaded, or its weights are absent.
    """
    given = read_crystals(crystals)
    if carry_energies(given):
        log.info("all crystals carry energies; they are taken as relaxed")
        write_crystals(relaxed, given)
        return
    chosen = potential(calculator, settings.potentials.get(calculator))
    chosen.files()
    settings = settings_of(settings, calculator)
    journal = Journal(relaxed, _key(settings, calculator, chosen, crystals))
    finished = journal.open()
    try:
        waiting = [crystal for crystal in given if crystal.crystal_id not in finished]
        if finished:
            log.info("continuing: %d of %d crystals were finished before", len(finished), len(given))
        for crystal in track(relax_all(waiting, settings, calculator), what="crystals relaxed", total=len(waiting)):
            journal.add(crystal)
            finished[crystal.crystal_id] = crystal
        write_crystals(relaxed, (finished[crystal.crystal_id] for crystal in given))
    except BaseException:
        journal.close(is_done=False)
        raise
    journal.close(is_done=True)


def _key(settings: Relax, calculator: str, chosen: Potential, crystals: Path) -> dict:
    """Everything that the relaxed crystals depend on."""
    options = {k: v for k, v in settings.potentials.get(calculator, {}).items() if k not in ("checkpoint", "checksum")}
    return {
        "calculator": chosen.label,
        "crystals": checksum(crystals, "sha256"),
        "options": options,
        **{name: value for name, value in dataclasses.asdict(settings).items() if name not in _IRRELEVANT},
    }


def relax_all(crystals: list[Crystal], settings: Relax, calculator: str) -> Iterator[Crystal]:
    """Relax crystals where the settings say; yields them in the order of completion."""
    failed = [crystal for crystal in crystals if crystal.failure]
    sound = [crystal for crystal in crystals if not crystal.failure]
    chosen, device = potential(calculator, settings.potentials.get(calculator)), pick_device(settings.device)
    if device != "cpu" and chosen.is_batched:
        return itertools.chain(failed, relax_batched(sound, settings, chosen, device) if sound else ())
    treated = in_processes(
        sound,
        make_relaxer,
        (dataclasses.replace(settings, device=device), calculator),
        # Processes that share a GPU only wait for each other.
        num_workers=settings.workers or (num_cores() if device == "cpu" else 1),
        # The worker's own clock is looked at between steps; this one is for steps that never end.
        limits=Limits(2 * settings.time_limit + 60, settings.memory * 1e9 if device == "cpu" else None),
        step=STEP,
    )
    return itertools.chain(failed, treated)


def make_relaxer(settings: Relax, calculator: str) -> Callable[[Crystal], Crystal]:
    """The function that relaxes one crystal, for the process it is called in."""
    import torch

    torch.set_num_threads(1)
    chosen = potential(calculator, settings.potentials.get(calculator))
    limit = settings.memory * 1e9 - BASE_MEMORY
    engine = chosen.engine(settings.device, limit)

    def relax(crystal: Crystal) -> Crystal:
        return next(in_flight([crystal], settings, chosen, engine, limit))

    return relax


def relax_batched(
    crystals: Iterable[Crystal], settings: Relax, chosen: Potential, device: str, limit: float | None = None
) -> Iterator[Crystal]:
    """Relax crystals in batches in this process; yields them in the order of completion.

    Args:
        crystals: what to relax; failed ones come back as they are.
        settings: limits.
        chosen: the potential.
        device: as torch names it.
        limit: bytes that an evaluation may take; None on a GPU, whose memory is filled.
    """
    from miad.relax.memory import Budget

    engine = chosen.engine(device, limit or Budget(device).capacity)
    return in_flight(crystals, settings, chosen, engine, limit)


def in_flight(
    crystals: Iterable[Crystal], settings: Relax, chosen: Potential, engine: "Engine", limit: float | None
) -> Iterator[Crystal]:
    """Relax crystals with an engine; yields them in the order of completion, in the frame that the potential promises.

    Args:
        crystals: what to relax.
        settings: limits.
        chosen: the potential.
        engine: of that potential.
        limit: bytes that an evaluation may take; None on a GPU.
    """
    from miad.relax.inflight import Flight
    from miad.relax.memory import Budget

    sound = []
    for crystal in crystals:
        reason = crystal.failure or why_not(crystal, settings, chosen)
        if reason:
            yield crystal.failed(STEP, reason)
        else:
            sound.append(crystal)
    relaxations = chosen.relaxations(settings, engine.device)
    flight = Flight(relaxations, engine, settings, Budget(engine.device, limit))
    for crystal in flight.run(crystal.replace(calculator=chosen.label) for crystal in sound):
        if not crystal.failure:
            crystal = correct(crystal.replace(energy_frame=chosen.native_frame), chosen.energy_frame, STEP)
        yield crystal


def why_not(crystal: Crystal, settings: Relax, chosen: Potential) -> str | None:
    """Why a crystal cannot be relaxed at all, or None."""
    from pymatgen.core import Element

    numbers = crystal.atomic_numbers
    if len(numbers) == 0:
        return "it has no atoms"
    if not (np.isfinite(crystal.lattice).all() and np.isfinite(crystal.frac_coords).all()):
        return "its lattice or coordinates are not numbers"
    unknown = sorted({int(z) for z in numbers} - chosen.elements)
    if unknown:
        names = [Element.from_Z(z).symbol if 1 <= z <= 118 else f"Z={z}" for z in unknown]
        return f"the potential does not know {', '.join(names)}"
    if crystal.volume < max(MIN_VOLUME, MIN_FILL * np.prod(np.linalg.norm(crystal.lattice, axis=1))):
        return f"its cell is flat ({crystal.volume:.3g} Å³)"
    distance = closest_distance(crystal.lattice, crystal.frac_coords)
    if distance < settings.min_distance:
        return f"atoms closer than {settings.min_distance} Å at the start ({distance:.3f} Å)"
    if distance > chosen.reach:
        return f"no atom has a neighbour within {chosen.reach:g} Å"
    return None
