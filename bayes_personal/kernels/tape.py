"""A function of a few numbers as a list of operations, which a small compiled machine runs and differentiates.

Hyperpriors and scales are written once, as NumPy expressions. Called on arrays of `Symbol`s these leave a record of
every operation on every number. The machine that reads such records is compiled once for all models and kept on disk:
no model needs compilation, and none of NumPy's time for a call is spent on arrays of three numbers.
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
    *(lambda one, _, function=function: function(one) for function in (np.exp, np.log, np.log1p, np.sqrt)))

# Functions that NumPy hands on to the entries of an array of objects, by methods of these names.
UFUNCS = frozenset(name for name, function in vars(np).items() if isinstance(function, np.ufunc))
ALLOWED = "scales may use + - * /, known powers, exp, log, log1p, sqrt, xp.minimum"


def _refusal(operation: str) -> Callable[..., Never]:
    """A method that refuses an operation of which nothing is recorded."""
    def refuse(*_: Any) -> Never:
        raise SpecificationError(f"{ALLOWED}; got {operation}")
    return refuse


@final
class Symbol:
    """One number of a record: its place there, and its value where that is known already.

    It takes the operations that the machine knows. Any other raises a SpecificationError, and so does a branch on its
    value, which is not known yet.
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
        # NumPy and others ask whether there are methods of some protocol; there are none.
        if name.startswith("__"):
            raise AttributeError(name)
        refuse = _refusal(name)
        # NumPy would replace an error by its own here, but not one that the method raises.
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
    """The operations so far. Places count constants and variables as they come; equal operations have one place."""

    constants: dict[float, int] = field(default_factory=dict)
    operations: dict[tuple[int, int, int], int] = field(default_factory=dict)
    places: Iterator[int] = field(default_factory=lambda: iter(range(2**31)))

    def variable(self) -> Symbol:
        """A number that will be given."""
        return Symbol(self, next(self.places))

    def known(self, number: Any) -> Symbol:
        """A number that is known already."""
        number = float(number)
        if number not in self.constants:
            self.constants[number] = next(self.places)
        return Symbol(self, self.constants[number], number)

    def apply(self, code: int, one: Any, other: Any) -> Symbol:
        """The result of an operation; what leaves a number as it is, and what is known, leaves no record."""
        one, other = (each if isinstance(each, Symbol) else self.known(each) for each in (one, other))
        if one.value is not None and other.value is not None:
            return self.known(PLAIN[code](one.value, other.value))
        if code == MULTIPLY and 0.0 in (one.value, other.value):
            return self.known(0.0)
        if (code == ADD and one.value == 0) or (code == MULTIPLY and one.value == 1):
            return other
        if (code in (ADD, SUBTRACT) and other.value == 0) or (code in (MULTIPLY, DIVIDE, POWER) and other.value == 1):
            return one
        key = code, one.place, other.place
        if key not in self.operations:
            self.operations[key] = next(self.places)
        return Symbol(self, self.operations[key])


def _smaller(one: Any, other: Any) -> Any:
    return (one if isinstance(one, Symbol) else other).record.apply(SMALLER, one, other)


class Symbolic:
    """NumPy for arrays of symbols."""

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
    code : (operation, 4): what is done, to which two places, and where the result goes
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
            results = [each if isinstance(each, Symbol) else record.known(each) for each in function(point)]
        except TypeError as error:
            # Some functions take no array of objects, whatever its entries can do.
            raise SpecificationError(f"{ALLOWED}; got {error}") from error
        start = np.zeros(next(record.places))
        start[list(record.constants.values())] = list(record.constants)
        code = np.array([(*key, place) for key, place in record.operations.items()], np.int64).reshape(-1, 4)
        given, outputs = (np.array([each.place for each in some], np.int64) for some in (variables, results))
        return cls(start, given, code, outputs)

    @property
    def arrays(self) -> tuple[np.ndarray, ...]:
        """Itself, as the compiled functions take it."""
        return self.start, self.given, self.code, self.outputs


@inlined
def forward(point, start, given, code):
    """The number in every place."""
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
    """d / d point of what has the derivative `slope` with respect to every place; `slope` is used up."""
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
    """What a tape leaves in the places of its outputs."""
    found = np.empty(len(results))
    for k in range(len(results)):
        found[k] = work[results[k]]
    return found


@compiled
def outputs(point, start, given, code, results):
    """The outputs of a tape."""
    return outputs_of(forward(point, start, given, code), results)


@compiled
def pulled_back(point, start, given, code, results, slopes):
    """d / d point of what has the derivatives `slopes` with respect to the outputs of a tape."""
    work = forward(point, start, given, code)
    slope = np.zeros(len(work))
    for k in range(len(results)):
        slope[results[k]] += slopes[k]
    return backward(work, slope, given, code)
