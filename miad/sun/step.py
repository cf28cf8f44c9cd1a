"""The sun step: stable, unique and novel crystals, counted over every attempted sample."""

import dataclasses
import logging
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from miad.config.sections import Protocol, Relax, Sun
from miad.core.crystal import Crystal, carry_energies, read_crystals, write_crystals
from miad.core.energy_frames import must_match
from miad.core.errors import MiadError
from miad.core.json_text import write_json
from miad.core.provenance import ARITHMETIC, arithmetic, versions
from miad.core.sound import is_broken, is_decoded, is_relaxed, sound
from miad.core.unreadable import Tally, of_crystals
from miad.hull.convex import ConvexHull, HullPoint, energy_above, read_table
from miad.machine.progress import track
from miad.relax.potentials.register import settings_of
from miad.sun.judge import count, judge, rates
from miad.sun.matching.groups import Matches, Rule, compare
from miad.sun.verdict import REASONS, SampleVerdicts, Verdict, write_verdicts

log = logging.getLogger("miad")
NOT_KNOWN = "do not count as known"  # fate of references that failed
RELAXATION = ("fmax", "max_steps")  # eV/Å and moves; settings of the relaxation that a row records


@dataclass(frozen=True)
class Judged:
    """The crystals of one run and calculator under every protocol.

    Attributes:
        ledger: every attempted sample, with the verdicts of the headline protocol.
        verdicts: the same samples under every protocol.
        row: their record for the table, as it stands in row.json.
    """

    ledger: list[Crystal]
    verdicts: list[SampleVerdicts]
    row: dict[str, Any]

    def write(self, *, ledger: Path, verdicts: Path, row: Path) -> None:
        """Write the three files."""
        write_crystals(ledger, self.ledger)
        write_verdicts(verdicts, self.verdicts)
        write_json(row, self.row)


def run(
    settings: Sun,
    *,
    relaxed: list[Path],
    train: Path,
    hull: Path,
    ledger: Path,
    verdicts: Path,
    row: Path,
    run: str,
    generated: list[Path] | None = None,
    val: Path | None = None,
    test: Path | None = None,
    relaxation: Relax | None = None,
    made_by: list[Path] | None = None,
) -> None:
    """Judge the crystals of one run and calculator under every protocol.

    Args:
        settings: section sun of config.yaml.
        relaxed: relaxed crystals, all shards of one run and calculator
        train: training crystals, against which novelty is judged; those that failed, in a ledger, do not count
        hull: the table that `miad hull` wrote
        ledger: crystals to write, every attempted sample, with the verdicts of the headline protocol
        verdicts: JSON lines to write, the verdicts of every protocol on each sample
        row: JSON to write, counts and rates of every protocol
        run: the name of the run in the table
        generated: the crystals before relaxation; protocols that compare as-generated cells need them
        val: validation crystals, for protocols that count them as known
        test: test crystals, likewise
        relaxation: JSON of the settings with which the crystals were relaxed, for the record; unknown if left out
        made_by: files of train and sample that say what computed the network; unknown if left out

    Raises:
        MiadError: ids that do not fit, energies of another frame than the hull, a protocol that cannot be applied.
    """
    splits = {split: path for split, path in (("train", train), ("val", val), ("test", test)) if path}
    before = as_generated(generated or [])
    judged = judge_run(settings, relaxed=relaxed, generated=before, splits=splits, hull=hull, name=run, made_by=made_by)
    known: dict[str, Any] = {"relaxation": None, "calculator_name": None}
    if relaxation and (before or not generated):  # crystals relaxed elsewhere do not tell their settings
        known = {"relaxation": relaxed_with(relaxation), "calculator_name": relaxation.calculators[0]}
    dataclasses.replace(judged, row=judged.row | known).write(ledger=ledger, verdicts=verdicts, row=row)


def judge_run(
    settings: Sun,
    *,
    relaxed: list[Path],
    generated: list[Crystal],
    splits: dict[str, Path],
    hull: Path,
    name: str,
    made_by: list[Path] | None = None,
) -> Judged:
    """The same as `run`, which writes it; of files it writes only the reduced training cells.

    Args:
        generated: the crystals before relaxation; none if they are not known.
        splits: {train, val or test: crystals of that split}; train is needed.
        made_by: as in `run`.
    """
    crystals = read_crystals(*relaxed)
    convex = ConvexHull(read_table(hull))
    protocols = applicable(settings, crystals, convex, bool(generated), set(splits))
    points = heights(crystals, convex, settings.hull.missing)
    energies = [energy_above(crystal, point) for crystal, point in zip(crystals, points, strict=True)]
    cells = {"relaxed": [crystal for crystal in crystals if is_relaxed(crystal)]}
    if generated:
        cells["generated"] = _as_generated(crystals, generated)
    references, unreadable = read_references(splits, settings.hull.dataset.bound.max_share)
    train = splits["train"]
    reduced_path = train.with_name(f"{train.name.removesuffix('.gz').removesuffix('.jsonl')}.reduced.jsonl.gz")
    matches = matches_of(protocols, cells, references, settings.workers, reduced_path)
    labels = {one.crystal_id: _label(one) for known in references.values() for one in known}
    verdicts = {key: judge(crystals, energies, matches[key], protocol, labels) for key, protocol in protocols.items()}
    samples, ledger = [], []
    for i, (crystal, energy, point) in enumerate(zip(crystals, energies, points, strict=True)):
        of_sample = {key: ones[i] for key, ones in verdicts.items()}
        rivals = None if energy is None else point.num_rivals
        samples.append(SampleVerdicts(crystal.crystal_id, energy, point.decomposition, of_sample, rivals))
        ledger.append(_learnt(crystal, point, energy, of_sample[settings.protocol]))
    records = {key: _record(protocols[key], count(crystals, energies, ones), ones) for key, ones in verdicts.items()}
    failed = of_crystals(name, crystals, "count as attempted", "read")
    row = _row(name, settings, convex, crystals, records)
    if computed_by := arithmetic(made_by or []):
        row["versions"] = row["versions"] | {ARITHMETIC: computed_by}
    row["unreadable"] = [str(one) for one in (failed, *unreadable) if one.kinds]
    return Judged(ledger, samples, row)


def read_references(splits: dict[str, Path], max_share: float) -> tuple[dict[str, list[Crystal]], list[Tally]]:
    """The crystals of each split that can be compared, and the tally of each.

    Raises:
        MiadError: more than `max_share` of a split cannot be read, or none of it can.
    """
    references, tallies = {}, []
    for split, path in splits.items():
        crystals = [sound(one, "read") for one in read_crystals(path)]
        tallies.append(of_crystals(path, crystals, NOT_KNOWN))
        tallies[-1].report(max_share, f"Correct --{split}.")
        references[split] = [one for one in crystals if not is_broken(one)]
    return references, tallies


def as_generated(paths: list[Path]) -> list[Crystal]:
    """Crystals before relaxation; none if they carry energies: relaxed elsewhere, their cells before are not known."""
    crystals = read_crystals(*paths)
    return [] if carry_energies(crystals) else crystals


def _record(protocol: Protocol, counts: dict[str, int | None], verdicts: list[Verdict]) -> dict[str, Any]:
    """Choices of one protocol, and counts, rates in percent and ends of all samples under it."""
    ends = Counter(one.reason for one in verdicts)
    return {
        "choices": dataclasses.asdict(protocol),
        "counts": counts,
        "rates": {name: vars(rate) for name, rate in rates(counts).items()},
        "reasons": {reason: ends[reason] for reason in REASONS},
    }


def _row(name: str, settings: Sun, hull: ConvexHull, crystals: list[Crystal], records: dict[str, dict]) -> dict:
    """Record of one run and calculator for the table: its origin, and its `records` under every protocol."""
    calculators = sorted({crystal.calculator for crystal in crystals if crystal.calculator})
    frames = sorted({crystal.energy_frame for crystal in crystals if crystal.energy_frame})
    return {
        "run": name,
        "calculator": ", ".join(calculators) or None,
        "hull": hull.table.name,
        "hull_source": hull.table.source,
        "hull_energy_frame": hull.table.energy_frame,
        "energy_frame": ", ".join(frames) or None,
        "seed": settings.seed,
        "headline": settings.protocol,
        "versions": versions(),
        "protocols": records,
    }


def heights(crystals: list[Crystal], hull: ConvexHull, missing: str) -> list[HullPoint]:
    """The hull at the composition of each relaxed crystal; a MiadError if `missing` is `stop` and it does not reach."""
    points = []
    for crystal in track(crystals, what="hull heights"):
        point = hull.height(crystal.element_counts) if is_relaxed(crystal) else HullPoint(None)
        if point.problem and missing == "stop":
            raise MiadError(
                f"{crystal.crystal_id}: the hull {hull.table.name} has {point.problem}. Add entries to hull.source, or"
                " set hull.missing: report in config.yaml."
            )
        points.append(point)
    return points


def applicable(
    settings: Sun, crystals: list[Crystal], hull: ConvexHull, generated: bool, splits: set[str]
) -> dict[str, Protocol]:
    """The protocols for which everything is at hand; others are named in the log, the headline one in a MiadError."""
    odd = next((one for one in crystals if is_relaxed(one) and one.energy_frame != hull.table.energy_frame), None)
    kept = {}
    for name, protocol in settings.protocols.items():
        try:
            if protocol.frames == "must_match" and odd is not None:
                must_match(odd.crystal_id, odd.energy_frame, hull.table.name, hull.table.energy_frame)
            if protocol.cells == "generated" and not generated:
                raise MiadError(
                    f"protocol {name} compares as-generated cells; give them with --generated (in Python: generated=)."
                )
            absent = sorted(set(protocol.novel_against) - splits)
            if absent:
                given = f"--{absent[0]} (in Python: {absent[0]}=)"
                raise MiadError(f"protocol {name} needs the crystals of {', '.join(absent)}; give {given}.")
        except MiadError as error:
            if name == settings.protocol:
                raise
            log.warning("protocol %s is left out: %s", name, error)
            continue
        kept[name] = protocol
    return kept


def _label(known: Crystal) -> str:
    """A known crystal to people: the id of its data base, if it has one, and ours: `mp-1234 (train-0-17)`."""
    return f"{known.source_id} ({known.crystal_id})" if known.source_id else known.crystal_id


def matches_of(
    protocols: dict[str, Protocol],
    cells: dict[str, list[Crystal]],
    references: dict[str, list[Crystal]],
    workers: int | None,
    reduced_path: Path,
) -> dict[str, Matches]:
    """Duplicates and known crystals under each protocol; comparisons are shared where cells and references are."""
    shared: dict[tuple, list[str]] = {}
    for name, protocol in protocols.items():
        shared.setdefault((protocol.cells, protocol.novel_against), []).append(name)
    found = {}
    for (kind, splits), names in shared.items():
        known = [crystal for split in splits for crystal in references[split]]
        rules = {name: Rule(protocols[name].match, protocols[name].duplicates) for name in names}
        matches = compare(cells[kind], known, rules.values(), workers=workers, reduced_path=reduced_path)
        found.update({name: matches[rule] for name, rule in rules.items()})
    return found


def relaxed_with(settings: Relax) -> dict[str, float]:
    """Settings of the relaxation that a row records; a MiadError if they are of several calculators."""
    if len(settings.calculators) != 1:
        names = ", ".join(settings.calculators)
        raise MiadError(f"--relaxation has the settings of {names}. Name the one that relaxed in relax.calculators.")
    used = settings_of(settings, settings.calculators[0])
    return {key: getattr(used, key) for key in RELAXATION}


def _as_generated(crystals: list[Crystal], generated: list[Crystal]) -> list[Crystal]:
    """The as-generated cells of the decoded samples, joined by id; a MiadError if one is missing."""
    by_id = {crystal.crystal_id: crystal for crystal in generated}
    absent = [crystal.crystal_id for crystal in crystals if crystal.crystal_id not in by_id]
    if absent:
        raise MiadError(f"{absent[0]} is among the relaxed crystals but not among the generated ones. Give all shards.")
    return [by_id[crystal.crystal_id] for crystal in crystals if is_decoded(crystal)]


def _learnt(crystal: Crystal, point: HullPoint, energy: float | None, verdict: Verdict) -> Crystal:
    """The crystal with the headline verdict; `None` where it could not be judged."""
    failure = crystal.failure
    learnt = crystal.replace(
        failure=None if failure and failure.step == "hull" else failure,  # another hull may have what one lacked
        e_above_hull=energy,
        is_unique=verdict.is_unique,
        is_novel=verdict.is_novel,
    )
    return learnt.failed("hull", point.problem) if point.problem else learnt
