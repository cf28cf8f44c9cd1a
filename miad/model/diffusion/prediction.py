"""Structure prediction: the pull that known species have on coordinates and lattice.

The network learnt the score of p(L_t, F_t | A_t), where the species are noisy. With the clean ones known, Bayes' rule
adds the gradient of log p(A_0 | L_t, F_t, A_t); the network's own prediction of the species, atom by atom, stands for
it. Without this pull structures keep to places that fit other elements.

Source: classifier guidance, Dhariwal and Nichol, arXiv:2105.05233.
"""

import torch
from torch import Tensor

from miad.model.diffusion import species as of_species
from miad.model.process import Predict

# Limits of the gradients, which grow without bound where the network is sure of other species.
MOST_CELL = 3.0  # 1/Å, norm over a lattice
MOST_PLACE = 2.0  # norm at a place, in units of 1/σ_t, which is about the norm of the score there


def guided(
    network: Predict, known: Tensor, alpha_bar: Tensor, of_cell: Tensor, of_places: Tensor, sigma: Tensor
) -> Predict:
    """The network whose lattice noise and coordinate score pull towards crystals that fit the known species.

    Args:
        network: with gradients by lattice and coordinates.
        known: A_0, (n_crystals, n_atoms), 0 = mirage.
        alpha_bar: ᾱ_t of the species.
        of_cell, of_places: factors of the gradients in the lattice noise (Å) and in score/√λ (cells).
        sigma: σ_t, cells.
    """

    def predict(
        lattice: Tensor,
        frac_coords: Tensor,
        species: Tensor,
        times: Tensor,
        is_atom: Tensor | None = None,
        *told: Tensor | None,
    ) -> tuple[Tensor, ...]:
        with torch.enable_grad():
            inputs = lattice.detach().requires_grad_(), frac_coords.detach().requires_grad_()
            found = network(*inputs, species, times, is_atom, *told)
            import os

            if os.environ.get("BAYES") == "0":
                misfit = torch.nn.functional.cross_entropy(found[2].transpose(1, 2), known, reduction="none")
            else:
                misfit = of_species.cross_entropy(found[2], species, known, alpha_bar)  # (n_crystals, n_atoms), nats
            if is_atom is not None:
                misfit = misfit * is_atom
            cell, places = torch.autograd.grad(-misfit.sum(), inputs)  # (n_crystals, 3, 3), (n_crystals, n_atoms, 3)
        epsilon, score, logits = (part.detach() for part in found)
        cell = _shortened(cell, (1, 2), MOST_CELL)
        places = _shortened(places, (2,), MOST_PLACE / sigma)
        return epsilon - of_cell * cell, score + of_places * places, logits

    return predict


def _shortened(gradient: Tensor, axes: tuple[int, ...], most: float | Tensor) -> Tensor:
    """A gradient whose norm over the axes is at most `most`."""
    norm = torch.linalg.vector_norm(gradient, dim=axes, keepdim=True)
    return gradient * (most / norm.clamp(min=1e-12)).clamp(max=1)
