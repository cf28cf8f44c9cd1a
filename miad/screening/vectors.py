"""Vectors and lattices in compiled code."""

import math

import numba
import numpy as np

Array = np.ndarray
compiled = numba.njit  # not cached on disk: numba would not notice a change in another module


@compiled
def dot(u: Array, v: Array) -> float:
    """Dot product of two vectors, (3,) each."""
    return u[0] * v[0] + u[1] * v[1] + u[2] * v[2]


@compiled
def triple(a: Array, b: Array, c: Array) -> float:
    """Determinant of the matrix with these rows, (3,) each."""
    return a[0] * (b[1] * c[2] - b[2] * c[1]) + a[1] * (b[2] * c[0] - b[0] * c[2]) + a[2] * (b[0] * c[1] - b[1] * c[0])


@compiled
def angle(u: Array, v: Array, norm_u: float, norm_v: float) -> float:
    """Angle of two vectors of known lengths, degrees."""
    return math.degrees(math.acos(min(1.0, max(-1.0, dot(u, v) / (norm_u * norm_v)))))


@compiled
def square(x: float, y: float, z: float, metric: Array) -> float:
    """Squared length (Å²) of a vector given in cells."""
    plain = metric[0, 0] * x * x + metric[1, 1] * y * y + metric[2, 2] * z * z
    return plain + 2 * (metric[0, 1] * x * y + metric[0, 2] * x * z + metric[1, 2] * y * z)


@compiled
def shape_of(lattice: Array, shape: Array) -> None:
    """Edges and angles (degrees) of a lattice."""
    for axis in range(3):
        shape[axis] = math.sqrt(dot(lattice[axis], lattice[axis]))
    for axis in range(3):
        u, v = (axis + 1) % 3, (axis + 2) % 3
        shape[3 + axis] = angle(lattice[u], lattice[v], shape[u], shape[v])


@compiled
def mean_metric(
    edges: tuple[float, float, float], angles: tuple[float, float, float], shape: Array, metric: Array
) -> None:
    """Dot products of the vectors of the lattice between two, whose edges and angles are the means of theirs."""
    mean = np.empty(3)
    for axis in range(3):
        mean[axis] = 0.5 * (edges[axis] + shape[axis])
        metric[axis, axis] = mean[axis] * mean[axis]
    for axis in range(3):
        u, v = (axis + 1) % 3, (axis + 2) % 3
        angle = math.radians(0.5 * (angles[axis] + shape[3 + axis]))
        metric[u, v] = metric[v, u] = mean[u] * mean[v] * math.cos(angle)
