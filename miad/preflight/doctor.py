"""Preflight: a check of all that a run needs, and of how to get what is missing."""

import itertools
import re
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from miad.config.resolve import default_config, read_config, resolve
from miad.config.sections import Dft, Hull, Train, Vasp, build
from miad.core.crystal import read_crystals
from miad.core.errors import MiadError
from miad.core.files import verify
from miad.dft.vasp import site
from miad.dft.vasp.flow import use_potcars
from miad.dft.vasp.store import open_store, store_settings
from miad.hull.sources import MATERIALS_PROJECT, MATERIALS_PROJECT_CHECKSUM, MATERIALS_PROJECT_URL
from miad.io.download import cache_path, is_url
from miad.preflight.checks import check_runs, own_files
from miad.relax.potentials.register import blamed, potential

OK, NOTE, MISSING = "ok", "note", "MISSING"
ROOT = Path(__file__).resolve().parents[2]
MIN_FREE_GIB = 5.0  # a run at laptop scale needs less than one


class Check(NamedTuple):
    """One finding."""

    name: str
    state: str  # `ok`, `note` (worth knowing, stops nothing) or `MISSING`
    message: str  # and, if something is missing, how to get it

    def __str__(self) -> str:
        return f"{self.state:<8} {self.name:<16} {self.message}"


def run(*, settings: Path | None = None, profile: Path | None = None) -> None:
    """Check the whole installation for the runs of a config; the exit code is 0 if nothing is missing, else 2.

    Args:
        settings: config file; if left out ./config.yaml or, where there is none, the one that came with miad
        profile: folder of the snakemake profile whose partitions are checked; if left out that is profiles/slurm, and
            Slurm need not answer
    """
    config = settings or Path(default_config())
    runs = resolve(read_config(config))
    found = []
    for check in itertools.chain([Check("config", OK, str(config.absolute()))], checks(runs, profile)):
        print(check, flush=True)
        found.append(check)
    missing = [check.name for check in found if check.state == MISSING]
    if missing:
        raise MiadError(f"{len(missing)} of {len(found)} checks found something missing: {', '.join(missing)}.")
    check_runs(runs)


def checks(runs: dict[str, dict], profile: Path | None) -> Iterator[Check]:
    """All checks, each run of the config in turn where they may differ; equal findings are told once."""
    yield python_version()
    yield package_versions()
    yield from dict.fromkeys(check for name, sections in runs.items() for check in of_run(name, sections))
    yield free_space("results", Path("results"))
    yield slurm_partitions(profile)


def of_run(name: str, sections: dict) -> Iterator[Check]:
    """All that one run needs."""
    from miad.model import register  # late: it imports torch

    for calculator in sections["relax"]["calculators"]:
        yield weights(calculator, sections["relax"]["potentials"].get(calculator))
    yield attempt("own files", lambda: named(sections, "dataset", "train", "metrics"))
    yield attempt("model", lambda: register.check(build(sections, Train)))
    yield gpus(sections)
    yield hull(build(sections, Hull))
    if not build(sections, Dft).enabled:
        yield Check("DFT", NOTE, "not enabled (dft.enabled in config.yaml); VASP is not looked for")
        return
    settings = build(sections, Vasp)
    if settings.replay is not None:
        yield attempt("replay", lambda: named(sections, "vasp"))
        return
    yield from vasp(settings, elements_of(name, sections))


def attempt(name: str, action: Callable[[], str]) -> Check:
    """The message that an action returns, or the error that says what is missing."""
    try:
        return Check(name, OK, action())
    except MiadError as error:
        return Check(name, MISSING, str(error))


def python_version() -> Check:
    """This Python, compared with those that the pinned packages are for."""
    found = ".".join(map(str, sys.version_info[:3]))
    if (3, 11) <= sys.version_info[:2] <= (3, 13):
        return Check("Python", OK, found)
    return Check("Python", MISSING, f"{found}; the pinned packages are for 3.11 to 3.13. Install one, then `make run`.")


def package_versions(pins: Path = ROOT / "envs" / "requirements.txt") -> Check:
    """The installed packages, compared with those that the results were tested with."""
    from packaging.requirements import Requirement

    if not pins.is_file():
        return Check("packages", NOTE, f"{pins} is not there, so that versions cannot be compared")
    lines = re.findall(r"^[A-Za-z].*?(?= *\\?$)", pins.read_text(encoding="utf-8"), re.MULTILINE)
    pinned = [one for one in map(Requirement, lines) if one.marker is None or one.marker.evaluate()]
    wanted = {one.name: str(one.specifier).removeprefix("==") for one in pinned}
    absent, others = [], []
    for package, version in wanted.items():
        try:
            # A build for a GPU or a CPU says so behind a plus sign.
            found = metadata.version(package).partition("+")[0]
        except metadata.PackageNotFoundError:
            absent.append(package)
            continue
        if found != version:
            others.append(f"{package} {found} instead of {version}")
    if absent:
        return Check(
            "packages", MISSING, f"{', '.join(absent)} not installed. Run `make run` once, or envs/install.sh python."
        )
    if others:
        return Check("packages", NOTE, f"other versions than tested: {', '.join(others)}")
    return Check("packages", OK, f"all {len(wanted)} as pinned")


def weights(calculator: str, options: dict | None = None) -> Check:
    """The weights of a potential; `options` is its entry in relax.potentials."""

    def label() -> str:
        with blamed(calculator):
            return str(potential(calculator, options).label)

    return attempt(f"weights {calculator}", label)


def named(sections: dict, *reading: str) -> str:
    """The user's own files that some sections name."""
    files = own_files(sections, reading).values()
    return ", ".join(path for paths in files for path in paths) or "none named in config.yaml"


def gpus(sections: dict) -> Check:
    """GPUs, and the sections that insist on one."""
    import torch

    insisting = [name for name in ("train", "sample", "relax") if sections[name].get("device") == "cuda"]
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count:
        return Check("GPU", OK, ", ".join(torch.cuda.get_device_name(index) for index in range(count)))
    if insisting:
        where = ", ".join(f"{name}.device" for name in insisting)
        return Check("GPU", MISSING, f"none here, but {where} is cuda. Set it to auto, or run where there is a GPU.")
    return Check("GPU", NOTE, "none on this machine; everything runs on its cores (on a cluster, look on a GPU node)")


def hull(settings: Hull) -> Check:
    """The reference energies and their checksum."""
    source, checksum = settings.source, settings.checksum
    if source == "dataset":
        return Check("hull", OK, "made of the data set's own energies")
    if source == MATERIALS_PROJECT:
        source, checksum = MATERIALS_PROJECT_URL, MATERIALS_PROJECT_CHECKSUM
    path = cache_path(source) if is_url(source) else Path(source)
    if not path.is_file():
        if is_url(source):
            return Check("hull", NOTE, f"{source} will be downloaded to {path}; without network, put the file there")
        return Check("hull", MISSING, f"{path} does not exist. Correct hull.source in config.yaml.")
    if checksum is None:
        return Check("hull", NOTE, f"{path} has no checksum to compare with; give it as hull.checksum")

    def verified() -> str:
        verify(path, checksum, remedy="Delete it: it is downloaded again.")
        return f"{path}, {checksum}"

    return attempt("hull", verified)


def elements_of(name: str, sections: dict) -> tuple[list[str], str]:
    """Elements that DFT will meet, and their source: the queue, the data set, or all that the input sets know."""
    from pymatgen.core import Element
    from pymatgen.io.vasp.sets import MPRelaxSet

    for path in (Path(f"results/{name}/dft/queue.jsonl"), Path(f"results/{name}/dataset/train.jsonl.gz")):
        if path.is_file():
            numbers = {int(number) for crystal in read_crystals(path) for number in crystal.atomic_numbers}
            return sorted(Element.from_Z(number).symbol for number in numbers), str(path)
    return sorted(MPRelaxSet.CONFIG["POTCAR"]), "MPRelaxSet"


def vasp(settings: Vasp, elements: tuple[list[str], str]) -> Iterator[Check]:
    """The programs, the pseudopotentials of all elements, the scratch folder and the job store."""
    symbols, known_from = elements
    looked_at = {
        "vasp.command": (site.problem_of_command("command", settings.command), settings.command),
        "vasp.potcars": (site.problem_of_potcars(settings, symbols), f"{len(symbols)} elements of {known_from}"),
        "vasp.scratch": (
            site.problem_of_scratch(settings),
            settings.scratch or "none; calculates where the results are",
        ),
    }
    if settings.gamma_command is not None:
        looked_at["vasp.gamma_command"] = (site.problem_of_gamma(settings), settings.gamma_command)
    for name, (problem, message) in looked_at.items():
        yield Check(name, MISSING if problem else OK, problem or message)
    if looked_at["vasp.potcars"][0] is None:
        yield genuine_potcars(settings, symbols)
    scratch = site.scratch_folder(settings)
    if scratch is not None and looked_at["vasp.scratch"][0] is None:
        yield free_space("vasp.scratch", scratch)
    yield job_store(settings)


def genuine_potcars(settings: Vasp, symbols: list[str]) -> Check:
    """The pseudopotentials, compared with those of VASP's version by pymatgen's fingerprints."""
    from pymatgen.io.vasp.inputs import PotcarSingle

    use_potcars(settings)
    strange, broken = [], []
    for element in symbols:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            symbol = site.potcar_symbol(settings, element)
            try:
                single = PotcarSingle.from_symbol_and_functional(symbol, settings.functional)
                if not single.is_valid:
                    strange.append(single.symbol)
            except Exception:  # pymatgen fails on broken files in as many ways as files can be broken
                broken.append(symbol)
    if broken:
        place = site.potcar_folder(settings)
        message = f"{', '.join(broken)} in {place} cannot be read. Copy them again from VASP's archive."
        return Check("POTCAR contents", MISSING, message)
    if not strange:
        return Check("POTCAR contents", OK, f"{len(symbols)} as distributed, {settings.functional}")
    few = ", ".join(strange[:8]) + (", …" if len(strange) > 8 else "")
    return Check("POTCAR contents", NOTE, f"not known to pymatgen as VASP's own: {few}; their energies are not DFT's")


def job_store(settings: Vasp) -> Check:
    """The job store of the config, which has to answer."""

    def answering() -> str:
        if settings.job_store is None:
            return "one JSON file per crystal"
        with tempfile.TemporaryDirectory() as folder:
            open_store(settings, Path(folder) / "store.json").close()
        return str(store_settings(settings.job_store).get("docs_store", {}).get("type"))

    return attempt("vasp.job_store", answering)


def free_space(name: str, folder: Path) -> Check:
    """Free space where a folder is or will be."""
    place = next(one for one in (folder.absolute(), *folder.absolute().parents) if one.exists())
    free = shutil.disk_usage(place).free / 2**30
    state = OK if free >= MIN_FREE_GIB else MISSING
    remedy = "" if state == OK else f"; at least {MIN_FREE_GIB:g} GiB are needed. Make room, or work elsewhere."
    return Check(f"space {name}", state, f"{free:.0f} GiB free at {place}{remedy}")


def slurm_partitions(profile: Path | None) -> Check:
    """The partitions that the profile names; Slurm has to answer only where a profile is asked for.

    A machine may have Slurm's client programs and no cluster, and runs at laptop scale need neither.
    """
    import yte

    path = (profile or ROOT / "profiles" / "slurm") / "config.yaml"
    if profile and not path.is_file():
        return Check("Slurm", MISSING, f"{path} does not exist. Give --profile the folder of a snakemake profile.")
    if shutil.which("sinfo") is None:
        return Check("Slurm", NOTE, "no sinfo here; only `snakemake --profile slurm` needs it")
    if not path.is_file():
        return Check("Slurm", NOTE, f"{path} does not exist; no partitions to check")
    try:
        listed = subprocess.run(["sinfo", "-h", "-o", "%R"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        said = (getattr(error, "stderr", None) or str(error)).strip()
        if profile is None:
            return Check("Slurm", NOTE, f"sinfo fails ({said}); only `snakemake --profile slurm` needs it")
        return Check("Slurm", MISSING, f"sinfo fails ({said}). Ask whoever runs the cluster.")
    wanted = partitions_named(yte.process_yaml(path.read_text(encoding="utf-8")))
    absent = sorted(wanted - set(listed.stdout.split()))
    if absent:
        there = ", ".join(sorted(set(listed.stdout.split()))) or "none"
        return Check("Slurm", MISSING, f"no partition {', '.join(absent)}; there are {there}. Edit {path}.")
    return Check("Slurm", OK, f"partitions {', '.join(sorted(wanted))}")


def partitions_named(content: Any) -> set[str]:
    """All values of `slurm_partition` in a profile."""
    if not isinstance(content, dict):
        return set()
    own = {str(content["slurm_partition"])} if "slurm_partition" in content else set()
    return own.union(*(partitions_named(value) for value in content.values()))
