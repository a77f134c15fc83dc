"""A function of a few numbers as a list of operations, which a small compiled machine runs and differentiates.

Hyperpriors and scales are written once, as NumPy expressions. Called on arrays of `Symbol`s, these record every
operation on every number. The machine that reads such records is compiled once for all models and kept on disk: no
model needs compilation, and no time goes into NumPy calls on arrays of three numbers.
"""

import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Never, final

import numpy as np

from bayes_personal.errors import SpecificationError
from bayes_personal.kernels.compiling import compiled, inlined

ADD, SUBTRACT, MULTIPLY, DIVIDE, POWER, SMALLER, EXP, LOG, LOG1P, SQRT = range(10)
PLAIN: tuple[Callable[[float, float], Any], ...] = (
    operator.add, operator.sub, operator.mul, operator.truediv, operator.pow, min,
    *(lambda value, _, function=function: function(value) for function in (np.exp, np.log, np.log1p, np.sqrt)))

# Functions that NumPy applies to the entries of an array of objects, by calling their methods of these names.
UFUNCS = frozenset(name for name, function in vars(np).items() if isinstance(function, np.ufunc))
ALLOWED = "scales may use + - * /, known powers, exp, log, log1p, sqrt, xp.minimum"


def _refusal(operation: str) -> Callable[..., Never]:
    """Return a method that refuses an operation that cannot be recorded."""
    def refuse(*_: Any) -> Never:
        raise SpecificationError(f"{ALLOWED}; got {operation}")
    return refuse


@final
class Symbol:
    """One number of a record: its place in the record, and its value where that is already known.

    It supports the operations that the machine knows. Any other operation raises a SpecificationError, and so does a
    branch on its value, which is not yet known.
    """

    __slots__ = ("place", "record", "value")

    def __init__(self, record: "Record", place: int, value: float | None = None) -> None:
        self.record, self.place, self.value = record, place, value

    def __add__(self, other: Any) -> Any:
        return self.record.apply(ADD, self, other)

    def __radd__(self, other: Any) -> Any:
        return self.record.apply(ADD, other, self)

    def __sub__(self, other: Any) -> Any:
        return self.record.apply(SUBTRACT, self, other)

    def __rsub__(self, other: Any) -> Any:
        return self.record.apply(SUBTRACT, other, self)

    def __mul__(self, other: Any) -> Any:
        return self.record.apply(MULTIPLY, self, other)

    def __rmul__(self, other: Any) -> Any:
        return self.record.apply(MULTIPLY, other, self)

    def __truediv__(self, other: Any) -> Any:
        return self.record.apply(DIVIDE, self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return self.record.apply(DIVIDE, other, self)

    def __pow__(self, other: Any) -> Any:
        if isinstance(other, Symbol):
            raise SpecificationError(f"{ALLOWED}; got a power whose exponent is not known")
        return self * self if other == 2 else self.record.apply(POWER, self, other)

    def __neg__(self) -> Any:
        return self.record.apply(SUBTRACT, 0.0, self)

    def __pos__(self) -> "Symbol":
        return self

    # NumPy's functions of arrays of objects call these methods of the entries.
    def exp(self) -> Any:
        return self.record.apply(EXP, self, 0.0)

    def log(self) -> Any:
        return self.record.apply(LOG, self, 0.0)

    def log1p(self) -> Any:
        return self.record.apply(LOG1P, self, 0.0)

    def sqrt(self) -> Any:
        return self.record.apply(SQRT, self, 0.0)

    def __getattr__(self, name: str) -> Any:
        # NumPy and other libraries check for the methods of some protocols; a symbol has none of them.
        if name.startswith("__"):
            raise AttributeError(name)
        refuse = _refusal(name)
        # NumPy would replace an error raised at this point by its own, but not an error that the method raises.
        return refuse if name in UFUNCS else refuse()

    __abs__ = _refusal("abs")
    __bool__ = _refusal("a condition on a number that is not known yet")
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _refusal("a comparison (use xp.minimum)")
    __float__ = __int__ = __complex__ = _refusal("a conversion to a plain number")
    __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __divmod__ = __rdivmod__ = _refusal("// or %")
    __rpow__ = _refusal("a power whose exponent is not known")


@final
@dataclass(eq=False)
class Record:
    """The operations recorded so far. Constants, variables and results are numbered in order of appearance.

    Equal operations share one place.
    """

    constants: dict[float, int] = field(default_factory=dict)
    operations: dict[tuple[int, int, int], int] = field(default_factory=dict)
    places: Iterator[int] = field(default_factory=lambda: iter(range(2**31)))

    def variable(self) -> Symbol:
        """Add a variable, whose number will be given when the tape runs."""
        return Symbol(self, next(self.places))

    def known(self, number: Any) -> Symbol:
        """Return the symbol of a number that is already known."""
        number = float(number)
        if number not in self.constants:
            self.constants[number] = next(self.places)
        return Symbol(self, self.constants[number], number)

    def apply(self, code: int, left: Any, right: Any) -> Symbol:
        """Return the result of an operation; one that changes nothing, or whose result is known, is not recorded."""
        left, right = (operand if isinstance(operand, Symbol) else self.known(operand) for operand in (left, right))
        if left.value is not None and right.value is not None:
            return self.known(PLAIN[code](left.value, right.value))
        if code == MULTIPLY and 0.0 in (left.value, right.value):
            return self.known(0.0)
        if (code == ADD and left.value == 0) or (code == MULTIPLY and left.value == 1):
            return right
        if (code in (ADD, SUBTRACT) and right.value == 0) or (code in (MULTIPLY, DIVIDE, POWER) and right.value == 1):
            return left
        key = code, left.place, right.place
        if key not in self.operations:
            self.operations[key] = next(self.places)
        return Symbol(self, self.operations[key])


def _smaller(left: Any, right: Any) -> Any:
    return (left if isinstance(left, Symbol) else right).record.apply(SMALLER, left, right)


class Symbolic:
    """NumPy's functions, for arrays of symbols."""

    minimum = staticmethod(np.frompyfunc(_smaller, 2, 1))

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


@final
@dataclass(frozen=True, eq=False)
class Tape:
    """A recorded function from (size,) to (outputs,).

    Attributes
    ----------
    start : constants in their places, zero elsewhere, (place,)
    given : places of the variables, (size,)
    code : (operation, 4): the kind of operation, the places of its two operands, and the place of its result
    outputs : places of the results
    """

    start: np.ndarray
    given: np.ndarray
    code: np.ndarray
    outputs: np.ndarray

    @classmethod
    def of(cls, function: Callable[[np.ndarray], list[Any]], size: int) -> "Tape":
        """Record `function`, which takes an array of symbols (size,) to a list of symbols and numbers.

        Raises
        ------
        SpecificationError
            An operation that the machine does not know.
        """
        record = Record()
        variables = [record.variable() for _ in range(size)]
        point = np.empty(size, object)
        point[:] = variables
        try:
            results = [entry if isinstance(entry, Symbol) else record.known(entry) for entry in function(point)]
        except TypeError as error:
            # Some functions do not accept arrays of objects, whatever methods the entries have.
            raise SpecificationError(f"{ALLOWED}; got {error}") from error
        start = np.zeros(next(record.places))
        start[list(record.constants.values())] = list(record.constants)
        code = np.array([(*key, place) for key, place in record.operations.items()], np.int64).reshape(-1, 4)
        given, outputs = (np.array([entry.place for entry in symbols], np.int64) for symbols in (variables, results))
        return cls(start, given, code, outputs)

    @property
    def arrays(self) -> tuple[np.ndarray, ...]:
        """The arrays of the tape, in the order of the compiled functions' arguments."""
        return self.start, self.given, self.code, self.outputs


@inlined
def forward(point, start, given, code):
    """Return the number in every place."""
    work = start.copy()
    for k in range(len(given)):
        work[given[k]] = point[k]
    for k in range(len(code)):
        operation, a, b = code[k, 0], work[code[k, 1]], work[code[k, 2]]
        if operation == MULTIPLY:
            result = a * b
        elif operation == ADD:
            result = a + b
        elif operation == SUBTRACT:
            result = a - b
        elif operation == DIVIDE:
            result = a / b
        elif operation == EXP:
            result = np.exp(a)
        elif operation == LOG:
            result = np.log(a)
        elif operation == SQRT:
            result = np.sqrt(a)
        elif operation == POWER:
            result = a**b
        elif operation == LOG1P:
            result = np.log1p(a)
        else:
            result = min(a, b)
        work[code[k, 3]] = result
    return work


@inlined
def backward(work, slope, given, code):
    """Return the gradient by `point` from the derivatives `slope` by every place; `slope` is overwritten."""
    for k in range(len(code) - 1, -1, -1):
        operation, i, j, place = code[k, 0], code[k, 1], code[k, 2], code[k, 3]
        d = slope[place]
        if d == 0.0:
            continue
        if operation == MULTIPLY:
            slope[i] += d * work[j]
            slope[j] += d * work[i]
        elif operation == ADD:
            slope[i] += d
            slope[j] += d
        elif operation == SUBTRACT:
            slope[i] += d
            slope[j] -= d
        elif operation == DIVIDE:
            slope[i] += d / work[j]
            slope[j] -= d * work[place] / work[j]
        elif operation == EXP:
            slope[i] += d * work[place]
        elif operation == LOG:
            slope[i] += d / work[i]
        elif operation == SQRT:
            slope[i] += 0.5 * d / work[place] if work[place] > 0 else 0.0
        elif operation == POWER:
            slope[i] += d * work[j] * work[i] ** (work[j] - 1)
        elif operation == LOG1P:
            slope[i] += d / (1 + work[i])
        elif work[i] <= work[j]:
            slope[i] += d
        else:
            slope[j] += d
    result = np.empty(len(given))
    for k in range(len(given)):
        result[k] = slope[given[k]]
    return result


@inlined
def outputs_of(work, results):
    """Return the numbers in the places of a tape's outputs."""
    values = np.empty(len(results))
    for k in range(len(results)):
        values[k] = work[results[k]]
    return values


@compiled
def outputs(point, start, given, code, results):
    """Return the outputs of a tape at a point."""
    return outputs_of(forward(point, start, given, code), results)


@compiled
def pulled_back(point, start, given, code, results, slopes):
    """Return the gradient by `point` from the derivatives `slopes` by the outputs of a tape."""
    work = forward(point, start, given, code)
    slope = np.zeros(len(work))
    for k in range(len(results)):
        slope[results[k]] += slopes[k]
    return backward(work, slope, given, code)


@compiled
def are_finite(value, gradient):
    """Say whether a number and all entries of a gradient are finite; NumPy takes as long as a short tape."""
    fine = np.isfinite(value)
    for k in range(len(gradient)):
        fine = fine and np.isfinite(gradient[k])
    return fine
