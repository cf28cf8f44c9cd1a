"""Relaxations in flight: what becomes of a crystal does not depend on its neighbours in the batch."""

import dataclasses
import errno

import numpy as np
import pytest
import torch

from miad.config.sections import Relax
from miad.core.crystal import Crystal
from miad.relax.inflight import FILL, Flight
from miad.relax.memory import Budget
from miad.relax.optimisers.fire import Fire
from miad.relax.potentials.register import potential
from miad.relax.step import in_flight
from tests.builders.potentials import Atoms, Evaluation, ListEngine
from tests.builders.relaxation import SETTINGS, rocksalt

PER_ATOM = 100.0  # bytes that the toy engine counts for an atom


def fly(crystals, evaluate, settings: Relax = SETTINGS, limit: float = 1e6) -> dict[str, Crystal]:
    """Crystals after a flight with a function that evaluates a list of them, by id."""
    relaxations = Fire(fmax=settings.fmax, max_steps=settings.max_steps, device="cpu")
    engine = ListEngine(evaluate, "cpu", PER_ATOM)
    flight = Flight(relaxations, engine, settings, Budget("cpu", limit))
    return {crystal.crystal_id: crystal for crystal in flight.run(crystals)}


def spring(stiffness: float, equilibrium: float):
    """A potential that wants a volume per crystal."""

    def of(atoms: Atoms) -> Evaluation:
        excess = abs(np.linalg.det(atoms.lattice)) - equilibrium
        virial = -2 * stiffness * excess * (excess + equilibrium) * np.eye(3)
        return Evaluation(stiffness * excess**2, np.zeros((len(atoms.atomic_numbers), 3)), virial)

    return lambda batch: [of(atoms) for atoms in batch]


def raising(error: Exception, where=lambda batch: True):
    """A potential that throws if `where(batch)`."""

    def evaluate(batch):
        if where(batch):
            raise error
        return spring(1e-3, 40.0)(batch)

    return evaluate


def test_not_converged_keeps_its_energy():
    settings = dataclasses.replace(SETTINGS, max_steps=2)
    crystal = fly([rocksalt("a", 6.5)], spring(1e-3, 40.0), settings)["a"]
    assert crystal.failure is None and crystal.converged is False
    assert crystal.num_steps == 2 and crystal.energy_per_atom is not None


@pytest.mark.parametrize("volume", [5.0, 700.0])
def test_exploding_and_collapsing_volume_fails(volume):
    assert "volume changed" in fly([rocksalt("a", 5.9)], spring(1e-2, volume))["a"].failure.reason


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MemoryError("many angles"), "out of memory"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"), "out of memory"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"), "out of memory"),
        (KeyError("Xx"), "the potential failed (KeyError"),
    ],
)
def test_what_a_potential_throws_becomes_a_reason(error, reason):
    assert reason in fly([rocksalt("a", 5.9)], raising(error))["a"].failure.reason


def test_a_broken_device_ends_the_run():
    with pytest.raises(torch.AcceleratorError):
        fly([rocksalt("a", 5.9)], raising(torch.AcceleratorError("device-side assert triggered")))


def test_a_full_disk_is_not_the_crystals_fault():
    with pytest.raises(OSError, match="No space left"):
        fly([rocksalt("a", 5.9)], raising(OSError(errno.ENOSPC, "No space left on device")))


def test_nan_energy_fails():
    assert "no number after 0 steps" in fly([rocksalt("a", 5.9)], spring(np.nan, 40))["a"].failure.reason


def test_time_limit_fails():
    settings = dataclasses.replace(SETTINGS, time_limit=1e-9)
    assert "time limit" in fly([rocksalt("a", 5.9)], spring(1e-3, 40), settings)["a"].failure.reason


def test_the_one_that_throws_is_found_among_its_neighbours():
    bad = raising(KeyError("Xx"), lambda batch: any(13 in atoms.atomic_numbers for atoms in batch))
    crystals = [rocksalt(f"{i}", 5.5 + 0.1 * i, (13 if i == 3 else 11, 17)) for i in range(8)]
    treated = fly(crystals, bad)
    assert [name for name, crystal in treated.items() if crystal.failure] == ["3"]
    alone = fly(crystals[4:5], bad)["4"]
    assert treated["4"].num_steps == alone.num_steps > 0
    assert treated["4"].energy_per_atom == pytest.approx(alone.energy_per_atom, abs=1e-8)


def test_out_of_memory_halves_the_batch_and_goes_on():
    sizes = []

    def evaluate(batch):
        sizes.append(len(batch))
        if len(batch) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return spring(1e-3, 40.0)(batch)

    crystals = [rocksalt(f"{i}", 5.5 + 0.1 * i) for i in range(8)]
    treated = fly(crystals, evaluate)
    roomy = fly(crystals, spring(1e-3, 40.0))
    assert sizes[:4] == [8, 4, 2, 2]
    assert sum(size > 3 for size in sizes) <= 6  # grown back now and then, not every time
    assert len(treated) == 8 and not any(crystal.failure for crystal in treated.values())
    for name, crystal in treated.items():
        assert crystal.num_steps == roomy[name].num_steps
        assert crystal.energy_per_atom == pytest.approx(roomy[name].energy_per_atom, abs=1e-8)


def test_out_of_memory_between_evaluations_is_tried_again():
    class Tight(ListEngine):
        num_calls = 0

        def refresh(self, geometry):
            self.num_calls += 1
            if self.num_calls == 2:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return super().refresh(geometry)

    engine = Tight(spring(1e-3, 40.0), "cpu", PER_ATOM)
    flight = Flight(Fire(fmax=0.1, max_steps=9, device="cpu"), engine, SETTINGS, Budget("cpu", 1e6))
    assert not any(crystal.failure for crystal in flight.run([rocksalt("a", 5.5), rocksalt("b", 5.6)]))
    assert engine.num_calls > 2 and flight.budget.learnt < float("inf")


def test_a_crystal_that_never_fits_does_not_stop_the_others():
    def evaluate(batch):
        if any(len(atoms.atomic_numbers) > 2 for atoms in batch):
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return spring(1e-3, 40.0)(batch)

    monster = Crystal("monster", 9 * np.eye(3), np.random.default_rng(0).random((60, 3)), np.full(60, 11))
    treated = fly([rocksalt("a", 5.5), monster, rocksalt("b", 5.6), rocksalt("c", 5.7)], evaluate)
    assert "out of memory" in treated["monster"].failure.reason
    assert not any(treated[name].failure for name in "abc")


def test_the_waiting_enter_when_others_leave():
    together = []

    def evaluate(batch):
        together.append(len(batch))
        return spring(1e-3, 40.0)(batch)

    crystals = [rocksalt(f"{i}", 5.5 + 0.1 * i) for i in range(9)]
    treated = fly(crystals, evaluate, limit=4 * 2 * PER_ATOM / FILL + 1)  # room for four
    assert max(together) == 4 and len(treated) == 9
    assert sum(together) == sum(crystal.num_steps + 1 for crystal in treated.values())
    # One that finishes is replaced at once: the batch is full until nobody waits any more.
    assert together[1 : together.index(4) + 5].count(4) >= 4


RANDOM = np.random.default_rng(3)
PEROVSKITE = np.array([[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
# Of different sizes and numbers of steps; two of them fail on the way.
MIXTURE = [
    rocksalt("salt", 5.9),
    Crystal("shaken", 4.0 * np.eye(3), PEROVSKITE + 0.02 * RANDOM.standard_normal((5, 3)), np.array([38, 22, 8, 8, 8])),
    rocksalt("lonely", 80.0),
    Crystal("metal", 2.4 * np.eye(3) + 0.1, np.zeros((1, 3)), np.array([29])),
    rocksalt("collapsing", 10.5),
    Crystal("skewed", np.array([[4.4, 0, 0], [44.0, 4.4, 0], [-4.4, 44.0, 4.4]]), PEROVSKITE[:2], np.array([55, 17])),
]


def with_chgnet(crystals: list[Crystal], limit: float) -> dict[str, Crystal]:
    """Crystals after a flight with CHGNet, by id."""
    torch.set_num_threads(1)
    chosen = potential("chgnet")
    engine = chosen.engine("cpu", 1e9)
    flight = Flight(chosen.relaxations(SETTINGS, "cpu"), engine, SETTINGS, Budget("cpu", limit))
    return {crystal.crystal_id: crystal for crystal in flight.run(crystals)}


@pytest.fixture(scope="module")
def alone() -> dict[str, Crystal]:
    """Each crystal of the mixture in a flight of its own."""
    return {crystal.crystal_id: with_chgnet([crystal], 1e9)[crystal.crystal_id] for crystal in MIXTURE}


@pytest.mark.parametrize(("order", "limit"), [([5, 3, 1, 0, 2, 4], 4e9), ([1, 5, 4, 2, 0, 3], 8e7)])
def test_chgnet_in_any_batch_is_chgnet_alone(alone, order, limit):
    batch = with_chgnet([MIXTURE[i] for i in order], limit)
    assert {name for name, crystal in alone.items() if crystal.failure} == {"lonely", "collapsing"}
    for name, by_itself in alone.items():
        beside = batch[name]
        assert beside.num_steps == by_itself.num_steps
        if by_itself.failure:
            assert beside.failure == by_itself.failure
            continue
        assert beside.energy_per_atom == pytest.approx(by_itself.energy_per_atom, abs=1e-5)
        # Soft directions multiply the round-off of single precision.
        np.testing.assert_allclose(beside.lattice, by_itself.lattice, atol=1e-3)
        apart = beside.frac_coords - by_itself.frac_coords
        assert np.abs((apart - np.round(apart)) @ by_itself.lattice).max() < 1e-3


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_relaxes_to_the_same(alone):
    chosen = potential("chgnet")
    batch = {crystal.crystal_id: crystal for crystal in in_flight(MIXTURE, SETTINGS, chosen, "cuda")}
    for name, on_cpu in alone.items():
        assert bool(batch[name].failure) == bool(on_cpu.failure)
        if not on_cpu.failure:
            assert batch[name].energy_per_atom == pytest.approx(on_cpu.energy_per_atom, abs=1e-5)
            assert abs(batch[name].num_steps - on_cpu.num_steps) <= 1
