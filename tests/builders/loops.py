"""The four elementwise parts of the edge block run on random numbers, by any implementation of them."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from miad.model.edges import PairIndex


def outcome(loops, shape, rounded, dtype=None, *, is_ragged=False, poison=False, device="cpu") -> dict[str, Tensor]:
    """All outputs of the four parts in double precision; inputs are of type `rounded`, and computed with in `dtype`.

    Outputs are no numbers before they are filled.
    """
    num, atoms, hidden = shape
    g = torch.Generator().manual_seed(0)
    pairs, dtype = PairIndex(atoms, device), dtype or rounded

    def draw(*size):
        return (2 * torch.randn(size, generator=g)).to(rounded).to(device, dtype)

    def empty(like):
        return torch.full_like(like, math.nan)

    receiver, sender, grad = (draw(num, atoms, hidden) for _ in range(3))
    even, odd = (draw(num, len(pairs.first), hidden) for _ in range(2))
    alone, bias = draw(hidden), draw(hidden)
    v, d_a = (draw(num, atoms**2, hidden) for _ in range(2))
    share = torch.full((num, atoms), 1 / atoms, dtype=torch.promote_types(dtype, torch.float32), device=device)
    if is_ragged:
        share[:, 1:] = 0.0
    if poison:
        receiver[0, 0, 3] = math.nan
        v[0, 0, 3] = math.nan
    u, a, d_v, again, lone = (empty(v) for _ in range(5))
    mean, d_receiver, d_sender, d_even, d_odd = map(empty, (receiver, receiver, receiver, even, even))
    loops.first(u, a, receiver, sender, even, odd, alone, pairs)
    loops.first(None, lone, receiver, sender, even, odd, alone, pairs)
    loops.second(mean, v, bias, share)
    d_bias = loops.second_backward(d_v, again, grad, u, v, bias, share)
    d_alone = loops.first_backward(d_receiver, d_sender, d_even, d_odd, d_a, u, pairs)
    names = ("u", "a", "lone", "mean", "d_v", "again", "d_bias", "d_receiver", "d_sender", "d_even", "d_odd", "d_alone")
    parts = (u, a, lone, mean, d_v, again, d_bias, d_receiver, d_sender, d_even, d_odd, d_alone)
    return {name: part.double().cpu() for name, part in zip(names, parts, strict=True)}


def errors(found: dict[str, Tensor], expected: dict[str, Tensor]) -> dict[str, float]:
    """Largest error of each output, in shares of its largest number; empty ones are left out."""
    whole = {name: theirs for name, theirs in expected.items() if theirs.numel()}
    return {name: float((found[name] - theirs).abs().max() / theirs.abs().max()) for name, theirs in whole.items()}


def assert_close(found: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float) -> None:
    """Every number within a share of the largest one of its kind."""
    assert all(error <= tolerance for error in errors(found, expected).values()), errors(found, expected)


def rounding_interpreter() -> tuple[object, str, Callable]:
    """Arguments of setattr by which Triton's interpreter rounds to bfloat16, as a GPU does, and no longer cuts off."""
    from triton import language
    from triton.runtime import interpreter

    convert = interpreter._convert_float

    def rounded(data, source, target, mode):
        if (source, target) != (language.float32, language.bfloat16):
            return convert(data, source, target, mode)
        return torch.from_numpy(data).bfloat16().view(torch.int16).numpy().view("uint16")

    return interpreter, "_convert_float", rounded
