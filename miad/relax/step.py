"""Relaxation of crystals by a machine-learned potential, in batches on a GPU and in one process per core on a CPU."""

import dataclasses
import logging
import math
import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from miad.config.sections import Relax
from miad.core.crystal import Crystal, carry_energies, read_crystals, write_crystals
from miad.core.energy_frames import correct
from miad.core.errors import MiadError
from miad.core.files import checksum
from miad.core.sound import sound
from miad.machine.cores import num_cores
from miad.machine.device import pick_device
from miad.machine.pool import HOPELESS, OUT_OF_MEMORY, Lost, as_completed
from miad.machine.progress import track
from miad.relax.geometry import problem_of
from miad.relax.journal import Journal
from miad.relax.potentials.potential import FAILED, NO_NUMBER, Potential
from miad.relax.potentials.register import blamed, potential, settings_of

if TYPE_CHECKING:
    from miad.relax.potentials.engine import Engine

log = logging.getLogger("miad")
STEP = "relax"
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
        relaxed: the relaxed crystals, to be written in the same order.
        calculator: name of the potential, see miad.relax.potentials.register.

    Raises:
        MiadError: the potential is unknown or cannot be loaded, its weights are absent, or it fails on everything.
    """
    # Crystals come and go, of all sizes: memory of a GPU that is mapped page by page loses nothing to gaps.
    os.environ.setdefault("PYTORCH_ALLOC_CONF", "expandable_segments:True")
    given = read_crystals(crystals)
    if carry_energies(given):
        log.info("all crystals carry energies; they are taken as relaxed")
        write_crystals(relaxed, given)
        return
    chosen = potential(calculator, settings.potentials.get(calculator))
    settings = settings_of(settings, calculator)
    with blamed(calculator):
        chosen.files()
        key = _key(settings, calculator, chosen, crystals)
    with Journal(relaxed, key) as journal:
        finished = journal.finished
        waiting = [crystal for crystal in given if crystal.crystal_id not in finished]
        if finished:
            log.info("continuing: %d of %d crystals were finished before", len(finished), len(given))
        is_proven = any(crystal.failure is None for crystal in finished.values())
        relaxing = relax_all(waiting, settings, calculator, is_proven)
        before = len(given) - len(waiting)
        for crystal in track(relaxing, what="crystals relaxed", total=len(waiting), before=before):
            if _is_fault(crystal):
                finished[crystal.crystal_id] = crystal  # not in the journal: a run that continues tries it again
            else:
                journal.add(crystal)
        _check(list(finished.values()), calculator, is_own="class" in settings.potentials.get(calculator, {}))
        write_crystals(relaxed, (finished[crystal.crystal_id] for crystal in given))


def _is_fault(crystal: Crystal) -> bool:
    """Whether the potential is to blame for the failure of a crystal."""
    return crystal.failure is not None and crystal.failure.reason.startswith((FAILED, NO_NUMBER))


def _check(crystals: list[Crystal], calculator: str, is_own: bool) -> None:
    """Refuse a potential that has relaxed nothing; one of ours may fail on some odd crystals."""
    faults = [crystal for crystal in crystals if _is_fault(crystal)]
    if len(faults) >= (1 if is_own else HOPELESS) and all(crystal.failure for crystal in crystals):
        raise MiadError(
            f"relax.potentials.{calculator}: it relaxed none of {len(crystals)} crystals and failed on {len(faults)} of"
            f" them, e.g. {faults[0].crystal_id}: {getattr(faults[0].failure, 'reason', '')}. Mend its class, or its"
            " entry in config.yaml."
        )


def _key(settings: Relax, calculator: str, chosen: Potential, crystals: Path) -> dict:
    """Everything that the relaxed crystals depend on."""
    options = {k: v for k, v in settings.potentials.get(calculator, {}).items() if k not in ("checkpoint", "checksum")}
    return {
        "calculator": chosen.label,
        "crystals": checksum(crystals, "sha256"),
        "options": options,
        **{name: value for name, value in dataclasses.asdict(settings).items() if name not in _IRRELEVANT},
    }


def relax_all(crystals: list[Crystal], settings: Relax, calculator: str, is_proven: bool = False) -> Iterator[Crystal]:
    """Relax crystals on the device of the settings; yields them in the order of completion.

    Args:
        is_proven: whether the potential has relaxed others before; those that it was killed by come first then.
    """
    yield from (crystal for crystal in crystals if crystal.failure)
    intact = [crystal for crystal in crystals if not crystal.failure]
    chosen, device = potential(calculator, settings.potentials.get(calculator)), pick_device(settings.device)
    if device != "cpu" and chosen.is_batched and intact:
        yield from in_flight(intact, settings, chosen, device)
        return
    results = as_completed(
        partial(make_relaxer, dataclasses.replace(settings, device=device), calculator),
        intact,
        # Processes that share a GPU only wait for each other.
        workers=settings.workers or (num_cores() if device == "cpu" else 1),
        # The worker's own clock is looked at between steps; this one is for steps that never end.
        seconds=2 * settings.time_limit + 60,
        memory=settings.memory * 1e9 if device == "cpu" else math.inf,
        is_proven=is_proven,
    )
    for result in results:
        if isinstance(result, Lost):
            log.warning("%s: %s", result.item.crystal_id, result.reason)
            blame = "" if result.reason.startswith(OUT_OF_MEMORY) else f"{FAILED}: "
            result = result.item.failed(STEP, blame + result.reason)
        yield result


def make_relaxer(settings: Relax, calculator: str) -> Callable[[Crystal], Crystal]:
    """The function that relaxes one crystal, for the process it is called in."""
    import torch

    torch.set_num_threads(1)
    chosen = potential(calculator, settings.potentials.get(calculator))
    limit = settings.memory * 1e9 - BASE_MEMORY
    with blamed(calculator):
        engine = chosen.engine(settings.device, limit)
    return lambda crystal: next(in_flight([crystal], settings, chosen, settings.device, limit, engine))


def in_flight(
    crystals: Iterable[Crystal],
    settings: Relax,
    chosen: Potential,
    device: str,
    limit: float | None = None,
    engine: "Engine | None" = None,
) -> Iterator[Crystal]:
    """Relax crystals in batches; yields them in the order of completion, in the frame that the potential promises.

    Args:
        crystals: to be relaxed; failed ones come back as they are.
        limit: bytes that an evaluation may take; None on a GPU, whose memory is filled.
        engine: of that potential and device; a new one if left out.
    """
    from miad.relax.inflight import Flight
    from miad.relax.memory import Budget

    budget = Budget(device, limit)
    engine = engine or chosen.engine(device, budget.capacity)
    accepted = []
    for crystal in crystals:
        if crystal.failure:
            yield crystal
        elif reason := problem_of(crystal, chosen, settings.min_distance):
            yield crystal.failed(STEP, reason)
        else:
            accepted.append(crystal)
    flight = Flight(chosen.relaxations(settings, device), engine, settings, budget)
    for crystal in flight.run(crystal.replace(calculator=chosen.label) for crystal in accepted):
        if not crystal.failure:
            crystal = correct(crystal.replace(energy_frame=chosen.native_frame), chosen.energy_frame, STEP)
        yield sound(crystal, STEP)
