"""What the package measures itself against; `README.md` says what each benchmark asks and how to run it."""
