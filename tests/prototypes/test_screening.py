"""Screening finds the volume of lowest energy, and its energy."""

import numpy as np
import pytest

from miad.core.crystal import Crystal
from miad.prototypes import screening
from miad.prototypes.properties import VOLUMES
from miad.prototypes.screening import FLAT, STEPS, decorated, screen
from miad.prototypes.templates import binary_templates

ROCK_SALT = next(one for one in binary_templates() if one.name == "AB_cF8_225_a_b")


@pytest.fixture
def asked(monkeypatch):
    """Energies by a law instead of a network; the volumes per atom that were asked for."""
    seen: list[float] = []

    def energies(crystals: list[Crystal], law) -> list[float]:
        volumes = [crystal.volume / crystal.num_atoms for crystal in crystals]
        seen.extend(volumes)
        return [law(volume) for volume in volumes]

    monkeypatch.setattr(screening, "energies", energies)
    return seen


@pytest.mark.parametrize("place", [0.6, 0.8, 1.0, 1.25, 1.7])
def test_a_solid_is_found_at_its_volume_wherever_that_is(asked, place):
    """Birch's second-order law with a bulk modulus of 100 GPa, its minimum at some share of the guessed volume."""
    crystal = decorated(ROCK_SALT, ("Mg", "O"))
    rest = place * crystal.volume / crystal.num_atoms

    def law(volume: float) -> float:
        return -5 + 9 / 8 * 0.624 * rest * ((rest / volume) ** (2 / 3) - 1) ** 2

    [found] = screen([crystal], law)
    assert found.energy == pytest.approx(-5, abs=0.002)
    assert found.crystal.volume / found.crystal.num_atoms == pytest.approx(rest, rel=0.02)
    assert len(asked) <= len(STEPS)


def test_a_good_guess_costs_three_points(asked):
    screen([decorated(ROCK_SALT, ("Mg", "O"))], lambda volume: volume**2 - 13 * volume)
    assert len(asked) <= 4


def test_a_wall_beside_the_minimum_does_not_deepen_it(asked):
    """A parabola through 500, -8 and -8.1 eV/atom would reach far below."""
    smallest = (decorated(ROCK_SALT, ("Mg", "O")).volume / 2) * 0.95
    [found] = screen(
        [decorated(ROCK_SALT, ("Mg", "O"))], lambda volume: 500.0 if volume < smallest else -8 - volume / 99
    )
    assert found.energy > -8.5


def test_the_guess_shrinks_with_the_difference_of_electronegativities():
    salt, alloy = decorated(ROCK_SALT, ("Mg", "O")), decorated(ROCK_SALT, ("Mg", "Cd"))
    assert salt.reduced_formula == "MgO" and salt.source_id == ROCK_SALT.name
    assert salt.volume < 0.85 * (VOLUMES["Mg"] + VOLUMES["O"])
    assert alloy.volume == pytest.approx(VOLUMES["Mg"] + VOLUMES["Cd"], rel=0.02)


@pytest.fixture(scope="module")
def network():
    from miad.relax.potentials.chgnet_network import Network

    return Network("cpu")


def test_energies_are_those_of_the_engine_that_relaxes():
    """Single points by CHGNet of several cells at once."""
    from miad.relax.potentials.chgnet_network import ChgnetEngine
    from tests.builders.potentials import single_points

    engine = ChgnetEngine("cpu", 1e9)
    cells = [decorated(one, ("Ca", "O")) for one in binary_templates()[:5]]
    found = screening.energies(cells, engine.network)
    expected = [one.energy / cell.num_atoms for one, cell in zip(single_points(engine, cells), cells, strict=True)]
    assert found == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("apart", [0.0, 1e-12, 1e-4, 0.1, 0.45])
def test_atoms_in_one_place_or_nearly_so_have_no_energy(network, apart):
    """Whether rounding leaves nothing or a trace of the distance (Å) changes nothing, nor does it for the others."""
    sound = decorated(ROCK_SALT, ("Ca", "O"))
    lattice = np.eye(3) * 20
    coords = np.arange(sound.num_atoms)[:, None] * np.array([0, 0, apart / 20])
    broken = sound.replace(frac_coords=coords, lattice=lattice)
    [alone] = screening.energies([sound], network)
    assert screening.energies([broken, sound, broken], network) == [FLAT, pytest.approx(alone, abs=1e-5), FLAT]
