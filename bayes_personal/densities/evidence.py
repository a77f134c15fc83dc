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
        """Of a vector, two outputs."""
        return Apply(self, [pt.as_tensor_variable(natural)], [pt.dscalar(), pt.dvector()])

    def perform(self, node: Apply, inputs: Any, output_storage: Any) -> None:
        """Sum."""
        value, gradient = self.density.log_evidence(np.asarray(inputs[0], float))
        output_storage[0][0], output_storage[1][0] = np.asarray(value), gradient

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        """The gradient has none of its own."""
        return [[True, False]]

    def pullback(self, inputs: Any, outputs: Any, cotangents: Any) -> list[Any]:
        """What the derivative with respect to the number makes of the arguments."""
        if isinstance(cotangents[0].type, DisconnectedType):
            return [disconnected_type()]
        return [cotangents[0] * outputs[1]]

    # The older name, whose last argument is called otherwise.
    L_op: Any = pullback
