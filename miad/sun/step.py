"""S.U.N.: which relaxed crystals are stable, unique and novel, counted over every attempted sample."""

import json
import logging
from collections import Counter
from pathlib import Path

from miad.config.sections import Protocol, Relax, Sun
from miad.core.crystal import Crystal, read_crystals, write_crystals
from miad.core.errors import MiadError
from miad.core.files import write_text
from miad.core.provenance import versions
from miad.hull.convex import ConvexHull, HullPoint, element_counts, energy_above, read_table
from miad.machine.progress import track
from miad.relax.potentials.register import settings_of
from miad.sun.judge import REASONS, Judged, count, is_broken, is_decoded, is_relaxed, judge, rates
from miad.sun.matching.groups import Rule, Verdicts, compare
from miad.sun.protocols import as_record

log = logging.getLogger("miad")
RELAXATION = ("fmax", "max_steps")  # eV/Å and moves: what a row says of how far its crystals were relaxed


def heights(crystals: list[Crystal], hull: ConvexHull, missing: str) -> list[HullPoint]:
    """The hull at the composition of each relaxed crystal.

    Raises:
        MiadError: `missing` is `stop` and the hull does not reach a relaxed crystal.
    """
    points = []
    for crystal in track(crystals, what="hull heights"):
        if not is_relaxed(crystal):
            points.append(HullPoint(None))
            continue
        point = hull.height(element_counts(crystal))
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
    """The protocols for which everything is at hand; the others are named in the log.

    Raises:
        MiadError: the headline protocol is not among them; says why.
    """
    odd = next((one for one in crystals if is_relaxed(one) and one.energy_frame != hull.table.energy_frame), None)
    kept = {}
    for name, protocol in settings.protocols.items():
        try:
            if protocol.frames == "must_match" and odd is not None:
                hull.check_frame(odd)
            if protocol.cells == "generated" and not generated:
                raise MiadError(f"protocol {name} compares as-generated cells; give them with --generated.")
            absent = sorted(set(protocol.novel_against) - splits)
            if absent:
                raise MiadError(f"protocol {name} needs the crystals of {', '.join(absent)}; give --{absent[0]}.")
        except MiadError as error:
            if name == settings.protocol:
                raise
            log.warning("protocol %s is left out: %s", name, error)
            continue
        kept[name] = protocol
    return kept


def verdicts_of(
    protocols: dict[str, Protocol],
    cells: dict[str, list[Crystal]],
    references: dict[str, list[Crystal]],
    workers: int | None,
    reduced_path: Path | None,
) -> dict[str, Verdicts]:
    """Duplicates and known crystals under each protocol; comparisons are shared where cells and references are."""
    shared: dict[tuple, list[str]] = {}
    for name, protocol in protocols.items():
        shared.setdefault((protocol.cells, protocol.novel_against), []).append(name)
    found = {}
    for (kind, splits), names in shared.items():
        known = [crystal for split in splits for crystal in references[split]]
        rules = {name: Rule(protocols[name].match, protocols[name].duplicates) for name in names}
        verdicts = compare(cells[kind], known, rules.values(), workers=workers, reduced_path=reduced_path)
        found.update({name: verdicts[rule] for name, rule in rules.items()})
    return found


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

    Raises:
        MiadError: ids that do not fit, energies of another frame than the hull, a protocol that cannot be applied.
    """
    crystals = _read_all(relaxed)
    convex = ConvexHull(read_table(hull))
    given = {split: path for split, path in (("train", train), ("val", val), ("test", test)) if path}
    protocols = applicable(settings, crystals, convex, bool(generated), set(given))
    points = heights(crystals, convex, settings.hull.missing)
    energies = [energy_above(crystal, point) for crystal, point in zip(crystals, points, strict=True)]
    cells = {"relaxed": [crystal for crystal in crystals if is_relaxed(crystal)]}
    if generated:
        cells["generated"] = _as_generated(crystals, _read_all(generated))
    references = {split: [one for one in read_crystals(path) if not is_broken(one)] for split, path in given.items()}
    found = verdicts_of(protocols, cells, references, settings.workers, reduced_path(train))
    judged = {key: judge(crystals, energies, found[key], protocol) for key, protocol in protocols.items()}
    write_crystals(ledger, (_learnt(one, point) for one, point in zip(judged[settings.protocol], points, strict=True)))
    write_text(verdicts, "".join(_verdict_line(index, judged, points[index]) for index in range(len(crystals))))
    record = summary(run, settings, convex, crystals, judged, protocols)
    record["relaxation"] = relaxed_with(relaxation) if relaxation else None
    write_text(row, json.dumps(record, indent=1) + "\n")


def summary(
    name: str,
    settings: Sun,
    hull: ConvexHull,
    crystals: list[Crystal],
    judged: dict[str, list[Judged]],
    protocols: dict[str, Protocol],
) -> dict:
    """What the table says of one run and calculator: counts, rates and terminal reasons under every protocol."""
    records = {}
    for key, ones in judged.items():
        counts = count(ones)
        ends = Counter(one.reason for one in ones)
        records[key] = {
            "choices": as_record(protocols[key]),
            "counts": counts,
            "rates": {rate: vars(value) for rate, value in rates(counts).items()},
            "reasons": {reason: ends[reason] for reason in REASONS},
        }
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


def relaxed_with(settings: Relax) -> dict[str, float]:
    """What a row says of the relaxation of its crystals.

    Raises:
        MiadError: the settings are of several calculators, each of which may have values of its own.
    """
    if len(settings.calculators) != 1:
        names = ", ".join(settings.calculators)
        raise MiadError(f"--relaxation has the settings of {names}. Name the one that relaxed in relax.calculators.")
    used = settings_of(settings, settings.calculators[0])
    return {key: getattr(used, key) for key in RELAXATION}


def reduced_path(train: Path) -> Path:
    """Where the reduced training cells are kept: beside the training crystals."""
    stem = train.name.removesuffix(".gz").removesuffix(".jsonl")
    return train.with_name(f"{stem}.reduced.jsonl.gz")


def _read_all(paths: list[Path]) -> list[Crystal]:
    """Crystals of all shards, in the order of the shards.

    Raises:
        MiadError: an id occurs in two of them.
    """
    origin: dict[str, Path] = {}
    crystals = []
    for path in paths:
        for crystal in read_crystals(path):
            if crystal.crystal_id in origin:
                raise MiadError(
                    f"the id {crystal.crystal_id} is both in {origin[crystal.crystal_id]} and in {path}. Ids must be"
                    " unique in a run; give each shard once."
                )
            origin[crystal.crystal_id] = path
            crystals.append(crystal)
    return crystals


def _as_generated(crystals: list[Crystal], generated: list[Crystal]) -> list[Crystal]:
    """The as-generated cells of the decoded samples, joined by id.

    Raises:
        MiadError: a relaxed crystal has no as-generated one.
    """
    by_id = {crystal.crystal_id: crystal for crystal in generated}
    absent = [crystal.crystal_id for crystal in crystals if crystal.crystal_id not in by_id]
    if absent:
        raise MiadError(f"{absent[0]} is among the relaxed crystals but not among the generated ones. Give all shards.")
    return [by_id[crystal.crystal_id] for crystal in crystals if is_decoded(crystal)]


def _learnt(one: Judged, point: HullPoint) -> Crystal:
    """The crystal with the headline verdicts; `None` where they could not be judged."""
    failure = one.crystal.failure
    crystal = one.crystal.replace(
        failure=None if failure and failure.step == "hull" else failure,  # another hull may have what one lacked
        e_above_hull=one.e_above_hull,
        is_unique=one.is_unique if one.is_compared else None,
        is_novel=one.is_novel if one.is_compared else None,
    )
    return crystal.failed("hull", point.problem) if point.problem else crystal


def _verdict_line(index: int, judged: dict[str, list[Judged]], point: HullPoint) -> str:
    ones = {name: records[index] for name, records in judged.items()}
    first = next(iter(ones.values()))
    record = {
        "crystal_id": first.crystal.crystal_id,
        "e_above_hull": first.e_above_hull,
        "decomposition": point.decomposition,
        "protocols": {
            name: {
                "reason": one.reason,
                "is_stable": one.is_stable,
                "is_metastable": one.is_metastable,
                "is_unique": one.is_unique if one.is_compared else None,
                "is_novel": one.is_novel if one.is_compared else None,
                "is_sun": one.is_sun,
                "is_msun": one.is_msun,
                "group": one.group,
                "known_as": one.known_as,
            }
            for name, one in ones.items()
        },
    }
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n"
