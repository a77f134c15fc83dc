"""Refuse a wheel that lacks a file of the package, or holds one that is not of it: `python .ci/contents.py WHEEL`."""

import subprocess
import sys
from zipfile import ZipFile

(wheel,) = sys.argv[1:]
listed = subprocess.run(["git", "ls-files", "bayes_personal"], capture_output=True, check=True, text=True).stdout
expected = set(listed.splitlines())
held = {name for name in ZipFile(wheel).namelist() if ".dist-info/" not in name}
if held != expected:
    sys.exit(f"{wheel} lacks {sorted(expected - held)}, and holds {sorted(held - expected)}, which git does not know.")
