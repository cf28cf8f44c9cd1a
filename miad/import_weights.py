"""The import-weights step: weights published by the authors of MiAD, as a model of miad.

Also those of their baseline without mirage atoms, but not those of DiffCSP's own program: its network is the same, and
diffuses species as continuous vectors, which the D3PM of MiAD cannot sample.
"""

import re
from pathlib import Path
from typing import Any

from miad.config.sections import Diffusion, Mirage, Network
from miad.core.crystal import read_crystals
from miad.core.errors import MiadError
from miad.infuse import step as infuse
from miad.model.weights import Model, save

# Where they write csp_layer_3.edge_mlp.0, we write csp_layers.3.edge_mlp.0; all other names are the same.
LAYER = re.compile(r"^csp_layer_(\d+)\.")
ENTRIES = ("node_embedding", "atom_latent_emb", "final_layer_norm", "coord_out", "lattice_out", "type_out")
DIFFUSION = Diffusion(num_timesteps=1000, cosine_offset=0.008, sigma_min=0.005, sigma_max=0.5)


def run(file: Path, *, out: Path, num_atoms: int = 25, train: Path | None = None) -> None:
    """Read the authors' torch file without executing code in it.

    Args:
        file: the published weights.
        out: folder for model.safetensors and model.json.
        num_atoms: N_m that the weights were trained with (MP-20: 25, Perov-5: 10, Carbon-24: 29); 0: without mirage
            atoms, which needs `train`.
        train: the crystals that they were trained on, as `miad dataset` writes them; their numbers of atoms are those
            that a model without mirage atoms samples, their lattices what sample.limit_lattice is measured by.

    Raises:
        MiadError: weights of another program, damaged ones, or no crystals where they are needed.
    """
    if num_atoms < 0 or (num_atoms == 0 and train is None):
        raise MiadError(
            f"--num-atoms {num_atoms} is no number of atoms after infusion. Weights without mirage atoms are read with:"
            " --num-atoms 0 --train results/{run}/dataset/train.jsonl.gz (what they were trained on)."
        )
    from miad.io.torch_file import read_torch_file
    from miad.model.register import make_network

    weights = rename(find_weights(read_torch_file(file), file), file)
    network = infer_network(weights, file)
    # Their coordinate head predicts minus score/√λ, ours plus.
    weights["coord_out.weight"] = -weights["coord_out.weight"]
    variant = Mirage(num_atoms=num_atoms or None, coordinates="uniform", mask_loss=True)
    counts: tuple[list[int], float | None] = [0] * (num_atoms + 1), None
    if train:
        crystals = read_crystals(train)
        infuse.check(crystals, train, variant.num_atoms)
        tensors = infuse.to_tensors(crystals, max(crystal.num_atoms for crystal in crystals))
        counts = infuse.sizes(tensors["num_atoms"], tensors["lattice"], num_atoms)
    about = Model(variant, DIFFUSION, network, False, *counts, 0, f"imported from {Path(file).name}")
    try:
        make_network(network).load_state_dict(weights)
    except RuntimeError as error:
        raise MiadError(f"{file}: the weights do not fit CSPNet: {error}") from error
    save(Path(out) / "model.safetensors", weights, about)


def find_weights(content: Any, file: Path) -> dict[str, Any]:
    """The state dict, wherever in the file it is: the first dict that holds the network's entries."""
    waiting = [content]
    while waiting:
        item = waiting.pop(0)
        if not isinstance(item, dict):
            continue
        names = {str(name).split("module.")[-1] for name in item}
        if "decoder.coord_out.weight" in names:
            raise MiadError(
                f"{file} holds weights of DiffCSP's program (their names begin with decoder.): it diffuses species as"
                " continuous vectors, miad with a D3PM, so that its samples would be noise. Give weights of MiAD;"
                " crystals that DiffCSP generated can be judged with: miad evaluate."
            )
        if "coord_out.weight" in names:
            return item
        waiting += list(item.values())
    raise MiadError(f"{file} holds no CSPNet weights (no entry coord_out.weight). Give the authors' weight file.")


def rename(weights: dict[str, Any], file: Path) -> dict[str, Any]:
    """Our names for the tensors of CSPNet; prefixes such as `module.` are dropped."""
    import torch

    renamed = {}
    for name, value in weights.items():
        own = re.sub(r"^.*?(?=csp_layer_\d+\.|" + "|".join(ENTRIES) + ")", "", str(name))
        own = LAYER.sub(r"csp_layers.\1.", own)
        if not own.startswith(("csp_layers.", *ENTRIES)):
            continue  # schedules and other buffers, which we compute ourselves
        if not isinstance(value, torch.Tensor):
            raise MiadError(f"{file}: {name} is not a tensor. Download the file again.")
        renamed[own] = value.float()
    return renamed


def infer_network(weights: dict[str, Any], file: Path) -> Network:
    """Sizes of the network, from the shapes of its weights."""
    try:
        hidden = weights["coord_out.weight"].shape[1]
        layers = 1 + max(int(name.split(".")[1]) for name in weights if name.startswith("csp_layers."))
        edge = weights["csp_layers.0.edge_mlp.0.weight"].shape[1]
        time = weights["atom_latent_emb.weight"].shape[1] - hidden
    except (KeyError, ValueError, IndexError) as error:
        raise MiadError(f"{file}: the weights of CSPNet are incomplete ({error}). Download the file again.") from error
    frequencies, rest = divmod(edge - 2 * hidden - 9, 6)
    if rest or frequencies < 1:
        raise MiadError(
            f"{file}: an edge layer of {edge} inputs does not fit a width of {hidden}; miad reads CSPNet with sine"
            " features and the inner product of the lattice (dis_emb: sin, ip: true)."
        )
    return Network(hidden, layers, frequencies, time, gram_scale=1.0)
