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

    def __call__(
        self, lattice: Tensor, frac_coords: Tensor, species: Tensor, times: Tensor, is_atom: Tensor | None = None, /
    ) -> tuple[Tensor, ...]:
        """Predictions of the network, see `miad.model.process.Predict`."""
        inputs = (lattice, frac_coords, species, times, *([] if is_atom is None else [is_atom]))
        has_gradient = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in inputs)
        if has_gradient or lattice.device.type != "cuda":
            return self._predict(inputs, has_gradient)
        shapes = tuple((tensor.shape, tensor.dtype) for tensor in inputs)
        if shapes not in self.graphs:
            self.graphs[shapes] = self._record(inputs)
        graph, places, outputs = self.graphs[shapes]
        for place, tensor in zip(places, inputs, strict=True):
            place.copy_(tensor)
        graph.replay()
        return tuple(output.clone() for output in outputs)  # the next call overwrites them

    def _predict(self, inputs: tuple[Tensor, ...], has_gradient: bool = False) -> tuple[Tensor, ...]:
        before = torch.backends.cuda.matmul.allow_tf32
        torch.backends.cuda.matmul.allow_tf32 = self.precision == "tf32"
        try:
            device = inputs[0].device.type
            low = torch.autocast(device, torch.bfloat16, enabled=self.precision == "bf16")
            with torch.set_grad_enabled(has_gradient), low:
                return self.network(*inputs)
        finally:
            torch.backends.cuda.matmul.allow_tf32 = before

    def _record(self, inputs: tuple[Tensor, ...]) -> tuple:
        with torch.cuda.device(inputs[0].device):
            places = tuple(tensor.clone() for tensor in inputs)
            here, aside = torch.cuda.current_stream(), torch.cuda.Stream()
            aside.wait_stream(here)
            with torch.cuda.stream(aside):
                for _ in range(2):  # what is compiled, tabulated or allocated at a first call must not be in the graph
                    self._predict(places)
            here.wait_stream(aside)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                outputs = self._predict(places)
        return graph, places, outputs
