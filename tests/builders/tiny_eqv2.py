"""A tiny eqV2 with random weights, in the layout in which those of OMat24 are published."""

import copy
from pathlib import Path
from typing import Any

BACKBONE = {
    "model": "equiformer_v2_backbone",
    "use_pbc": True,
    "use_pbc_single": True,
    "otf_graph": True,
    "enforce_max_neighbors_strictly": False,
    "max_neighbors": 20,
    "max_radius": 6.0,
    "max_num_elements": 96,
    "avg_num_nodes": 31.17,
    "avg_degree": 61.95,
    "num_layers": 1,
    "sphere_channels": 8,
    "attn_hidden_channels": 8,
    "num_heads": 2,
    "attn_alpha_channels": 8,
    "attn_value_channels": 4,
    "ffn_hidden_channels": 8,
    "norm_type": "layer_norm_sh",
    "lmax_list": [2],
    "mmax_list": [1],
    "grid_resolution": 18,
    "num_sphere_samples": 16,
    "edge_channels": 8,
    "use_atom_edge_embedding": True,
    "distance_function": "gaussian",
    "num_distance_basis": 32,
    "attn_activation": "silu",
    "use_s2_act_attn": False,
    "ffn_activation": "silu",
    "use_gate_act": False,
    "use_grid_mlp": True,
    "alpha_drop": 0.1,
    "drop_path_rate": 0.1,
    "proj_drop": 0.0,
    "weight_init": "uniform",
}
HEADS = {
    "energy": {"module": "equiformer_v2_energy_head"},
    "forces": {"module": "equiformer_v2_force_head"},
    "stress": {
        "module": "rank2_symmetric_head",
        "output_name": "stress",
        "use_source_target_embedding": True,
        "decompose": True,
    },
}
OUTPUTS = {
    "energy": {"level": "system", "property": "energy"},
    "forces": {"level": "atom", "property": "forces", "train_on_free_atoms": True, "eval_on_free_atoms": True},
    "stress": {
        "level": "system",
        "property": "stress",
        "decomposition": {"stress_isotropic": {"irrep_dim": 0}, "stress_anisotropic": {"irrep_dim": 2}},
    },
}


def config() -> dict[str, Any]:
    """The settings that a checkpoint carries."""
    return {
        "trainer": "equiformerv2_forces",
        "task": {},
        "model": {
            "name": "hydra",
            "pass_through_head_outputs": True,
            "otf_graph": True,
            "backbone": BACKBONE,
            "heads": HEADS,
        },
        "outputs": OUTPUTS,
        "dataset": {"src": "unused", "format": "ase_db", "a2g_args": {"r_energy": True, "r_forces": True}},
        "loss_functions": [
            {"energy": {"fn": "per_atom_mae", "coefficient": 2.5}},
            {"forces": {"fn": "l2mae", "coefficient": 10}},
        ],
        "evaluation_metrics": {"primary_metric": "energy_mae", "metrics": {"energy": ["mae"], "forces": ["mae"]}},
        "optim": {
            "batch_size": 1,
            "eval_batch_size": 1,
            "num_workers": 0,
            "lr_initial": 2e-4,
            "optimizer": "AdamW",
            "scheduler": "LambdaLR",
            "max_epochs": 1,
            "clip_grad_norm": 100,
            "ema_decay": 0.999,
        },
        "amp": True,
        "slurm": {"folder": "/nowhere"},
        "local_rank": 3,
        "is_debug": False,
        "cmd": {"seed": 0},
    }


def make(path: Path, seed: int = 0) -> Path:
    """Write a checkpoint and return its path."""
    import torch

    from miad.relax.potentials.eqv2_fairchem import import_fairchem

    import_fairchem()
    from fairchem.core.common.registry import registry
    from fairchem.core.modules.normalization.element_references import LinearReferences
    from fairchem.core.modules.normalization.normalizer import Normalizer

    torch.manual_seed(seed)
    settings = copy.deepcopy(config()["model"])
    network = registry.get_model_class(settings.pop("name"))(**settings)
    scales = {"energy": 1.0, "forces": 1.0, "stress_isotropic": 0.05, "stress_anisotropic": 0.05}
    torch.save(
        {
            "epoch": 0,
            "step": 0,
            "state_dict": {f"module.{name}": tensor for name, tensor in network.state_dict().items()},
            "normalizers": {name: Normalizer(mean=0.0, rmsd=rmsd).state_dict() for name, rmsd in scales.items()},
            "elementrefs": {"energy": LinearReferences(element_references=torch.zeros(97)).state_dict()},
            "config": config(),
            "val_metrics": None,
            "ema": None,
            "amp": None,
            "best_val_metric": None,
            "primary_metric": "energy_mae",
        },
        path,
    )
    return path
