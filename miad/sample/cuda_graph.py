"""The network as the sampler calls it: thousands of times with the same shapes, mostly without gradients."""

import torch
from torch import Tensor, nn


class Predictor:
    """A trained network in the arithmetic asked for; on a GPU recorded once per shape and replayed as a CUDA graph.

    A call is some 200 kernels, most of them of a few microseconds: started one by one, they would wait for the
    processor; as a graph they are one start. On a CPU, or of inputs that need gradients, this is the network itself.

    Args:
        network: in evaluation mode.
        precision: float32; tf32: products on tensor cores with 10 bits of mantissa, float32 where there are none; bf16:
            autocast, 8 bits, the heads in float32.
    """

    def __init__(self, network: nn.Module, precision: str) -> None:
        self.network, self.precision = network, precision
        self.graphs: dict[tuple, tuple] = {}  # by shapes: the graph, where its inputs and outputs lie

    def __call__(self, lattice: Tensor, *others: Tensor | None) -> tuple[Tensor, ...]:
        """Predictions of the network, see `miad.model.process.Predict`."""
        inputs = (lattice, *others)
        if lattice.device.type != "cuda" or _has_gradient(lattice):
            return self._predict(lattice, *others)
        shapes = tuple(None if tensor is None else (tensor.shape, tensor.dtype) for tensor in inputs)
        if shapes not in self.graphs:
            self.graphs[shapes] = self._record(lattice, *others)
        graph, places, outputs = self.graphs[shapes]
        for place, tensor in zip(places, inputs, strict=True):
            if place is not None and tensor is not None:
                place.copy_(tensor)
        graph.replay()
        return tuple(output.clone() for output in outputs)  # the next call overwrites them

    def _predict(self, lattice: Tensor, *others: Tensor | None) -> tuple[Tensor, ...]:
        before = torch.backends.cuda.matmul.allow_tf32
        torch.backends.cuda.matmul.allow_tf32 = self.precision == "tf32"
        try:
            low = torch.autocast(lattice.device.type, torch.bfloat16, enabled=self.precision == "bf16")
            with torch.set_grad_enabled(_has_gradient(lattice)), low:
                return self.network(lattice, *others)
        finally:
            torch.backends.cuda.matmul.allow_tf32 = before

    def _record(self, lattice: Tensor, *others: Tensor | None) -> tuple:
        with torch.cuda.device(lattice.device):
            first, *rest = lattice.clone(), *(None if tensor is None else tensor.clone() for tensor in others)
            here, aside = torch.cuda.current_stream(), torch.cuda.Stream()
            aside.wait_stream(here)
            with torch.cuda.stream(aside):
                for _ in range(2):  # what is compiled, tabulated or allocated at a first call must not be in the graph
                    self._predict(first, *rest)
            here.wait_stream(aside)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                outputs = self._predict(first, *rest)
        return graph, (first, *rest), outputs


def _has_gradient(lattice: Tensor) -> bool:
    """Whether gradients by the inputs, of which the lattice is one, are wanted."""
    return torch.is_grad_enabled() and lattice.requires_grad
