"""Conditions on samples: what section sample.constraints means for each sample, and for the batch of the sampler.

Every sample has a target; several targets (systems, compositions) are dealt out in turn. A target is exact: it becomes
slots that the atoms fill one by one, which is how the last step settles on species (`miad.model.diffusion.restricted`).
"""

import logging
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from miad.config.sections import Constraints, Formula
from miad.core.crystal import MIRAGE, NUM_SPECIES, Crystal
from miad.core.errors import MiadError
from miad.sample.elements import GROUPS, KNOWN, number, numbers, symbols
from miad.sample.formula import counts_of

if TYPE_CHECKING:
    import torch

    from miad.model.process import Restriction

log = logging.getLogger("miad")
KEY = "sample.constraints"


@dataclass(frozen=True)
class Target:
    """What a sample has to be.

    Attributes:
        required: atomic numbers, one atom of each, the same one several times if there are several atoms of it.
        allowed: atomic numbers that the other atoms may have.
        least, most: numbers of real atoms.
        template: the crystal of which a part is kept.
    """

    required: tuple[int, ...]
    allowed: frozenset[int]
    least: int
    most: int
    template: Crystal | None = None


def targets(constraints: Constraints, width: int, known: Collection[int] | None = None) -> list[Target]:
    """The targets that samples are dealt out to, one after the other; none if there are no constraints.

    Args:
        constraints: the section.
        width: places for atoms of a sample.
        known: elements of the training set; None: unknown.

    Raises:
        MiadError: an unknown name, or a contradiction; names the keys.
    """
    if constraints == Constraints():
        return []
    if constraints.systems and constraints.compositions:
        raise MiadError(f"{KEY} has systems and compositions. Give one of them.")
    if constraints.guidance != Constraints.guidance and not constraints.compositions:
        raise MiadError(f"{KEY}.guidance has no effect without compositions. Leave it out, or give them.")
    found = [_sized(one, constraints, width) for one in _chemistries(constraints, width, known)]
    if (most := constraints.num_atoms.max) and most > width:
        log.warning(
            "%s.num_atoms.max is %d; the model has %d places for atoms, so no sample has more", KEY, most, width
        )
    if constraints.template is not None:
        crystal = _template(constraints, width)
        found = [_on_template(one, crystal, constraints) for one in found]
    return found


def _chemistries(constraints: Constraints, width: int, known: Collection[int] | None) -> Iterator[Target]:
    """Targets by their elements; the largest number of atoms is still open (0)."""
    rules, key = constraints.elements, f"{KEY}.elements"
    must = {number(name, f"{key}.must") for name in rules.must}
    never = numbers(rules.never, f"{key}.never")
    named = {number(name, f"{key}.only", GROUPS) for name in rules.only if name not in GROUPS}
    for others, word in ((named, "only"), (must, "must")):
        if both := others & never:
            raise MiadError(f"{key}: {symbols(both)} stands in {word} and, itself or by a group, in never. Decide.")
    trained = frozenset(KNOWN if known is None else known)
    allowed = (numbers(rules.only, f"{key}.only") if rules.only else set(KNOWN)) - never
    if absent := must - allowed:
        raise MiadError(f"{key}: {symbols(absent)} stands in must, but not in only. Add it to only.")
    _check_trained(named | must, trained, key)
    if not allowed & trained:
        raise MiadError(f"{key} leaves no element of the training set. Allow some.")
    if not (constraints.systems or constraints.compositions):
        yield Target(tuple(sorted(must)), trained & allowed, 1, 0)
    for system in constraints.systems:
        own = {number(name, f"{KEY}.systems") for name in system}
        _check_within(own, allowed, must, f"{KEY}.systems: {'-'.join(system)}")
        _check_trained(own, trained, f"{KEY}.systems")
        yield Target(tuple(sorted(must if constraints.subsystems else own)), frozenset(own), 1, 0)
    for formula in constraints.compositions:
        counts = atoms_of(formula)
        _check_within(set(counts), allowed, must, f"{KEY}.compositions: {formula.formula}")
        _check_trained(counts, trained, f"{KEY}.compositions")
        for units in formula.formula_units:
            _check_room(set(counts), units * counts.total(), constraints, width)  # before so many are listed
            atoms = tuple(sorted(units * list(counts.elements())))
            yield Target(atoms, frozenset(counts), len(atoms), len(atoms))


def atoms_of(formula: Formula) -> Counter[int]:
    """{atomic number: atoms} of one formula unit; a MiadError if it is no formula of whole numbers."""
    key = f"{KEY}.compositions"
    return Counter({number(symbol, key): amount for symbol, amount in counts_of(formula.formula, key).items()})


def _check_within(own: set[int], allowed: set[int], must: set[int], where: str) -> None:
    if odd := own - allowed:
        raise MiadError(f"{where} needs {symbols(odd)}, which {KEY}.elements does not allow. Take it out of one.")
    if lost := must - own:
        raise MiadError(f"{where} has no {symbols(lost)}, which stands in {KEY}.elements.must. Take it out of one.")


def _check_trained(own: Collection[int], trained: Collection[int], where: str) -> None:
    if odd := set(own) - set(trained):
        raise MiadError(
            f"{where}: {symbols(odd)} occurs in no crystal of the training set, so that the model cannot know of it."
            " Leave it out, or train on crystals that have it."
        )


def _sized(target: Target, constraints: Constraints, width: int) -> Target:
    """The target within the numbers of atoms that are set, and that there are places for."""
    low, high, key = constraints.num_atoms.min, constraints.num_atoms.max or width, f"{KEY}.num_atoms"
    needed, size = len(target.required), target.most or width
    if low > width:
        raise MiadError(f"{key}.min is {low}, but the model has {width} places for atoms. Lower it.")
    if low > high:
        raise MiadError(f"{key}.min is {low}, but {key}.max is {high}. Lower one, or raise the other.")
    _check_room(target.required, needed, constraints, width)
    if low > size:
        raise MiadError(f"{KEY}: a composition has {size} atoms, fewer than num_atoms.min {low}. Lower that.")
    least, most = max(low, target.least), min(high, width, size)
    return replace(target, least=max(least, needed), most=most)


def _check_room(species: Collection[int], needed: int, constraints: Constraints, width: int) -> None:
    """Refuse samples that need more atoms than there are places for, or than num_atoms allows."""
    low, high = constraints.num_atoms.min, constraints.num_atoms.max or width
    if needed > min(high, width):
        raise MiadError(
            f"{KEY}: {symbols(species)} need at least {needed} atoms; the model has {width} places, and num_atoms"
            f" allows {low} to {high}. Use fewer formula units or elements, or a model of larger cells."
        )


def _template(constraints: Constraints, width: int) -> Crystal:
    """The crystal of the template's file."""
    from miad.io.any_format import read_any

    given, key = constraints.template, f"{KEY}.template"
    assert given is not None
    if not Path(given.file).exists():
        raise MiadError(f"{key}.file: there is no {given.file}. Correct the path.")
    crystals = read_any(Path(given.file), "template")
    if len(crystals) != 1:
        raise MiadError(f"{key}.file {given.file} holds {len(crystals)} crystals. Give a file of one.")
    if crystals[0].failure:
        raise MiadError(f"{key}.file {given.file}: {crystals[0].failure.reason}. Give another file.")
    crystal = crystals[0]
    if crystal.num_atoms > width:
        raise MiadError(f"{key}: {given.file} has {crystal.num_atoms} atoms, the model {width} places.")
    if max(given.free) >= crystal.num_atoms:
        raise MiadError(f"{key}.free has site {max(given.free)}; the last of {given.file} is {crystal.num_atoms - 1}.")
    return crystal


def _on_template(target: Target, crystal: Crystal, constraints: Constraints) -> Target:
    """The target on the sites of the template, all of which are real atoms."""
    assert constraints.template is not None
    size, key, free = crystal.num_atoms, f"{KEY}.template", set(constraints.template.free)
    if not target.least <= size <= target.most:
        raise MiadError(f"{key} has {size} atoms; the other constraints ask for {target.least} to {target.most}.")
    kept = Counter(z for site, z in enumerate(crystal.atomic_numbers.tolist()) if site not in free)
    if odd := set(kept) - target.allowed:
        raise MiadError(f"{key} keeps {symbols(odd)}, which the other constraints do not allow. Mark the sites free.")
    required = Counter(target.required)
    if (missing := (required - kept).total()) > len(free):
        raise MiadError(
            f"{key} has {len(free)} free sites; the other constraints need {missing}. Mark more sites free."
        )
    if required.total() == size and kept - required:
        raise MiadError(f"{key} keeps more {symbols(kept - required)} than the composition has. Mark the sites free.")
    return replace(target, least=size, most=size, template=crystal)


def classes(target: Target, width: int) -> "tuple[torch.Tensor, torch.Tensor]":
    """Classes of each place and of each slot, (width, n_species), true where a class is possible."""
    import torch

    elements, anything = torch.zeros(2, NUM_SPECIES, dtype=torch.bool)
    elements[sorted(target.allowed)] = True
    anything[[MIRAGE, *target.allowed, *target.required]] = True
    slots = torch.zeros(width, NUM_SPECIES, dtype=torch.bool)  # (n_slots, n_species)
    needed = len(target.required)
    slots[range(needed), list(target.required)] = True
    slots[needed : target.most, elements] = True
    slots[target.least :, MIRAGE] = True
    return anything.repeat(width, 1), slots


def elements(dealt: Sequence[Target], known: Collection[int] | None) -> "torch.Tensor":
    """The elements that samples may have, as a network of `allowed_input` is told, (n_crystals, n_species).

    All, where a target leaves none of the `known` elements of the training set out.
    """
    import torch

    allowed = torch.zeros(len(dealt), NUM_SPECIES, dtype=torch.bool)
    for row, target in zip(allowed, dealt, strict=True):
        own = {*target.allowed, *target.required}
        row[sorted(own) if set(KNOWN if known is None else known) - own else slice(None)] = True
    return allowed


def restriction(
    dealt: Sequence[Target],
    width: int,
    constraints: Constraints,
    is_atom: "torch.Tensor | None",
    device: "torch.device | str",
) -> "Restriction":
    """The conditions of a batch of samples, of one target each; `is_atom` as the process takes it.

    A composition says what the atoms are, wherever they are: if it guides, their species are known from the beginning.
    Held without guidance they are predicted worse.
    """
    import torch

    from miad.model.diffusion.restricted import assign
    from miad.model.process import Restriction

    both = [classes(target, width) for target in dealt]
    allowed = torch.stack([places for places, _ in both])  # (n_crystals, n_atoms, n_species)
    slots = torch.stack([slots for _, slots in both])  # (n_crystals, n_slots, n_species)
    if is_atom is not None:  # without mirage infusion every atom is real
        counts = is_atom.sum(1).tolist()
        fixed = [classes(replace(one, least=n, most=n), width)[1] for one, n in zip(dealt, counts, strict=True)]
        slots = torch.stack(fixed)
        allowed[..., MIRAGE] &= ~is_atom.cpu()
        allowed[..., 1:] &= is_atom.cpu()[..., None]
    if constraints.template is None:
        found = Restriction(allowed.to(device), slots.to(device))
    else:
        found = _with_template(dealt, allowed, slots, constraints, device)
    if not constraints.is_guided:
        return found
    known = assign(torch.zeros(found.allowed.shape).masked_fill(~found.allowed.cpu(), -torch.inf), slots)
    return replace(found, species=known.to(device), guidance=constraints.guidance)


def _with_template(
    dealt: Sequence[Target],
    allowed: "torch.Tensor",
    slots: "torch.Tensor",
    constraints: Constraints,
    device: "torch.device | str",
) -> "Restriction":
    """The conditions of a batch in which the sites of the template that are not free stay as they are."""
    import torch

    from miad.model.process import Restriction, State

    crystal, given = dealt[0].template, constraints.template
    assert crystal is not None and given is not None
    num, size, width = len(dealt), crystal.num_atoms, allowed.shape[1]
    places, species = torch.zeros(width, 3), torch.zeros(width, dtype=torch.long)
    places[:size] = torch.tensor(crystal.frac_coords)
    species[:size] = torch.tensor(crystal.atomic_numbers)
    is_known = torch.tensor([site < size and site not in given.free for site in range(width)])
    for site in range(width):
        if is_known[site] or site >= size:
            allowed[:, site] = torch.arange(NUM_SPECIES) == species[site]
        else:
            allowed[:, site, MIRAGE] = False
    lattice = torch.tensor(crystal.lattice, dtype=torch.float32)
    parts = (lattice.repeat(num, 1, 1), places.repeat(num, 1, 1), species.repeat(num, 1))
    known = State(*(part.to(device) for part in parts))
    return Restriction(allowed.to(device), slots.to(device), known, is_known.repeat(num, 1).to(device), given.keep_cell)
