"""The three stages of a calculation as jobs of jobflow, and the options of custodian for each."""

import hashlib
import os
import uuid
from typing import TYPE_CHECKING, Any

from miad.config.sections import Vasp
from miad.core.crystal import Crystal
from miad.core.json_text import as_json
from miad.dft.vasp.site import scratch_folder

if TYPE_CHECKING:
    from atomate2.vasp.flows.mp import MPGGADoubleRelaxStaticMaker
    from jobflow import Flow, Job

STAGES = ("relax_1", "relax_2", "static")


def stages(crystal: Crystal, settings: Vasp) -> "list[Job]":
    """The jobs of a crystal in the order of STAGES.

    Their ids follow from the crystal and from what decides the result, so that a later run finds in the store what an
    earlier one finished, and finds nothing that was calculated for another structure or with other pseudopotentials.
    """
    flow = maker(settings).make(crystal.structure)
    cell = [crystal.lattice.tolist(), crystal.frac_coords.tolist(), crystal.atomic_numbers.tolist()]
    key = hashlib.sha256(as_json([cell, settings.functional]).encode()).hexdigest()
    return [job for job, _ in with_fixed_ids(flow, key).iterflow()]


def maker(settings: Vasp) -> "MPGGADoubleRelaxStaticMaker":
    """The Materials Project's GGA(+U) double relaxation and static calculation, inputs as the sets define them."""
    from atomate2.vasp.flows.mp import MPGGADoubleRelaxStaticMaker

    made: Any = MPGGADoubleRelaxStaticMaker()  # whose stages are declared as Makers of anything
    for stage in (made.relax_maker.relax_maker1, made.relax_maker.relax_maker2, made.static_maker):
        stage.input_set_generator.user_potcar_functional = settings.functional
        stage.input_set_generator.user_incar_settings = dict(settings.parallel)
        # A user's atomate2.yaml must not change the inputs unseen.
        stage.write_input_set_kwargs = {"apply_incar_updates": False}
        stage.stop_children_kwargs = {"handle_unsuccessful": "error"}
        # Both can be read from the raw outputs; in the store they would be most of its size.
        stage.task_document_kwargs = {"parse_dos": False, "parse_bandstructure": False}
    return made


def with_fixed_ids(flow: "Flow", key: str) -> "Flow":
    """The flow with ids that follow from `key`; jobflow draws them at random."""
    from monty.json import MontyDecoder, MontyEncoder

    text = as_json(flow, cls=MontyEncoder)
    for stage, (job, _) in zip(STAGES, flow.iterflow(), strict=True):
        text = text.replace(job.uuid, str(uuid.uuid5(uuid.NAMESPACE_OID, f"{key} {stage}")))
    return MontyDecoder().decode(text)


def use_potcars(settings: Vasp) -> None:
    """Set pymatgen's folder of pseudopotentials in this process, if vasp.potcars gives one."""
    from pymatgen.core import SETTINGS

    if settings.potcars is not None:
        SETTINGS["PMG_VASP_PSP_DIR"] = os.path.abspath(os.path.expandvars(os.path.expanduser(settings.potcars)))


def run_options(settings: Vasp, seconds_left: float | None) -> dict[str, Any]:
    """Arguments of atomate2's `run_vasp`; the seconds are those until the end of the walltime, None: no limit."""
    from atomate2.vasp.run import DEFAULT_HANDLERS
    from custodian.custodian import ErrorHandler
    from custodian.vasp.handlers import WalltimeHandler

    scratch = scratch_folder(settings)
    # New ones for each stage: they count errors, and one process calculates many crystals.
    handlers: list[ErrorHandler] = [type(handler)() for handler in DEFAULT_HANDLERS]
    if seconds_left is not None:
        os.environ.pop("CUSTODIAN_WALLTIME_START", None)  # left there by the handler of the stage before
        handler = WalltimeHandler(wall_time=seconds_left, buffer_time=settings.walltime_buffer)
        # By default the stopped stage would be taken as finished: pymatgen calls it converged.
        handler.raises_runtime_error = True
        handlers.append(handler)
    return {
        "vasp_cmd": settings.command,
        "vasp_gamma_cmd": settings.gamma_command or settings.command,
        "max_errors": settings.max_errors,
        # Filled in here: custodian takes "$TMPDIR" for a folder that is not there, and goes without.
        "scratch_dir": None if scratch is None else str(scratch),
        "handlers": handlers,
        "vasp_job_kwargs": {"auto_gamma": settings.gamma_command is not None},
        "custodian_kwargs": {"polling_time_step": settings.polling, "monitor_freq": settings.monitor_every},
    }
