"""Peers that need an environment of their own, which uv makes for them."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.measure import ONE_THREAD

REQUIREMENTS = {"contextualized-ml": ("contextualized-ml==0.2.9",), "ruptures": ("ruptures==1.1.10",),
                # Its results are not read by later versions of NumPy.
                "Rbeast": ("rbeast==0.1.25", "numpy<2.3")}


def python(peer: str, *command: str, folder: str, check: bool = True) -> int:
    """Run Python with a peer and nothing else; its exit code.

    Not the folder of the script either, where modules of the peers' names are: these here.
    """
    uv = [os.environ.get("UV", "uv"), "run", "--quiet", "--isolated", "--no-project", "--python", sys.executable]
    those = [word for each in REQUIREMENTS[peer] for word in ("--with", each)]
    return subprocess.run([*uv, *those, "python", "-P", *command], cwd=folder, env=os.environ | ONE_THREAD, check=check,
                          stdout=subprocess.DEVNULL).returncode


def installs(peer: str, module: str) -> bool:
    """Whether a peer can be imported here."""
    with tempfile.TemporaryDirectory() as folder:
        return python(peer, "-c", f"import {module}", folder=folder, check=False) == 0


def answer(peer: str, script: str, rows: Mapping[str, np.ndarray], words: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """What a script of this folder makes of arrays: `python SCRIPT ROWS.npz ANSWER.npz WORDS`."""
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder, "rows.npz"), Path(folder, "answer.npz")
        np.savez(given, **dict(rows))
        # Some write their logs and checkpoints where they run.
        python(peer, str(Path(__file__).with_name(script)), str(given), str(made), *words, folder=folder)
        with np.load(made) as found:
            return dict(found)
