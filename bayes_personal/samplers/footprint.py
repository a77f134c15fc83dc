"""How much memory a fit takes, told before it starts."""

from bayes_personal.binding.bound import BoundModel
from bayes_personal.data.rows import InMemory
from bayes_personal.densities.integrated import marginal_density
from bayes_personal.samplers.redrawn import left_to_seed
from bayes_personal.system.memory import COPIES, must_fit

# Arrays of all draws that exist at a time while they are made: noise, whitened weights, effects, and the intermediate
# results; a sampler that moves over all variables also holds its own draws.
COLLAPSED, EVERYTHING = 5, 8


def footprint(bound: BoundModel, draws: int) -> tuple[int, float]:
    """Return how many numbers a draw has, and how many bytes a fit with so many draws takes at most."""
    density, numbers = marginal_density(bound), sum(parameter.size for parameter in bound.parameters)
    stored_terms = [term for term in bound.terms if not left_to_seed(density, term, draws)]
    numbers += sum(term.size * len(term.positions) for term in stored_terms) + (bound.mean.size if bound.mean else 0)
    numbers += sum(len(labels) * len(field.positions) for field in bound.gaussian_functions
                   for labels in field.places.values())
    size = 8.0 * draws * numbers * (EVERYTHING if density is None else COLLAPSED)
    if isinstance(bound.rows, InMemory):
        dense = sum(term.size for term in bound.terms if not term.grouped)
        size += 8.0 * COPIES * len(bound.rows) * dense
    return numbers, size


def must_hold(bound: BoundModel, draws: int) -> None:
    """Refuse a fit that needs more memory than this machine has."""
    numbers, size = footprint(bound, draws)
    must_fit(size, f"Making {draws:,} draws of {numbers:,} numbers for {len(bound.rows):,} rows",
             "Ask for fewer draws, such as method=bp.NUTS(draws=250), or let fewer coefficients vary between fewer "
             "groups.")
