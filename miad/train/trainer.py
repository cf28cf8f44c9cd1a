"""One session of a training: batches, checkpoints, curve and validation, for any process and network."""

import dataclasses
import logging
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed

from miad.config.sections import Train
from miad.core.crystal import NUM_SPECIES
from miad.core.errors import MiadError
from miad.core.json_text import as_json
from miad.core.seeding import generator
from miad.infuse.step import read_state, sizes
from miad.machine.device import pick_device
from miad.machine.progress import track
from miad.model.edges import arithmetic
from miad.model.process import Noise, State
from miad.model.register import check, make_network, make_process
from miad.model.shipped import located
from miad.model.weights import Model, load, record_of, save
from miad.train import checkpoint, limits
from miad.train.divergence import Guard
from miad.train.loss_curve import Live
from miad.train.optimiser import Optimiser, cooldown_start, learning_rate

log = logging.getLogger("miad")
# Settings that may change between the sessions of one run: how long, how often, where.
FREE = ("num_epochs", "checkpoint_minutes", "keep_every", "validate_every", "device")
# Steps between looks at other processes' wish to stop: on a GPU a look waits for all that was started.
LOOK_EVERY = 16
PREEMPTED = 75  # exit code after SIGTERM or Ctrl-C: EX_TEMPFAIL, "try again later"


class Trainer:
    """One session of a training on infused data.

    Checkpoints are written to `folder`, with them losses.csv and, if it is given, the log in `tensorboard`.
    """

    def __init__(
        self, settings: Train, train: Path, val: Path, folder: Path, run: str = "miad", tensorboard: Path | None = None
    ) -> None:
        check(settings)
        self.settings, self.folder, self.name = settings, folder, run
        self.world = distributed.get_world_size() if distributed.is_initialized() else 1
        self.rank = distributed.get_rank() if distributed.is_initialized() else 0
        self.device = torch.device(pick_device(settings.device))
        torch.backends.cuda.matmul.allow_tf32 = settings.precision == "tf32"
        # Long sums that the library cuts in pieces, as those of gradients over all edges, are put together in float32.
        torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
        self.train, self.val = (read_state(path, settings.mirage.num_atoms, self.device) for path in (train, val))
        torch.manual_seed(settings.seed)  # the initial weights
        # Of the trained model that this one starts from: its provenance, its epochs, its coordinate target.
        self.earlier, self.earlier_epochs, self.is_centred = "", 0, settings.center_scores
        self.network = make_network(settings.network).to(self.device)
        self.elements: list[int] | None = [number for number in self.train.species.unique().tolist() if number]
        self.known = torch.zeros(NUM_SPECIES, dtype=torch.bool, device=self.device)  # (n_species,)
        self.known[self.elements] = True
        if settings.start_from:
            self._start_from(located(settings.start_from, "train.start_from"))
        # Under torchrun the gradients of all processes are averaged as they come about.
        self.shared = torch.nn.parallel.DistributedDataParallel(self.network) if self.world > 1 else self.network
        self.process = make_process(
            settings.diffusion, settings.mirage, self.device, settings.center_scores, settings.cross_entropy
        )
        self.names = self.process.loss_names
        self.factors = self.process.factors(settings.loss_weights)
        self.live = Live(folder / "losses.csv", tensorboard, self.names) if tensorboard else None
        self.optimiser = Optimiser(self.network, settings)
        record = {k: v for k, v in record_of(settings).items() if k not in FREE}
        if settings.cross_entropy:  # checkpoints of before it was that of the posterior are not gone on from
            record["cross_entropy_of"] = "posterior"
        read = [train, val, *([located(settings.start_from)] if settings.start_from else [])]
        self.progress = checkpoint.Progress(checkpoint.fingerprint(record, read))
        self.num_batches = -(-len(self.train) // settings.batch_size)
        self.num_steps = settings.num_epochs * self.num_batches
        self.cooldown = cooldown_start(settings, self.num_steps)
        self.must_stop = False  # this process got a signal
        self.is_stopping = False  # all processes know
        self.running = torch.zeros(len(self.names), device=self.device)  # losses of the epoch under way
        self.latest = self.running.clone()  # losses of the last batch
        self.guard = Guard(folder)
        self._resume()

    def _start_from(self, path: Path) -> None:
        """Give the network the weights of a trained model; a MiadError if that is not of the same make."""
        trained, source = load(path)
        for section in ("network", "diffusion"):
            theirs, ours = (dataclasses.asdict(getattr(one, section)) for one in (source, self.settings))
            if section == "network" and not theirs["allowed_input"]:  # one that is told of limits can start from it
                theirs["allowed_input"] = ours["allowed_input"]
            if theirs != ours:
                other = {key: value for key, value in theirs.items() if value != ours[key]}
                raise MiadError(
                    f"train.start_from {path} was trained with {section}: {as_json(other)}, unlike this run."
                    f" Write them under {section} in config.yaml, or start from another model."
                )
        self.network.load_state_dict(self.network.state_dict() | trained.state_dict())
        self.earlier = f", started from {self.settings.start_from} ({source.origin})"
        self.earlier_epochs = source.num_epochs
        self.elements = source.elements and sorted({*source.elements, *(self.elements or [])})
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
            self._continue_curve(groups["running"]["losses"].to(self.device))
            log.info("continuing at epoch %d, step %d", self.progress.epoch, self.progress.step)
        self.progress.num_steps = self.num_steps

    def _continue_curve(self, running: Tensor) -> None:
        """Take up the sums of the epoch under way; in those of earlier versions, `species` holds the cross entropy."""
        self.running[: len(running)] += running
        if len(running) < len(self.names):
            log.info("up to epoch %d, losses.csv has the auxiliary losses in the column species", self.progress.epoch)

    def _comes_by(self, other: checkpoint.Progress) -> bool:
        """Whether a run of this length comes by that state: until the cooldown of the shorter one, all are the same."""
        if other.num_steps == self.num_steps:
            return True
        return other.step <= min(self.cooldown, cooldown_start(self.settings, other.num_steps))

    def save(self, name: str = checkpoint.LAST) -> bool:
        """Write a checkpoint; only the first process does, and not while the loss explodes.

        Returns whether it did, as far as this process knows; a MiadError if the loss is no number.
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
            counts, longest = sizes((self.train.species > 0).sum(1), self.train.lattice)
            origin = f"run {self.name}, {len(self.train)} crystals{self.earlier}"
            epochs = self.progress.epoch + self.earlier_epochs
            known = self.elements
            model = Model(s.mirage, s.diffusion, s.network, self.is_centred, counts, longest, epochs, origin, known)
            save(path, weights, model, arithmetic(self.device, s.precision))

    def fit(self) -> None:
        """Train to the end, with a checkpoint every few minutes."""
        p, start = self.progress, time.monotonic()
        spent, last = p.seconds, start
        for _ in track(range(p.epoch, self.settings.num_epochs), what="epochs trained", before=p.epoch):
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

    def _order(self, epoch: int) -> Tensor:
        shuffled = generator(self.settings.seed, "order", epoch)
        return torch.randperm(len(self.train), generator=shuffled).to(self.device)

    def _step(self, order: Tensor, index: int) -> None:
        """One optimizer step; this process works on its share of the batch."""
        s, p = self.settings, self.progress
        chosen = order[index * s.batch_size : (index + 1) * s.batch_size]
        share = slice(self.rank * len(chosen) // self.world, (self.rank + 1) * len(chosen) // self.world)
        # Each process draws the numbers of the whole batch and keeps its share: N GPUs train as one would.
        noise = Noise([generator(s.seed, "step", p.step, device=self.device)], [len(chosen)], share)
        self.optimiser.adam.zero_grad(set_to_none=True)
        with self._precision():
            losses = self.process.losses(self.shared, self._limited(self.train[chosen]), noise, s.stratified_times)
            total = self._total(losses)
        # DDP averages gradients over processes; ours are shares of one sum.
        (total * self.world).backward()
        norm = self.optimiser.step(p.step, self.num_steps)
        values = torch.stack([losses[name].detach() for name in self.names])  # (n_losses,)
        # Gradients that are no number spoil the weights before any loss shows it: no checkpoint of them either.
        values = torch.where(norm.isfinite(), values, torch.nan)
        self.latest = self._shared(values)
        self.running += self.latest
        p.step, p.batch = p.step + 1, index + 1

    def _limited(self, batch: State) -> State:
        """A batch with random limits of the elements, for a network that is told of them."""
        s = self.settings
        if not s.network.allowed_input:
            return batch
        drawn = generator(s.seed, "limits", self.progress.step, device=self.device)
        return dataclasses.replace(batch, allowed=limits.draw(batch.real_species, self.known, s.free_share, drawn))

    def _precision(self) -> torch.autocast:
        """The arithmetic of the network, in training and in validation."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.settings.precision == "bf16")

    def _total(self, losses: Mapping[str, Any]) -> Any:
        """Weighted sum of the losses, tensors or numbers."""
        return sum(self.factors[name] * losses[name] for name in self.names)

    def _shared(self, values: Tensor) -> Tensor:
        """Sum over processes; the wish to stop is sent with the losses, so that all stop after the same step."""
        if self.world == 1:
            self.is_stopping = self.must_stop
            return values
        # new_full, not new_tensor: a number that is copied to a GPU waits for all that was started there.
        values = torch.cat([values, values.new_full((1,), float(self.must_stop))])
        distributed.all_reduce(values)
        if self.device.type == "cpu" or self.progress.step % LOOK_EVERY == 0:
            self.is_stopping = values[-1].item() > 0
        return values[: len(self.names)]

    def _end_epoch(self) -> None:
        p, s = self.progress, self.settings
        means = self._means(self.running, self.num_batches)
        total = self._total(means)
        self.guard.check(total, p)
        p.epoch, p.batch, p.best = p.epoch + 1, 0, min(p.best, total)
        self.running.zero_()
        is_due = p.epoch % s.validate_every == 0 or p.epoch == s.num_epochs
        row = {"epoch": p.epoch, "step": p.step, "seconds": round(p.seconds, 3), **means, "total": total}
        row["val_total"] = self.validate() if is_due else None
        row["learning_rate"] = learning_rate(s, p.step - 1, self.num_steps)
        p.rows.append(row)
        if s.keep_every and p.epoch % s.keep_every == 0:
            self.save_model(self.folder / checkpoint.KEPT.format(p.epoch))

    def _means(self, sums: Tensor, num: int) -> dict[str, float]:
        """The losses as means over that many batches."""
        return dict(zip(self.names, (sums / num).tolist(), strict=True))

    def _is_sound(self) -> bool:
        """Whether the weights are worth keeping, by the losses since the epoch began."""
        num = self.progress.batch
        if not num:  # the epoch was judged as a whole
            return True
        so_far, latest = (self._total(self._means(*pair)) for pair in ((self.running, num), (self.latest, 1)))
        return self.guard.is_sound(so_far, latest, self.progress)

    @torch.no_grad()
    def validate(self) -> float:
        """Weighted loss of the averaged weights on the validation crystals, with the same random numbers every time."""
        own = {name: parameter.clone() for name, parameter in self.optimiser.parameters.items()}
        size, total = self.settings.batch_size, 0.0
        try:
            self.network.load_state_dict(self.optimiser.average)
            for start in range(0, len(self.val), size):
                batch = self.val[start : start + size]
                noise = Noise([generator(self.settings.seed, "validate", start, device=self.device)], [len(batch)])
                with self._precision():
                    losses = self.process.losses(self.network, batch, noise, True)
                total += len(batch) * self._total({name: loss.item() for name, loss in losses.items()})
        finally:
            self.network.load_state_dict(own)
        return total / len(self.val)
