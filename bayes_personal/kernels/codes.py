"""The numbers by which families name their compiled log likelihoods, apart so that reading one compiles nothing."""

BERNOULLI, BINOMIAL, POISSON, NEGATIVE_BINOMIAL, STUDENT_T = range(5)
# Families whose scale or dispersion has a linear predictor of its own.
NORMAL_VARYING, STUDENT_T_VARYING, NEGATIVE_BINOMIAL_VARYING = range(5, 8)
