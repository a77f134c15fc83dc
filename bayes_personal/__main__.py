"""`python -m bayes_personal` is the command line."""

from bayes_personal.cli.commands import app

app(prog_name="bayes-personal")
