"""The numbers by which families name their compiled log likelihoods, apart so that reading one compiles nothing."""

BERNOULLI, BINOMIAL, POISSON, NEGATIVE_BINOMIAL, STUDENT_T = range(5)
