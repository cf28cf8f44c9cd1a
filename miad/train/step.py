"""The train step: fit a generative process, never losing a run.

Killed at any moment and started again, it goes on from the last checkpoint; on a CPU the loss curve is then
bit-identical to that of an undisturbed run. Under torchrun several processes share each batch.
"""

import logging
import os
import signal
from pathlib import Path

from miad.config.sections import Train
from miad.machine.device import pick_device
from miad.train.loss_curve import write_losses

log = logging.getLogger("miad")


def run(settings: Train, *, train: Path, val: Path, model: Path, losses: Path, run: str = "miad") -> None:
    """Train from the last checkpoint if there is one, else from scratch; under torchrun, on all its processes.

    SIGTERM (preemption, walltime) and Ctrl-C save a checkpoint and exit with code 75, upon which a scheduler may start
    it again.

    Args:
        train: infused training crystals.
        val: infused validation crystals.
        model: where the weights go, safetensors; beside it `checkpoints`, with losses.csv up to the newest one, and
            `tensorboard`.
        losses: where the loss curve goes at the end, CSV.
        run: name of the run, for provenance.
    """
    import torch
    from torch import distributed

    from miad.model.edges import arithmetic
    from miad.train.memory import keep_memory
    from miad.train.trainer import Trainer

    keep_memory()
    device = torch.device(pick_device(settings.device))
    if device.index is not None:
        torch.cuda.set_device(device)  # before anything that takes memory on the first card
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        is_gpu = device.type == "cuda"
        distributed.init_process_group("nccl" if is_gpu else "gloo", device_id=device if is_gpu else None)
    home = Path(model).parent
    log.info("arithmetic of the network: %s", arithmetic(device, settings.precision))
    trainer = Trainer(settings, train, val, home / "checkpoints", run, home / "tensorboard")

    def stop(*_: object) -> None:
        trainer.must_stop = True

    # torchrun passes signals on that its processes have got already: a second one is no reason to leave without saving.
    previous = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        trainer.fit()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        if trainer.live and trainer.rank == 0:  # also of a training that has diverged or has to stop
            trainer.live.close(trainer.progress.rows)
    if trainer.rank == 0:
        write_losses(losses, trainer.progress.rows, trainer.names)
    trainer.save_model(model)
    if distributed.is_initialized():
        distributed.destroy_process_group()
