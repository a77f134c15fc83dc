"""The result of `fit`: draws, their diagnostics, every row's own parameters, and the file that holds them.

Enters: what every posterior has; verbs that ask a posterior one more question live in `questions`.
"""
