"""Log likelihoods of single rows as functions of their linear predictors, a file for each family."""
