"""Relaxations in flight: a batch that a finished crystal leaves and a waiting one enters.

The result of a crystal follows from its own numbers alone, whichever crystals are beside it; one that fails leaves with
a reason and costs the others nothing but the repetition of an evaluation. On a GPU sums over edges are made by atomic
additions, in the order in which they happen: there a second relaxation differs by round-off.
"""

import itertools
import logging
import time
from collections import deque
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from miad.config.sections import Relax
from miad.core.cells import compact
from miad.core.crystal import Crystal
from miad.core.files import is_out_of_space
from miad.relax.geometry import Geometry, geometry_of
from miad.relax.memory import Budget
from miad.relax.optimisers.batch import Outcome, Relaxations
from miad.relax.potentials.engine import Engine
from miad.relax.potentials.potential import FAILED, NO_NUMBER

log = logging.getLogger("miad")
STEP = "relax"
FILL = 0.9  # of the memory, when crystals enter


class Flight:
    """A batch of relaxations by an optimiser that has no crystals yet."""

    def __init__(self, relaxations: Relaxations, engine: Engine, settings: Relax, budget: Budget) -> None:
        self.relaxations, self.engine, self.settings, self.budget = relaxations, engine, settings, budget
        self.crystals: list[Crystal] = []  # in the order of the relaxations
        self.loads: list[float] = []  # bytes, of their last evaluation
        self.seconds = np.zeros(0)  # spent on each
        self.load_per_atom = engine.bytes_per_atom  # of the crystals that wait, as those in flight are

    def run(self, crystals: Iterable[Crystal]) -> Iterator[Crystal]:
        """Relax crystals; yields them in the order of completion.

        Those that come out relaxed have energies, steps, displacement and volume change; the others a reason.
        """
        waiting = deque(crystals)
        while waiting or self.crystals:
            self._admit(waiting)
            yield from self._advance()

    def _admit(self, waiting: deque[Crystal]) -> None:
        """Take in as many crystals as will fit, at least one if there is none."""
        # Crystals mostly shrink, and then take more.
        room = FILL * self.budget.capacity - sum(self.loads)
        new: list[Crystal] = []
        while waiting and (
            (room := room - self.load_per_atom * waiting[0].num_atoms) >= 0 or not (self.crystals or new)
        ):
            new.append(waiting.popleft())
        if not new:
            return
        cells = [compact(crystal.lattice, crystal.frac_coords) for crystal in new]
        lattices, coords = zip(*cells, strict=True)
        numbers = [crystal.atomic_numbers for crystal in new]
        self.relaxations.add(geometry_of(list(lattices), list(coords), numbers, self.engine.device))
        self.crystals += new
        self.loads += [self.load_per_atom * crystal.num_atoms for crystal in new]
        self.seconds = np.concatenate([self.seconds, np.zeros(len(new))])

    def _advance(self) -> Iterator[Crystal]:
        """Evaluate all crystals and move them; yields those that leave."""
        start = time.monotonic()
        geometry = self.relaxations.geometry()
        loads, reasons = self._refresh(geometry)
        self.loads = loads.tolist()
        sound = [index for index in range(len(self.crystals)) if index not in reasons]
        self.load_per_atom = max(sum(self.loads[i] for i in sound) / max(int(geometry.sizes[sound].sum()), 1), 1.0)
        is_over = self.relaxations.update(*self._evaluate(geometry, sound, reasons))
        columns = is_over, self.relaxations.crystal["is_finite"], self.relaxations.volume_ratios
        table = torch.stack(columns).cpu().numpy()  # (3, n_crystals), fetched at once
        self.seconds += (time.monotonic() - start) * np.array(self.loads) / max(sum(self.loads), 1e-9)
        leaving = self._leaving(table, reasons)
        if not leaving:
            return
        stay = np.ones(len(self.crystals), dtype=bool)
        stay[list(leaving)] = False
        outcomes = self.relaxations.outcomes(list(leaving))
        finished = [_ended(self.crystals[i], leaving[i], outcome) for i, outcome in zip(leaving, outcomes, strict=True)]
        self._keep(stay)
        yield from finished

    def _refresh(self, geometry: Geometry) -> tuple[Tensor, dict[int, str]]:
        try:
            return self.engine.refresh(geometry)
        except (MemoryError, torch.OutOfMemoryError):
            log.info("out of memory between two evaluations: once more, with less held back")
        self.budget.overflowed(sum(self.loads))
        return self.engine.refresh(geometry)

    def _leaving(self, table: np.ndarray, reasons: dict[int, str]) -> dict[int, str | None]:
        """{index: reason, or None where it is relaxed} of the crystals that are over, in ascending order.

        Rows of the table, (3, n_crystals), are: over, finite, volume ratio; those with reasons were not evaluated.
        """
        largest, limit = self.settings.max_volume_ratio, self.settings.time_limit
        leaving: dict[int, str | None] = {}
        is_over, is_finite, ratio = table[0] > 0, table[1] > 0, table[2]
        is_late = self.seconds > limit
        has_exploded = ~((ratio > 1 / largest) & (ratio < largest))
        steps = self.relaxations.crystal["num_steps"]
        for index in np.flatnonzero(is_over | ~is_finite | is_late | has_exploded).tolist():
            after = f"after {int(steps[index])} steps"
            if index in reasons:
                leaving[index] = reasons[index]
            elif not is_finite[index]:
                leaving[index] = f"{NO_NUMBER} {after}"
            elif is_over[index]:
                leaving[index] = None
            elif has_exploded[index]:
                leaving[index] = f"its volume changed {ratio[index]:.3g}-fold {after}"
            else:
                leaving[index] = f"time limit of {limit:g} s {after}"
        return leaving

    def _keep(self, stay: np.ndarray) -> None:
        kept = torch.from_numpy(stay).to(self.engine.device)
        self.relaxations.select(kept)
        self.engine.select(kept)
        self.crystals = list(itertools.compress(self.crystals, stay))
        self.loads = list(itertools.compress(self.loads, stay))
        self.seconds = self.seconds[stay]

    def _evaluate(self, geometry: Geometry, sound: list[int], reasons: dict[int, str]) -> tuple[Tensor, Tensor, Tensor]:
        """Energies, forces and virials of all crystals, NaN where there are none; adds the reasons of those.

        A group of crystals that fails is halved until it is known which crystal it was.
        """
        number, full = len(self.crystals), geometry.lattices.new_full
        into = full((number,), torch.nan), full((len(geometry.owners), 3), torch.nan), full((number, 3, 3), torch.nan)
        pending = [[sound[i] for i in group] for group in self.budget.groups([self.loads[i] for i in sound])]
        while pending:
            group = pending.pop(0)
            chosen = torch.zeros(number, dtype=torch.bool, device=self.engine.device)
            chosen[group] = True
            load = sum(self.loads[i] for i in group)
            error = self._attempt(geometry, chosen, load, into)
            if error is None:
                continue
            if _is_memory(error):
                # Outside the handler of the error, which holds on to the tensors of the failed evaluation.
                self.budget.overflowed(load)
                log.info("out of memory with %d crystals: half as many from now on", len(group))
            if len(group) == 1:
                reasons[group[0]] = _reason(error)
            else:
                middle = len(group) // 2
                pending[:0] = [group[:middle], group[middle:]]
        return into

    def _attempt(self, geometry: Geometry, chosen: Tensor, load: float, into: tuple[Tensor, ...]) -> Exception | None:
        """Evaluate one group into its rows; returns the error, if there was one."""
        try:
            with self.budget.measuring(load):
                results = self.engine.evaluate(geometry, chosen)
            for whole, rows, part in zip(into, (chosen, chosen[geometry.owners], chosen), results, strict=True):
                whole[rows] = part
        except torch.AcceleratorError:
            raise  # the device itself is broken: nothing that follows would work
        except Exception as error:  # whatever a potential throws is the end of some crystal only
            if is_out_of_space(error):  # not the crystal's fault: the command line says what to do
                raise
            return error.with_traceback(None)
        return None


def _ended(crystal: Crystal, reason: str | None, outcome: Outcome) -> Crystal:
    """The crystal at the end of its relaxation."""
    if reason is not None:
        return crystal.failed(STEP, reason)
    lattice = crystal.lattice @ outcome.deformation.T  # the cell that it was relaxed in may have been another one
    frac_coords = np.linalg.solve(lattice.T, outcome.positions.T).T
    return crystal.replace(
        lattice=lattice,
        frac_coords=np.mod(np.mod(frac_coords, 1.0), 1.0),  # twice, because -1e-17 mod 1 is 1
        energy_per_atom=outcome.energy / crystal.num_atoms,
        initial_energy_per_atom=outcome.initial_energy / crystal.num_atoms,
        num_steps=outcome.num_steps,
        rms_displacement=outcome.rms_displacement,
        volume_change=outcome.volume_ratio - 1,
        converged=outcome.is_converged,
    )


def _is_memory(error: Exception) -> bool:
    # torch has a class of its own for a full GPU, and a plain RuntimeError for a full host.
    said = str(error).lower()
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "memory" in said or "alloc_failed" in said


def _reason(error: Exception) -> str:
    if _is_memory(error):
        return f"out of memory ({str(error)[:100]})"
    return f"{FAILED} ({type(error).__name__}: {str(error)[:100]})"
