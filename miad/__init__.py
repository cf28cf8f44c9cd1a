"""miad: mirage atom diffusion, from a data set to stable, unique and novel crystals."""

__version__ = "0.1.0"
