"""The command line: the verbs on files, and a demonstration.

Enters: words that a person types, and what a terminal shows; everything else is a verb of the package.
"""
