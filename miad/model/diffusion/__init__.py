"""The joint diffusion of lattice, fractional coordinates and species, with mirage atoms."""
