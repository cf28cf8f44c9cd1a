"""Structure prediction: the pull that known species have on coordinates and lattice.

The network learnt the score of p(L_t, F_t | A_t), where the species are noisy; of known ones it takes many for noise,
and leaves them at places that fit other elements. So the gradient of log p₀(A_0) is added, of what the rest of the
crystal says of each atom, by the network's own prediction. With the posterior in its place, which counts A_t as well,
this would be Bayes' rule; but A_t is A_0 here, and leaves little to pull at: it predicts fewer structures.

Source: classifier guidance, Dhariwal and Nichol, arXiv:2105.05233.
"""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from miad.model.process import Predict

# Limits of the gradients, which grow without bound where the network is sure of other species.
MOST_CELL = 3.0  # 1/Å, norm over a lattice
MOST_PLACE = 2.0  # norm at a place, in units of 1/σ_t, which is about the norm of the score there


def guided(network: Predict, known: Tensor, of_cell: Tensor, of_places: Tensor, sigma: Tensor) -> Predict:
    """The network whose lattice noise and coordinate score pull towards crystals that fit the known species.

    Args:
        network: with gradients by lattice and coordinates.
        known: A_0, (n_crystals, n_atoms), 0 = mirage.
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
            misfit = cross_entropy(found[2].transpose(1, 2), known, reduction="none")  # (n_crystals, n_atoms), nats
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
