"""The train step: fit the joint diffusion model, never losing a run.

Killed at any moment and started again, it goes on from the last checkpoint; on a CPU the loss curve is then
bit-identical to that of an undisturbed run. Under torchrun several processes share each batch.
"""

import dataclasses
import logging
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from miad import checkpoint, infuse
from miad.config import Train
from miad.errors import MiadError
from miad.files import write_text
from miad.model import Model, pick_device, save
from miad.seeding import generator

if TYPE_CHECKING:
    import torch

    from miad.diffusion.process import State

log = logging.getLogger("miad")
LOSSES = ("lattice", "coords", "species")
COLUMNS = ("epoch", "step", "seconds", *LOSSES, "total", "val_total", "learning_rate")
# What may change between the sessions of one run: how long, how often, where.
FREE = ("num_epochs", "checkpoint_minutes", "validate_every", "device")
EXPLOSION = 10.0  # an epoch's loss over the best epoch's that counts as an explosion
PREEMPTED = 75  # exit code after SIGTERM: EX_TEMPFAIL, "try again later"


class Trainer:
    """One session of a training.

    Args:
        settings: recipe.
        train, val: infused data.
        folder: where checkpoints live.
    """

    def __init__(self, settings: Train, train: Path, val: Path, folder: Path) -> None:
        import torch
        from torch import distributed

        from miad.diffusion.process import JointDiffusion
        from miad.network import CSPNet
        from miad.optimise import Optimiser

        self.settings, self.folder, self.path = settings, folder, folder / "last.safetensors"
        self.world = distributed.get_world_size() if distributed.is_initialized() else 1
        self.rank = distributed.get_rank() if distributed.is_initialized() else 0
        self.device = torch.device(pick_device(settings.device))
        self.train, self.val = (self._state(path) for path in (train, val))
        torch.manual_seed(settings.seed)  # the initial weights
        network = CSPNet(settings.network).to(self.device)
        self.network: torch.nn.Module = network
        if self.world > 1:
            self.network = torch.nn.parallel.DistributedDataParallel(network)
        self.process = JointDiffusion(settings.diffusion, settings.mirage, self.device, settings.center_scores)
        self.optimiser = Optimiser(network, settings)
        record = {k: v for k, v in dataclasses.asdict(settings).items() if k not in FREE}
        self.progress = checkpoint.Progress(checkpoint.fingerprint(record, [train, val]))
        self.num_batches = -(-len(self.train.lattice) // settings.batch_size)
        self.num_steps = settings.num_epochs * self.num_batches
        self.is_stopping = False
        self.running = torch.zeros(len(LOSSES), device=self.device)  # losses of the epoch under way
        self._resume()

    def _state(self, path: Path) -> "State":
        from miad.diffusion.process import State

        tensors, _ = infuse.load(path)
        species = tensors["species"]
        is_atom = None
        if self.settings.mirage.num_atoms is None:
            is_atom = infuse.padding_mask(tensors["num_atoms"], species.shape[1]).to(self.device)
        parts = (tensors["lattice"], tensors["frac_coords"], species)
        return State(*(part.to(self.device) for part in parts), is_atom)

    def _resume(self) -> None:
        found = checkpoint.load(self.path, self.progress.key)
        if found is None:
            if self.path.is_file():
                # Other settings or data: begin anew, but never destroy what was computed.
                self.path.replace(self.path.with_name(f"before-{int(time.time())}.safetensors"))
            return
        self.progress, groups = found
        self.optimiser.load_state(groups, self.progress.step)
        self.running += groups["running"]["losses"].to(self.device)
        log.info("continuing from %s: epoch %d, step %d", self.path, self.progress.epoch, self.progress.step)

    def save(self) -> None:
        """Write a checkpoint; only the first process does."""
        if self.rank == 0:
            tensors = {**self.optimiser.state(), "running": {"losses": self.running}}
            checkpoint.save(self.path, self.progress, tensors)

    def fit(self) -> None:
        """Train to the end, with a checkpoint every few minutes."""
        from miad.progress import track

        p, last = self.progress, time.monotonic()
        spent = p.seconds
        start = last
        for _ in track(range(p.epoch, self.settings.num_epochs), what="epochs trained"):
            order = self._order(p.epoch)
            for index in range(p.batch, self.num_batches):
                self._step(order, index)
                p.seconds = spent + time.monotonic() - start
                is_due = time.monotonic() - last > 60 * self.settings.checkpoint_minutes
                if is_due or self.is_stopping:
                    self.save()
                    last = time.monotonic()
                if self.is_stopping:
                    log.info("stopped by a signal at step %d; %s holds everything", p.step, self.path)
                    sys.exit(PREEMPTED)
            self._end_epoch()
        self.save()

    def _order(self, epoch: int) -> "torch.Tensor":
        import torch

        g = generator(self.settings.seed, "order", epoch)
        return torch.randperm(len(self.train.lattice), generator=g).to(self.device)

    def _step(self, order: "torch.Tensor", index: int) -> None:
        """One optimizer step; this process works on its share of the batch."""
        import torch

        from miad.diffusion.process import Noise

        s, p = self.settings, self.progress
        chosen = order[index * s.batch_size : (index + 1) * s.batch_size]
        share = slice(self.rank * len(chosen) // self.world, (self.rank + 1) * len(chosen) // self.world)
        # Each process draws the numbers of the whole batch and keeps its share: N GPUs train as one would.
        noise = Noise([generator(s.seed, "step", p.step, device=self.device)], [len(chosen)], share)
        counts = self.process.counts(self.train[chosen])
        clean = self.process.infuse(self.train[chosen[share]], noise)
        times = self.process.times(noise, s.stratified_times, len(chosen))
        self.optimiser.adam.zero_grad(set_to_none=True)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=s.precision == "bf16"):
            losses = self.process.losses(self.network, clean, times, noise, counts)
            total = sum(s.loss_weights[name] * losses[name] for name in LOSSES)
        # DDP averages gradients over processes; ours are shares of one sum.
        (total * self.world).backward()
        self.optimiser.step(p.step, self.num_steps)
        values = torch.stack([losses[name].detach() for name in LOSSES])  # (3,)
        self.running += self._shared(values)
        p.step, p.batch = p.step + 1, index + 1

    def _shared(self, values: "torch.Tensor") -> "torch.Tensor":
        """Sum over processes; with the losses travels the wish to stop, so that all stop after the same step."""
        import torch
        from torch import distributed

        if self.world > 1:
            values = torch.cat([values, values.new_tensor([float(self.is_stopping)])])
            distributed.all_reduce(values)
            self.is_stopping = values[-1].item() > 0
        return values[: len(LOSSES)]

    def _end_epoch(self) -> None:
        from miad.optimise import learning_rate

        p, s = self.progress, self.settings
        means = dict(zip(LOSSES, (self.running / self.num_batches).tolist(), strict=True))
        total = sum(s.loss_weights[name] * means[name] for name in LOSSES)
        p.epoch, p.batch = p.epoch + 1, 0
        self.running.zero_()
        self._guard(total)
        is_due = p.epoch % s.validate_every == 0 or p.epoch == s.num_epochs
        row: dict[str, Any] = {
            "epoch": p.epoch,
            "step": p.step,
            "seconds": round(p.seconds, 3),
            **means,
            "total": total,
        }
        row["val_total"] = self.validate() if is_due else None
        row["learning_rate"] = learning_rate(s, p.step - 1, self.num_steps)
        p.rows.append(row)

    def _guard(self, total: float) -> None:
        best = min((row["total"] for row in self.progress.rows), default=total)
        if not total < EXPLOSION * best + 1e-9:
            where = self.path if self.path.is_file() else "none was written yet"
            raise MiadError(
                f"the loss of epoch {self.progress.epoch} is {total:.4g}, the best was {best:.4g}: training diverged."
                f" Last good checkpoint: {where}. Lower train.learning_rate or set train.clip_norm in config.yaml."
            )

    def validate(self) -> float:
        """Weighted loss of the averaged weights on the validation crystals, with the same random numbers every time."""
        import torch

        from miad.diffusion.process import Noise

        own = {name: parameter.detach().clone() for name, parameter in self.optimiser.parameters.items()}
        network = self.network.module if self.world > 1 else self.network
        size, total, num = self.settings.batch_size, 0.0, len(self.val.lattice)
        try:
            network.load_state_dict(self.optimiser.average)
            with torch.no_grad():
                for start in range(0, num, size):
                    clean = self.val[slice(start, start + size)]
                    width = len(clean.lattice)
                    noise = Noise([generator(self.settings.seed, "validate", start, device=self.device)], [width])
                    clean = self.process.infuse(clean, noise)
                    times = self.process.times(noise, True, width)
                    losses = self.process.losses(network, clean, times, noise, self.process.counts(clean))
                    total += width * sum(self.settings.loss_weights[name] * losses[name].item() for name in LOSSES)
        finally:
            network.load_state_dict(own)
        return total / num


def write_losses(path: Path, rows: list[dict]) -> None:
    """The loss curve as CSV, one row per epoch."""
    lines = [",".join("" if row[name] is None else repr(row[name]) for name in COLUMNS) for row in rows]
    write_text(path, "\n".join([",".join(COLUMNS), *lines]) + "\n")


def write_tensorboard(folder: Path, rows: list[dict]) -> None:
    """The loss curve as a TensorBoard log."""
    from torch.utils.tensorboard import SummaryWriter

    for old in folder.glob("events.*"):
        old.unlink()
    with SummaryWriter(folder) as writer:
        for row in rows:
            for name in COLUMNS[3:]:
                if row[name] is not None:
                    writer.add_scalar(name, row[name], row["step"])


def run(settings: Train, *, train: Path, val: Path, model: Path, losses: Path, run: str = "miad") -> None:
    """Trains from the last checkpoint if there is one, else from scratch. Under torchrun, on all its processes.

    SIGTERM (preemption, walltime) saves a checkpoint and exits with code 75, upon which a scheduler may start it again.

    Args:
        train: infused training crystals.
        val: infused validation crystals.
        model: where the weights go, safetensors; checkpoints are kept in `checkpoints` beside it.
        losses: where the loss curve goes, CSV.
        run: name of the run, for provenance.
    """
    from torch import distributed

    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        distributed.init_process_group("gloo" if pick_device(settings.device) == "cpu" else "nccl")
    trainer = Trainer(settings, train, val, Path(model).parent / "checkpoints")

    def stop(*_: object) -> None:
        trainer.is_stopping = True

    previous = signal.signal(signal.SIGTERM, stop)
    try:
        trainer.fit()
    finally:
        signal.signal(signal.SIGTERM, previous)
    if trainer.rank == 0:
        p = trainer.progress
        write_losses(losses, p.rows)
        write_tensorboard(Path(model).parent / "tensorboard", p.rows)
        counts = infuse.load(train)[0]["num_atoms"].bincount().tolist()
        about = (settings.mirage, settings.diffusion, settings.network, settings.center_scores, counts)
        weights = trainer.optimiser.average if settings.ema_decay else trainer.optimiser.state()["weights"]
        save(model, weights, Model(*about, p.epoch, f"run {run}, {len(trainer.train.lattice)} crystals"))
    if distributed.is_initialized():
        distributed.destroy_process_group()
