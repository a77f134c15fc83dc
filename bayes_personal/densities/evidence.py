"""The sums over divisions as an operation of PyTensor: log p(y | hyperparameters), with its gradient."""

from typing import Any, final

import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import DisconnectedType, disconnected_type
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op

from bayes_personal.densities.division_density import DivisionDensity


@final
class LogEvidence(Op):
    """log p(y | arguments of the sums), a number, and its gradient, (argument,)."""

    __props__ = ("density",)

    def __init__(self, density: DivisionDensity) -> None:
        self.density = density

    def __str__(self) -> str:
        return "LogEvidence"

    def make_node(self, natural: Any) -> Apply:
        """Make the node of a vector, which has two outputs."""
        return Apply(self, [pt.as_tensor_variable(natural)], [pt.dscalar(), pt.dvector()])

    def perform(self, node: Apply, inputs: Any, output_storage: Any) -> None:
        """Compute both outputs."""
        value, gradient = self.density.log_evidence(np.asarray(inputs[0], float))
        output_storage[0][0], output_storage[1][0] = np.asarray(value), gradient

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        """Return the connections of the outputs; the gradient cannot be differentiated."""
        return [[True, False]]

    def pullback(self, inputs: Any, outputs: Any, cotangents: Any) -> list[Any]:
        """Return the derivative by the arguments, from the derivative by the first output."""
        if isinstance(cotangents[0].type, DisconnectedType):
            return [disconnected_type()]
        return [cotangents[0] * outputs[1]]

    # The older name of this method, whose last argument has another name.
    L_op: Any = pullback
