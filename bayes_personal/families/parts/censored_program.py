"""The log likelihood of outcomes that may not have been seen exactly as an operation of PyTensor, with its gradient.

It is apart, so that naming a family does not import PyTensor.
"""

from typing import Any, final

import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import DisconnectedType, disconnected_type
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.link.numba.dispatch.basic import numba_njit, register_funcify_default_op_cache_key

from bayes_personal.kernels.censored_rows import ROWS, log_p
from bayes_personal.kernels.codes import SEEN


@final
class CensoredRows(Op):
    """log p of every row, and its slopes by eta and by the family's own number, which has one value a row too."""

    __props__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def of(self, y: Any, n: Any, eta: Any, own: Any) -> Any:
        """Return log p of arguments that broadcast."""
        arguments: Any = pt.broadcast_arrays(*(pt.cast(each, "float64") for each in (y, n, eta, own)))
        outputs: Any = self(*arguments)
        return outputs[0]

    def make_node(self, *arguments: Any) -> Apply:
        """Make the node of arrays of one shape, which has three outputs of that shape."""
        inputs = [pt.as_tensor_variable(each) for each in arguments]
        return Apply(self, inputs, [inputs[2].type() for _ in range(3)])

    def perform(self, node: Apply, inputs: Any, output_storage: Any) -> None:
        """Compute all outputs."""
        height, score, _, by_own = log_p(self.name, *inputs)
        for storage, value in zip(output_storage, (height, score, by_own), strict=True):
            storage[0] = np.asarray(value, float)

    def infer_shape(self, node: Apply, shapes: Any) -> list[Any]:
        """Return the shape that all arguments have."""
        return [shapes[2]] * 3

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        """Return the connections of the outputs; the slopes cannot be differentiated."""
        return [[False] * 3, [False] * 3, [True, False, False], [True, False, False]]

    def pullback(self, inputs: Any, outputs: Any, cotangents: Any) -> list[Any]:
        """Return the derivatives by eta and by the family's own number, from those by the first output."""
        if isinstance(cotangents[0].type, DisconnectedType):
            return [disconnected_type() for _ in inputs]
        return [disconnected_type(), disconnected_type(), cotangents[0] * outputs[1], cotangents[0] * outputs[2]]

    # The older name of this method, whose last argument has another name.
    L_op: Any = pullback


@register_funcify_default_op_cache_key(CensoredRows)
def compiled_rows(op: CensoredRows, **options: Any) -> Any:
    """Return what Numba compiles for the operation."""
    rows, positive = ROWS[op.name], op.name != "normal"

    @numba_njit
    def of_arrays(y, n, eta, own):
        flat = (np.ascontiguousarray(y).ravel(), np.ascontiguousarray(n).ravel(), np.ascontiguousarray(eta).ravel(),
                np.ascontiguousarray(own).ravel())
        out = rows(*flat)
        height = out[0].copy()
        if positive:
            for i in range(len(height)):
                if flat[1][i] == SEEN:
                    height[i] -= np.log(flat[0][i])
        return height.reshape(eta.shape), out[1].copy().reshape(eta.shape), out[3].copy().reshape(eta.shape)

    return of_arrays, 1
