"""CHGNet on several crystals at once: energy, forces and virial from one backward pass."""

import contextlib
import io
from collections.abc import Sequence

import numpy as np
import torch
from chgnet.graph.crystalgraph import CrystalGraph
from chgnet.model.model import BatchedGraph, CHGNet
from pymatgen.optimization.neighbors import find_points_in_spheres

from miad.calculators import Atoms, Evaluation, Evaluator

MAX_ANGLES = 150_000  # a crystal of more would need beyond 1.5 GB on its own


def load_evaluator(device: str) -> Evaluator:
    """CHGNet 0.3.0 as a function of crystals, its weights frozen."""
    with contextlib.redirect_stdout(io.StringIO()):
        model = CHGNet.load(use_device=device, verbose=False).eval()
    for parameter in model.parameters():
        parameter.requires_grad_(False)

    def evaluate(batch: Sequence[Atoms]) -> list[Evaluation]:
        return _evaluate(model, [_graph(model, atoms).to(device) for atoms in batch])

    return evaluate


def _evaluate(model: CHGNet, graphs: list[CrystalGraph]) -> list[Evaluation]:
    batch = BatchedGraph.from_graphs(
        graphs,
        bond_basis_expansion=model.bond_basis_expansion,
        angle_basis_expansion=model.angle_basis_expansion,
        compute_stress=True,
    )
    per_atom = model._compute(batch)["e"] + model.composition_model(graphs)  # (n_crystals,) eV/atom
    num_atoms = torch.tensor([len(graph.atomic_number) for graph in graphs], device=per_atom.device)
    # CHGNet's own call keeps the graph for second derivatives; one plain backward pass is all that is needed here.
    total = per_atom * num_atoms
    gradients = torch.autograd.grad(total.sum(), [*batch.atom_positions, *batch.strains])
    arrays = [gradient.double().cpu().numpy() for gradient in gradients]
    return [
        Evaluation(energy=energy, forces=-by_position, virial=-by_strain)
        for energy, by_position, by_strain in zip(
            total.tolist(), arrays[: len(graphs)], arrays[len(graphs) :], strict=True
        )
    ]


def _graph(model: CHGNet, atoms: Atoms) -> CrystalGraph:
    converter = model.graph_converter
    frac_coords = np.mod(atoms.frac_coords, 1.0)
    lattice = np.ascontiguousarray(atoms.lattice)
    cart = np.ascontiguousarray(frac_coords @ lattice)
    center, neighbor, image, distance = find_points_in_spheres(
        cart, cart, r=converter.atom_graph_cutoff, pbc=np.ones(3, dtype=np.int64), lattice=lattice, tol=1e-8
    )
    is_other = (center != neighbor) | (distance > 1e-8)
    center, neighbor, image, distance = (array[is_other] for array in (center, neighbor, image, distance))
    num_close = np.bincount(center[distance < converter.bond_graph_cutoff], minlength=len(cart))
    if (num_close * (num_close - 1)).sum() > MAX_ANGLES:
        raise MemoryError(f"more than {MAX_ANGLES} angles")
    if len(center) == 0:
        raise ValueError("no atom has a neighbour within 6 Å")
    graph = converter.create_graph(len(cart), center, neighbor, image, distance)
    atom_graph, directed2undirected = graph.adjacency_list()
    bond_graph, undirected2directed = graph.line_graph_adjacency_list(cutoff=converter.bond_graph_cutoff)
    return CrystalGraph(
        atomic_number=torch.tensor(atoms.atomic_numbers, dtype=torch.int32),
        atom_frac_coord=torch.tensor(frac_coords, dtype=torch.float32, requires_grad=True),
        atom_graph=torch.tensor(atom_graph, dtype=torch.int32),
        atom_graph_cutoff=converter.atom_graph_cutoff,
        neighbor_image=torch.tensor(image, dtype=torch.float32),
        directed2undirected=torch.tensor(directed2undirected, dtype=torch.int32),
        undirected2directed=torch.tensor(undirected2directed, dtype=torch.int32),
        bond_graph=torch.tensor(bond_graph, dtype=torch.int32),
        bond_graph_cutoff=converter.bond_graph_cutoff,
        lattice=torch.tensor(lattice, dtype=torch.float32, requires_grad=True),
    )
