"""The train step: fit the joint diffusion model, never losing a run.

Killed at any moment and started again, it goes on from the last checkpoint; on a CPU the loss curve is then
bit-identical to that of an undisturbed run. Under torchrun several processes share each batch.
"""

import dataclasses
import json
import logging
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from miad.config.sections import Train
from miad.core.errors import MiadError
from miad.core.seeding import generator
from miad.infuse.step import read_state
from miad.machine.device import pick_device
from miad.model.weights import Model, load, save
from miad.train import checkpoint
from miad.train.divergence import Guard
from miad.train.loss_curve import LOSSES, Live, write_losses

if TYPE_CHECKING:
    import torch

log = logging.getLogger("miad")
# What may change between the sessions of one run: how long, how often, where.
FREE = ("num_epochs", "checkpoint_minutes", "keep_every", "validate_every", "device")
PREEMPTED = 75  # exit code after SIGTERM or Ctrl-C: EX_TEMPFAIL, "try again later"


class Trainer:
    """One session of a training.

    Args:
        settings: recipe.
        train, val: infused data.
        folder: where checkpoints live.
        run: name of the run, for provenance.
        live: the curve that is kept up to date with the checkpoints.
    """

    def __init__(
        self, settings: Train, train: Path, val: Path, folder: Path, run: str = "miad", live: Live | None = None
    ) -> None:
        import torch
        from torch import distributed

        from miad.model.diffusion.process import JointDiffusion
        from miad.model.network import CSPNet
        from miad.train.optimiser import Optimiser, cooldown_start

        self.settings, self.folder, self.name, self.live = settings, folder, run, live
        self.world = distributed.get_world_size() if distributed.is_initialized() else 1
        self.rank = distributed.get_rank() if distributed.is_initialized() else 0
        self.device = torch.device(pick_device(settings.device))
        torch.backends.cuda.matmul.allow_tf32 = settings.precision == "tf32"
        self.train, self.val = (read_state(path, settings.mirage.num_atoms, self.device) for path in (train, val))
        torch.manual_seed(settings.seed)  # the initial weights
        # Of the trained model that this one starts from: its provenance, its epochs, its coordinate target.
        self.earlier, self.earlier_epochs, self.is_centred = "", 0, settings.center_scores
        network = CSPNet(settings.network).to(self.device)
        if settings.start_from:
            self._start_from(network, Path(settings.start_from))
        self.network: torch.nn.Module = network
        if self.world > 1:
            self.network = torch.nn.parallel.DistributedDataParallel(network)
        self.process = JointDiffusion(
            settings.diffusion, settings.mirage, self.device, settings.center_scores, settings.cross_entropy
        )
        self.optimiser = Optimiser(network, settings)
        record = {k: v for k, v in dataclasses.asdict(settings).items() if k not in FREE}
        read = [train, val, *([Path(settings.start_from)] if settings.start_from else [])]
        self.progress = checkpoint.Progress(checkpoint.fingerprint(record, read))
        self.num_batches = -(-len(self.train.lattice) // settings.batch_size)
        self.num_steps = settings.num_epochs * self.num_batches
        self.cooldown = cooldown_start(settings, self.num_steps)
        self.must_stop = False  # this process got a signal
        self.is_stopping = False  # all processes know
        self.running = torch.zeros(len(LOSSES), device=self.device)  # losses of the epoch under way
        self.latest = self.running.clone()  # losses of the last batch
        self.guard = Guard(folder)
        self._resume()

    def _start_from(self, network: "torch.nn.Module", path: Path) -> None:
        """Give the network the weights of a trained model, which has to be of the same make."""
        trained, source = load(path)
        for section in ("network", "diffusion"):
            theirs, ours = (dataclasses.asdict(getattr(one, section)) for one in (source, self.settings))
            if theirs != ours:
                other = {key: value for key, value in theirs.items() if value != ours[key]}
                raise MiadError(
                    f"train.start_from {path} was trained with {section}: {json.dumps(other)}, unlike this run."
                    f" Write them under {section} in config.yaml, or start from another model."
                )
        network.load_state_dict(trained.state_dict())
        self.earlier = f", started from {self.settings.start_from} ({source.origin})"
        self.earlier_epochs = source.num_epochs
        if not self.settings.num_epochs:  # its weights are taken as they are
            self.is_centred = source.center_scores

    def _resume(self) -> None:
        found, stale = checkpoint.find(self.folder, self.progress.key, self._comes_by)
        if stale and self.rank == 0:
            target = checkpoint.set_aside(self.folder, stale)
            log.info("checkpoints of other settings, data or length are now in %s", target)
        if found is None:
            self.progress.best = self.validate()
        else:
            self.progress, groups = found
            self.optimiser.load_state(groups, self.progress.step)
            self.running += groups["running"]["losses"].to(self.device)
            log.info("continuing at epoch %d, step %d", self.progress.epoch, self.progress.step)
        self.progress.num_steps = self.num_steps

    def _comes_by(self, other: checkpoint.Progress) -> bool:
        """Whether a run of this length comes by that state: until the cooldown of the shorter one, all are the same."""
        from miad.train.optimiser import cooldown_start

        if other.num_steps == self.num_steps:
            return True
        return other.step <= min(self.cooldown, cooldown_start(self.settings, other.num_steps))

    def save(self, name: str = checkpoint.LAST) -> bool:
        """Write a checkpoint; only the first process does, and not while the loss explodes.

        Returns:
            Whether it did, as far as this process knows.

        Raises:
            MiadError: the loss is no number.
        """
        if self.rank == 0:
            # The one from before the cooldown has its step only, and takes the place of nothing that this run needs.
            if not self._is_sound() and name == checkpoint.LAST:
                return False
            tensors = {**self.optimiser.state(), "running": {"losses": self.running}}
            checkpoint.save(self.folder / name, self.progress, tensors)
            if self.live:
                self.live.update(self.progress.rows)
        return True

    def save_model(self, path: Path) -> None:
        """Write what sampling needs: the averaged weights, or the last ones where there is no average."""
        if self.rank == 0:
            s = self.settings
            weights = self.optimiser.average if s.ema_decay else self.optimiser.state()["weights"]
            counts = (self.train.species > 0).sum(1).bincount().tolist()
            longest = float(self.train.lattice.norm(dim=-1).max())
            origin = f"run {self.name}, {len(self.train.lattice)} crystals{self.earlier}"
            epochs = self.progress.epoch + self.earlier_epochs
            model = Model(s.mirage, s.diffusion, s.network, self.is_centred, counts, longest, epochs, origin)
            save(path, weights, model)

    def fit(self) -> None:
        """Train to the end, with a checkpoint every few minutes."""
        from miad.machine.progress import track

        p, last = self.progress, time.monotonic()
        spent = p.seconds
        start = last
        for _ in track(range(p.epoch, self.settings.num_epochs), what="epochs trained"):
            order = self._order(p.epoch)
            for index in range(p.batch, self.num_batches):
                if 0 < p.step == self.cooldown:
                    self.save(checkpoint.BEFORE_COOLDOWN)
                self._step(order, index)
                p.seconds = spent + time.monotonic() - start
                is_due = time.monotonic() - last > 60 * self.settings.checkpoint_minutes
                is_saved = (is_due or self.is_stopping) and self.save()
                if is_saved:
                    last = time.monotonic()
                if self.is_stopping:
                    held = "everything" if is_saved else "what was there before the loss exploded"
                    log.info("stopped by a signal at step %d; %s holds %s", p.step, self.folder, held)
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

        from miad.model.diffusion.process import Noise

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
        norm = self.optimiser.step(p.step, self.num_steps)
        values = torch.stack([losses[name].detach() for name in LOSSES])  # (3,)
        # Gradients that are no number spoil the weights before any loss shows it: no checkpoint of them either.
        values = torch.where(norm.isfinite(), values, torch.nan)
        self.latest = self._shared(values)
        self.running += self.latest
        p.step, p.batch = p.step + 1, index + 1

    def _shared(self, values: "torch.Tensor") -> "torch.Tensor":
        """Sum over processes; with the losses travels the wish to stop, so that all stop after the same step."""
        import torch
        from torch import distributed

        if self.world == 1:
            self.is_stopping = self.must_stop
            return values
        values = torch.cat([values, values.new_tensor([float(self.must_stop)])])
        distributed.all_reduce(values)
        self.is_stopping = values[-1].item() > 0
        return values[: len(LOSSES)]

    def _end_epoch(self) -> None:
        from miad.train.optimiser import learning_rate

        p, s = self.progress, self.settings
        total, means = self._weigh(self.running, self.num_batches)
        self.guard.check(total, p)
        p.epoch, p.batch, p.best = p.epoch + 1, 0, min(p.best, total)
        self.running.zero_()
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
        if s.keep_every and p.epoch % s.keep_every == 0:
            self.save_model(self.folder / checkpoint.KEPT.format(p.epoch))

    def _weigh(self, sums: "torch.Tensor", num: int) -> tuple[float, dict[str, float]]:
        """Weighted total and the single losses, as means over that many batches."""
        means = dict(zip(LOSSES, (sums / num).tolist(), strict=True))
        return sum(self.settings.loss_weights[name] * means[name] for name in LOSSES), means

    def _is_sound(self) -> bool:
        """Whether the weights are worth keeping, by the losses since the epoch began."""
        num = self.progress.batch
        if not num:  # the epoch was judged as a whole
            return True
        return self.guard.is_sound(self._weigh(self.running, num)[0], self._weigh(self.latest, 1)[0], self.progress)

    def validate(self) -> float:
        """Weighted loss of the averaged weights on the validation crystals, with the same random numbers every time."""
        import torch

        from miad.model.diffusion.process import Noise

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


def run(settings: Train, *, train: Path, val: Path, model: Path, losses: Path, run: str = "miad") -> None:
    """Trains from the last checkpoint if there is one, else from scratch. Under torchrun, on all its processes.

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
    from torch import distributed

    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        distributed.init_process_group("gloo" if pick_device(settings.device) == "cpu" else "nccl")
    home = Path(model).parent
    live = Live(home / "checkpoints" / "losses.csv", home / "tensorboard")
    trainer = Trainer(settings, train, val, home / "checkpoints", run, live)

    def stop(*_: object) -> None:
        trainer.must_stop = True

    # torchrun passes signals on that its processes have got already: a second one is no reason to leave without saving.
    previous = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        trainer.fit()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        if trainer.rank == 0:  # also of a training that has diverged or has to stop
            live.close(trainer.progress.rows)
    if trainer.rank == 0:
        write_losses(losses, trainer.progress.rows)
    trainer.save_model(model)
    if distributed.is_initialized():
        distributed.destroy_process_group()
