"""Sums over partitions: against all partitions one by one, plain recursions, published data, laws and draws."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from partitions import FAMILIES, SHAPE, Problem, by_context, each_step, problem
from scipy.special import gammaln, logsumexp

from bayes_personal.data.examples import load_dataset
from bayes_personal.kernels import partition_sums
from bayes_personal.kernels.segment_factors import GAMMA
from bayes_personal.priors.divisions.change_prior import Changes
from bayes_personal.priors.divisions.partitions import Partitions, log_evidence_and_gradient
from bayes_personal.priors.divisions.segment_counts import CountData, CountSegments
from bayes_personal.priors.divisions.segment_normal import NormalData, NormalSegments
from bayes_personal.priors.divisions.segment_normal_gamma import NormalGammaSegments

CONTEXTS, ROWS = 12, 17
GAPS = np.array([0.3, 1.1, 0.05, 2.0, 0.7, 0.7, 4.0, 0.2, 1.5, 0.9, 0.4])


@cache
def few(family: str, shortest: int = 1) -> Problem:
    return problem(family, Changes.by_rate(0.4, GAPS, shortest), CONTEXTS, ROWS)


def many(family: str) -> Problem:
    """More contexts than are worked on together."""
    return problem(family, Changes.by_rate(0.05, np.random.default_rng(4).uniform(0.1, 2, 299)), 300, 420)


@pytest.mark.parametrize("shortest", [1, 3])
@pytest.mark.parametrize("family", FAMILIES)
class TestEveryPartition:
    """Of twelve contexts there are 2048, with ties, empty contexts and irregular gaps."""

    def test_evidence_and_changes(self, family: str, shortest: int) -> None:
        found, truth = few(family, shortest).partition, few(family, shortest).enumerated
        assert found.log_evidence == pytest.approx(truth.log_evidence, abs=1e-10)
        np.testing.assert_allclose(found.change_probability, truth.change_probability, atol=1e-10)

    def test_left_out_rows(self, family: str, shortest: int) -> None:
        here = few(family, shortest)
        left_out = here.enumerated.left_out
        np.testing.assert_allclose(here.partition.left_out(), left_out, atol=1e-10)
        np.testing.assert_allclose(here.partition.left_out(lowest=-40.0), left_out, atol=1e-10)

    def test_draws(self, family: str, shortest: int) -> None:
        here, draws = few(family, shortest), 4000
        truth = here.enumerated
        starts, levels = here.partition.draw_segments(draws, np.random.default_rng(1))
        theta = by_context(starts, levels)
        assert starts[:, 0].all()
        chance = truth.change_probability[1:]
        z = (starts[:, 1:].mean(axis=0) - chance) / np.sqrt(np.maximum(chance * (1 - chance), 1e-3 / draws) / draws)
        assert np.abs(z).max() < 4
        chance = truth.number_of_changes
        often = np.bincount(starts.sum(axis=1) - 1, minlength=len(chance)) / draws
        z = (often - chance) / np.sqrt(np.maximum(chance * (1 - chance), 1e-3 / draws) / draws)
        assert np.abs(z).max() < 4
        mean, covariance = truth.coefficients
        sd = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
        assert np.abs((theta.mean(axis=0) - mean) / sd * np.sqrt(draws)).max() < 4
        square = (theta - mean)[:, :, :, None] * (theta - mean)[:, :, None, :]
        assert np.abs((square.mean(axis=0) - covariance) / square.std(axis=0) * np.sqrt(draws)).max() < 4
        # One value a segment, another in the next.
        same = (np.diff(theta, axis=1) == 0).all(axis=2)
        np.testing.assert_array_equal(same, ~starts[:, 1:])
        lengths = [np.diff(np.flatnonzero(row)) for row in starts]
        assert min(np.concatenate(lengths), default=shortest) >= shortest

    def test_left_out_rows_of_draws(self, family: str, shortest: int) -> None:
        """Each partition's own, whose mean of 1 / p over all partitions is that of the exact sum."""
        here = few(family, shortest)
        truth, partitions = here.enumerated, here.enumerated.partitions
        starts = np.zeros((len(partitions), CONTEXTS), bool)
        for row, (_, segments) in zip(starts, partitions, strict=True):
            row[[s for s, _ in segments]] = True
        found = here.partition.left_out_of(starts)
        assert found.shape == (len(partitions), ROWS)
        mean = -logsumexp(-found, axis=0, b=truth.probability[:, None])
        np.testing.assert_allclose(here.partition.left_out(), mean, atol=1e-10)
        known = {(s, e): np.array([truth.of(s, e)[0] - truth.of(s, e, i)[0] if s <= t <= e else np.nan
                                   for i, t in enumerate(here.places)]) for s, e in truth.partitions[7][1]}
        np.testing.assert_allclose(found[7], np.nanmax(list(known.values()), axis=0), atol=1e-10)


def evidence(family: str, point: np.ndarray, contexts: int, rows: int, shortest: int) -> tuple:
    """Problem of one point: log sigma, log tau, mean, and the log shape of scales, or log a, log b; and log rate."""
    gaps = np.random.default_rng(4).uniform(0.1, 2, contexts - 1)
    changes = Changes.by_rate(np.exp(point[-1]), gaps, shortest)
    segments, p = problem(family, changes, contexts, rows).segments, (len(point) - 2) // 2
    data = segments.normal.data if isinstance(segments, NormalGammaSegments) else segments.data
    if family[:6] in ("normal", "scaled"):
        normal = data.at(np.exp(point[0]), np.exp(point[1 : p + 1]), point[p + 1 : 2 * p + 1])
        return normal if family[:6] == "normal" else NormalGammaSegments(normal, float(np.exp(point[-2]))), changes
    return data.at(point[0], point[1]), changes


def test_many_coefficients() -> None:
    """More than the pivots whose logarithm is taken at once."""
    here = few("normal 6")
    found, truth = here.partition, here.enumerated
    assert found.log_evidence == pytest.approx(truth.log_evidence, abs=1e-10)
    np.testing.assert_allclose(found.change_probability, truth.change_probability, atol=1e-10)


@pytest.mark.parametrize(("contexts", "rows"), [(CONTEXTS, ROWS), (150, 200)])
@pytest.mark.parametrize("shortest", [1, 3])
@pytest.mark.parametrize("family", [*FAMILIES, "normal 6"])
def test_gradient(family: str, shortest: int, contexts: int, rows: int) -> None:
    p = int(family[-1]) if family[-1].isdigit() else 0
    own = [*[-0.3, 0.2, 0.5, 0, -1, 0.3][:p], *[49.0, 0.4, -0.3, 0, 1, 0.2][:p]] if p else [0.3]
    own += [1.2] if family[:6] == "scaled" else []
    point = np.array([0.1, *own, -1.5])
    value, gradient = log_evidence_and_gradient(*evidence(family, point, contexts, rows, shortest))

    def at(moved: np.ndarray) -> float:
        return Partitions(*evidence(family, moved, contexts, rows, shortest)).log_evidence
    assert value == pytest.approx(at(point), abs=1e-10)
    step = 1e-3
    for axis, slope in zip(np.eye(len(point)), gradient, strict=True):
        # Differences of order four: of two steps, so that only rounding is left.
        near, far = ((at(point + h * axis) - at(point - h * axis)) / (2 * h) for h in (step, 2 * step))
        assert slope == pytest.approx((4 * near - far) / 3, abs=1e-7, rel=1e-7)


def test_more_contexts_than_are_worked_on_together() -> None:
    """Plain recursions over a matrix of log factors."""
    here = many("poisson")
    segments, found = here.segments, here.partition
    assert isinstance(segments, CountSegments)
    contexts, odds = segments.contexts, here.changes.log_odds
    (a, b), (counts, exposures) = segments.scaled, segments.sums
    y, e = (each[None, 1:] - each[:-1, None] for each in (counts, exposures))
    with np.errstate(invalid="ignore"):
        factor = np.where(np.tri(contexts).T > 0, a * np.log(b) - gammaln(a) + gammaln(a + y)
                          - (a + y) * np.log(b + e) + e, -np.inf)
    before, after = np.zeros(contexts + 1), np.zeros(contexts + 1)
    for t in range(contexts):
        before[t + 1] = logsumexp(before[: t + 1] + odds[: t + 1] + factor[: t + 1, t])
    for s in range(contexts - 1, -1, -1):
        after[s] = odds[s] + logsumexp(factor[s, s:] + after[s + 1 :])
    np.testing.assert_allclose(found.log_before, before, rtol=1e-12, atol=1e-10)
    np.testing.assert_allclose(found.log_after, after, rtol=1e-12, atol=1e-10)
    weight = np.exp(before[:-1, None] + odds[:, None] + factor + after[None, 1:] - before[-1])
    np.testing.assert_allclose(found.change_probability[1:], weight.sum(axis=1)[1:], rtol=1e-10)
    left_out = np.empty(len(here.places))
    for i, (t, row) in enumerate(zip(np.sort(here.places), segments.row_statistics.T, strict=True)):
        z, w = (a + y)[: t + 1, t:], (b + e)[: t + 1, t:]
        density = (gammaln(z) - gammaln(z - row[0]) - z * np.log(w) + (z - row[0]) * np.log(w - row[1])
                   + row[0] * np.log(row[1]) - gammaln(row[0] + 1))
        left_out[i] = -logsumexp(-density, b=np.where(weight > 1e-200, weight, 0.0)[: t + 1, t:])
    np.testing.assert_allclose(found.left_out(), segments.rows.as_they_came(left_out), atol=1e-9)
    starts, _ = found.draw_segments(2000, np.random.default_rng(3))
    chance = found.change_probability[1:]
    z = (starts[:, 1:].mean(axis=0) - chance) / np.sqrt(np.maximum(chance * (1 - chance), 1e-3 / 2000) / 2000)
    assert np.abs(z).max() < 4
    # Segments longer than that, too: of one segment, each row's is what the density of all rows loses without it.
    whole = np.zeros((1, contexts), bool)
    whole[0, 0] = True
    z, w = (a + y)[0, -1], (b + e)[0, -1]
    count, exposure = segments.row_statistics
    density = (gammaln(z) - gammaln(z - count) - z * np.log(w) + (z - count) * np.log(w - exposure)
               + count * np.log(exposure) - gammaln(count + 1))
    np.testing.assert_allclose(found.left_out_of(whole)[0], segments.rows.as_they_came(density), atol=1e-9)


def test_draws_look_at_every_start() -> None:
    """Where the last segment starts, as a function of the uniform number: late starts first, none left out."""
    contexts = 300
    data = CountData.of_counts(np.tile([2, 3, 4], 100), np.ones(contexts), np.arange(contexts), contexts)
    found = Partitions(data.at(0.0, np.log(0.5)), each_step(-3.0, contexts))
    (a, b), (y, e) = found.segments.scaled, data.sums[:, -1:] - data.sums[:, :-1]
    factor = a * np.log(b) - gammaln(a) + gammaln(a + y) - (a + y) * np.log(b + e) + e
    chance = np.exp(found.log_before[:-1] + found.changes.log_odds + factor - found.log_before[-1])
    assert chance.sum() == pytest.approx(1, abs=1e-10)
    assert chance[[171, 172, 43, 44]].min() > 1e-8
    # One number inside the part of each start, of those that rounding does not hide, and far from its edges.
    upper = np.cumsum(chance[::-1])[::-1]
    middles = upper - chance / 2
    uniforms = np.full((contexts, contexts), 0.5)
    uniforms[:, -1] = middles
    starts = partition_sums.draw_starts(GAMMA, data.sums, found.segments.numbers, found.changes.log_odds,
                                        found.log_before, 1, uniforms)
    last = contexts - 1 - np.argmax(starts[:, ::-1], axis=1)
    np.testing.assert_array_equal(last, np.arange(contexts))


class TestPublishedData:
    def test_nile(self) -> None:
        """Digits of an independent program, for stated hyperparameters."""
        nile = load_dataset("nile")
        y = nile["volume"].to_numpy(float)
        data = NormalData.of(np.ones((100, 1)), y, np.ones(100), np.arange(100), 100)
        found = Partitions(data.at(130.0, np.array([200.0]), np.array([900.0])),
                           each_step(np.log(0.02 / 0.98), 100))
        assert found.log_evidence == pytest.approx(-636.039120, abs=5e-7)
        chance = dict(zip(nile["year"], found.change_probability, strict=True))
        assert sum(chance.values()) == pytest.approx(1.737249, abs=5e-7)
        assert [chance[year] for year in (1899, 1898, 1897, 1900)] == pytest.approx(
            [0.761693, 0.127158, 0.066535, 0.056292], abs=5e-7)
        draws = 20_000
        theta = by_context(*found.draw_segments(draws, np.random.default_rng(1)))[:, :, 0]
        for year, level, sd in [(1871, 1092.6531, 30.2268), (1890, 1093.8152, 28.6093), (1898, 1052.6309, 98.2071),
                                (1899, 860.5122, 60.3366), (1900, 850.0477, 34.1911), (1970, 846.2695, 42.3492)]:
            square = (theta[:, year - 1871] - level) ** 2
            assert abs(theta[:, year - 1871].mean() - level) < 4 * sd / np.sqrt(draws)
            assert abs(square.mean() - sd**2) < 4 * square.std() / np.sqrt(draws)

    def test_coal(self) -> None:
        """One change at most, in effect: where it is and the rates on both sides, with Gamma(1, 1) rates."""
        coal = load_dataset("coal")
        y = coal["disasters"].to_numpy()
        data = CountData.of_counts(y, np.ones(112), np.arange(112), 112)
        found = Partitions(data.at(0.0, 0.0), each_step(np.log(1e-9), 112))
        chance = found.change_probability / found.change_probability.sum()
        last = dict(zip(coal["year"] - 1, chance, strict=True))
        assert [last[year] for year in (1891, 1890, 1889, 1892)] == pytest.approx(
            [0.245020, 0.184760, 0.143163, 0.098807], abs=2e-6)
        assert chance @ (coal["year"].to_numpy() - 1) == pytest.approx(1890.0710, abs=1e-4)
        starts, levels = found.draw_segments(20_000, np.random.default_rng(1))
        theta = by_context(starts, levels)[starts.sum(axis=1) == 2, :, 0]
        for t, rate, sd in [(0, 3.06424, 0.28455), (-1, 0.92237, 0.11622)]:
            square = (theta[:, t] - rate) ** 2
            assert abs(theta[:, t].mean() - rate) < 4 * sd / np.sqrt(len(theta))
            assert abs(square.mean() - sd**2) < 4 * square.std() / np.sqrt(len(theta))


class TestLaws:
    def parts(self, rows: int = 40, contexts: int = 15) -> tuple:
        rng = np.random.default_rng(8)
        x = np.stack([np.ones(rows), rng.normal(0, 1, rows)], axis=1)
        return x, rng.normal(0, 2, rows), rng.uniform(0.5, 2, rows), rng.integers(0, contexts, rows), contexts

    def test_units(self) -> None:
        """y times c and x times d: the density changes by the Jacobian, coefficients by c / d."""
        x, y, known, places, contexts = self.parts()
        changes = Changes.by_rate(0.3, np.linspace(0.1, 2, contexts - 1))
        tau, mean = np.array([1.2, 0.7]), np.array([0.4, -0.3])
        one = Partitions(NormalData.of(x, y, known, places, contexts).at(0.8, tau, mean), changes)
        c, d = 1e5, np.array([1.0, 1e-3])
        other = Partitions(NormalData.of(x * d, y * c, known, places, contexts).at(0.8 * c, tau * c / d, mean * c / d),
                           changes)
        assert other.log_evidence == pytest.approx(one.log_evidence - len(y) * np.log(c), rel=1e-12)
        (starts, levels), (same, scaled) = (each.draw_segments(20, np.random.default_rng(5)) for each in (one, other))
        np.testing.assert_array_equal(starts, same)
        np.testing.assert_allclose(scaled, levels * c / d, rtol=1e-6)
        np.testing.assert_allclose(other.left_out(), one.left_out() - np.log(c), rtol=1e-9)

    def test_shift(self) -> None:
        """A billion added to the outcome and to the mean changes nothing but the mean."""
        x, y, known, places, contexts = self.parts()
        changes = Changes.by_rate(0.3, np.linspace(0.1, 2, contexts - 1))
        y, far = np.round(y * 1024) / 1024, np.array([2.0**30, 0.0])
        tau, mean = np.array([1.2, 0.7]), np.array([0.5, -0.25])
        one = Partitions(NormalData.of(x, y, known, places, contexts).at(0.8, tau, mean), changes)
        other = Partitions(NormalData.of(x, y + far[0], known, places, contexts).at(0.8, tau, mean + far), changes)
        assert other.log_evidence == pytest.approx(one.log_evidence, abs=1e-4)
        np.testing.assert_allclose(other.change_probability, one.change_probability, atol=1e-5)

    def test_the_order_of_rows(self) -> None:
        x, y, known, places, contexts = self.parts()
        order = np.random.default_rng(1).permutation(len(y))
        changes = Changes.by_rate(0.3, np.linspace(0.1, 2, contexts - 1))
        tau, mean = np.array([1.2, 0.7]), np.array([0.4, -0.3])
        one, other = (Partitions(NormalData.of(x[i], y[i], known[i], places[i], contexts).at(0.8, tau, mean), changes)
                      for i in (np.arange(len(y)), order))
        assert other.log_evidence == pytest.approx(one.log_evidence, abs=1e-11)
        np.testing.assert_allclose(other.left_out(), one.left_out()[order], atol=1e-11)
        starts, _ = one.draw_segments(20, np.random.default_rng(5))
        np.testing.assert_allclose(other.left_out_of(starts), one.left_out_of(starts)[:, order], atol=1e-11)

    @pytest.mark.parametrize("family", FAMILIES)
    def test_time_backward(self, family: str) -> None:
        one = few(family)
        gaps = GAPS[::-1]
        segments = one.segments
        normal = segments.normal if isinstance(segments, NormalGammaSegments) else segments
        data = normal.data
        places = CONTEXTS - 1 - np.sort(one.places)
        if isinstance(normal, NormalSegments):
            turned = NormalData.of(data.x, data.y + data.x @ data.origin, np.ones(ROWS), places, CONTEXTS)
            segments = turned.at(normal.sigma, normal.tau, normal.mean)
            segments = segments if normal is one.segments else NormalGammaSegments(segments, SHAPE)
            jacobian = data.log_known.sum()
        else:
            totals = data.row_statistics.copy()
            new = (CountData.of_counts(totals[0], totals[1] / data.unit, places, CONTEXTS) if family == "poisson"
                   else CountData.of_successes(totals[0], totals.sum(axis=0), places, CONTEXTS))
            segments, jacobian = new.at(one.segments.log_a, one.segments.log_b), 0.0
        other = Partitions(segments, Changes.by_rate(0.4, gaps))
        assert other.log_evidence - jacobian == pytest.approx(one.partition.log_evidence, abs=1e-10)
        np.testing.assert_allclose(other.change_probability[:0:-1], one.partition.change_probability[1:], atol=1e-10)

    def test_contexts_without_rows(self) -> None:
        """A context that nobody was seen at changes nothing, for changes come at a rate."""
        x, y, known, places, contexts = self.parts()
        times = np.cumsum(np.random.default_rng(2).uniform(0.2, 2, contexts))
        new = np.array([times[0] - 1.0, times[3] + 0.1, (times[6] + times[7]) / 2, times[9], times[-1] + 0.7])
        more = np.unique(np.concatenate([times, new]))
        tau, mean, rate = np.array([1.2, 0.7]), np.array([0.4, -0.3]), 0.5
        few_, all_ = (Partitions(NormalData.of(x, y, known, np.searchsorted(at, times)[places], len(at)).at(
            0.8, tau, mean), Changes.by_rate(rate, np.diff(at))) for at in (times, more))
        assert all_.log_evidence == pytest.approx(few_.log_evidence, abs=1e-11)
        np.testing.assert_allclose(all_.left_out(), few_.left_out(), atol=1e-11)
        # There are new contexts just before the fifth and the eighth: a change there may be a change before these.
        where = [t for t in range(1, contexts) if t not in (4, 7)]
        np.testing.assert_allclose(all_.change_probability[np.searchsorted(more, times[where])],
                                   few_.change_probability[where], atol=1e-11)

    def test_no_changes_and_all_changes(self) -> None:
        here = few("normal 2")
        never, always = (replace(here, changes=each_step(odds, CONTEXTS)) for odds in (-60.0, 60.0))
        whole, _, _ = here.enumerated.of(0, CONTEXTS - 1)
        each = sum(here.enumerated.of(t, t)[0] for t in range(CONTEXTS))
        assert never.partition.log_evidence == pytest.approx(whole, abs=1e-10)
        assert always.partition.log_evidence == pytest.approx(each, abs=1e-10)


@pytest.mark.parametrize("family", FAMILIES)
def test_one_context(family: str) -> None:
    here = problem(family, Changes.by_rate(0.4, np.empty(0)), 1, 5)
    found, (density, mean, _) = here.partition, here.enumerated.of(0, 0)
    assert found.log_evidence == pytest.approx(density, abs=1e-10)
    np.testing.assert_array_equal(found.change_probability, [0.0])
    starts, theta = found.draw_segments(3, np.random.default_rng(0))
    assert starts.all() and theta.shape == (3, len(mean))
    np.testing.assert_allclose(found.left_out(), here.enumerated.left_out, atol=1e-10)
    assert np.isfinite(log_evidence_and_gradient(found.segments, found.changes)[1]).all()


class TestExtremes:
    @pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
    @pytest.mark.parametrize("odds", [-40.0, -4.0, 5.0])
    def test_thousands_of_contexts(self, scale: float, odds: float) -> None:
        rng, contexts = np.random.default_rng(11), 2000
        x = np.stack([np.ones(contexts), rng.normal(0, 1, contexts)], axis=1)
        y = scale * (rng.normal(0, 1, contexts) + 50 * (np.arange(contexts) > 700))
        y[900] += 1e4 * scale
        data = NormalData.of(x, y, np.ones(contexts), np.arange(contexts), contexts)
        found = Partitions(data.at(1.0, np.array([20.0, 1.0]), np.zeros(2)), each_step(odds, contexts))
        value, gradient = log_evidence_and_gradient(found.segments, found.changes)
        assert np.isfinite(found.log_before).all() and np.isfinite(found.log_after).all()
        assert found.log_after[0] == pytest.approx(found.log_before[-1], rel=1e-11, abs=1e-8)
        assert value == pytest.approx(found.log_evidence, rel=1e-12)
        assert np.isfinite(gradient).all()
        starts, theta = found.draw_segments(3, np.random.default_rng(0))
        assert np.isfinite(theta).all()
        assert np.isfinite(found.left_out_of(starts)).all()
        if scale == 1.0:
            assert starts[:, [701, 900, 901]].all()

    def test_large_counts(self) -> None:
        """Millions a context: what is left of sums that nearly cancel."""
        rng, contexts = np.random.default_rng(12), 400
        exposure = rng.uniform(1e5, 1e6, contexts)
        y = rng.poisson(exposure * np.where(np.arange(contexts) < 250, 10.0, 10.2))
        data = CountData.of_counts(y, exposure, np.arange(contexts), contexts)
        found = Partitions(data.at(2.0, 0.2), each_step(-5.0, contexts))
        assert found.change_probability[250] == pytest.approx(1, abs=1e-6)
        theta = by_context(*found.draw_segments(100, np.random.default_rng(0)))
        assert theta[:, [0, -1], 0].mean(axis=0) == pytest.approx([10.0, 10.2], abs=0.01)

    def test_an_outlier_left_out(self) -> None:
        """1 / p of a row 200 standard deviations off is e^20000 and more."""
        here = few("normal 1")
        data = here.segments.data
        y = (data.y + data.x @ data.origin).copy()
        y[5] += 200
        other = NormalData.of(data.x, y, np.ones(ROWS), np.sort(here.places), CONTEXTS).at(
            here.segments.sigma, here.segments.tau, here.segments.mean)
        found = Partitions(other, here.changes)
        without = np.arange(ROWS) != 5
        rest = NormalData.of(data.x[without], y[without], np.ones(ROWS - 1), np.sort(here.places)[without],
                             CONTEXTS).at(here.segments.sigma, here.segments.tau, here.segments.mean)
        assert found.left_out()[5] == pytest.approx(
            found.log_evidence - Partitions(rest, here.changes).log_evidence, rel=1e-9)

    @pytest.mark.parametrize("sigma", [0.0, np.nan, 1e-200])
    def test_what_is_not_finite_is_minus_infinity(self, sigma: float) -> None:
        here = few("normal 2")
        with np.errstate(all="ignore"):
            segments = here.segments.data.at(sigma, here.segments.tau, here.segments.mean)
            value, gradient = log_evidence_and_gradient(segments, here.changes)
            assert value == Partitions(segments, here.changes).log_evidence == -np.inf
        np.testing.assert_array_equal(gradient, np.zeros(6))

    @pytest.mark.parametrize("rate", [1e-12, 1e3])
    def test_rates(self, rate: float) -> None:
        changes = Changes.by_rate(rate, GAPS)
        assert np.isfinite(changes.log_odds).all() and np.isfinite(changes.odds_slopes).all()
        np.testing.assert_allclose(changes.log_odds[1:] + changes.log_stay[1:], np.log(-np.expm1(-rate * GAPS)))
