"""How much memory a fit takes, told before it starts."""

from bayes_personal.binding.bound import BoundModel
from bayes_personal.data.rows import InMemory
from bayes_personal.densities.integrated import marginal_density
from bayes_personal.samplers.redrawn import left_to_seed
from bayes_personal.system.memory import COPIES, must_fit

# Arrays of all draws that exist at a time while they are made: noise, whitened weights, effects, and what is computed
# between them; a sampler that moves over everything holds its own draws beside.
COLLAPSED, EVERYTHING = 5, 8


def footprint(bound: BoundModel, draws: int) -> tuple[int, float]:
    """How many numbers a draw has, and how many bytes a fit with so many draws takes at most."""
    density, numbers = marginal_density(bound), sum(each.size for each in bound.parameters)
    kept = [term for term in bound.terms if not left_to_seed(density, term, draws)]
    numbers += sum(term.size * len(term.positions) for term in kept) + (bound.mean.size if bound.mean else 0)
    numbers += sum(len(labels) * len(field.positions) for field in bound.gaussian_functions
                   for labels in field.places.values())
    size = 8.0 * draws * numbers * (EVERYTHING if density is None else COLLAPSED)
    if isinstance(bound.rows, InMemory):
        dense = sum(term.size for term in bound.terms if not term.grouped)
        size += 8.0 * COPIES * len(bound.rows) * dense
    return numbers, size


def must_hold(bound: BoundModel, draws: int) -> None:
    """Refuse a fit that this machine has no memory for."""
    numbers, size = footprint(bound, draws)
    must_fit(size, f"Making {draws:,} draws of {numbers:,} numbers for {len(bound.rows):,} rows",
             "Ask for fewer draws, such as method=bp.NUTS(draws=250), or let fewer coefficients vary between fewer "
             "groups.")
