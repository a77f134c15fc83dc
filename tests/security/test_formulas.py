"""No formula runs code: not where it is read, fitted, predicted from or loaded, whoever wrote it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ATTACKS = Path(__file__).with_name("attacks.py")
REFUSED = {"SpecificationError", "InputError", "InputTypeError", "FileError"}
# Outside of brackets these are names with dots, signs between terms, and a sum of terms.
HARMLESS = {"attribute: y ~ {0}", "attribute: {0} ~ x", "deep signs: y ~ {0}", "long sum: y ~ {0}",
            "escaped quotes: y ~ {0}"}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """By moment and attack: what was said, which events the interpreter raised, and whether the code ran."""
    folder = tmp_path_factory.mktemp("attacked")
    done = subprocess.run([sys.executable, str(ATTACKS)], cwd=folder, capture_output=True, text=True, check=False,
                          env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"})
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("moment", ["parse", "fit", "predict", "load", "names"])
def test_nothing_runs(outcomes: dict[str, dict[str, Any]], moment: str) -> None:
    ran = [kind for kind, one in outcomes[moment].items() if one["ran"]]
    seen = {kind: one["seen"] for kind, one in outcomes[moment].items() if one["seen"]}
    assert not ran and not seen


@pytest.mark.parametrize("moment", ["parse", "fit", "load"])
def test_every_attack_is_refused_in_our_words(outcomes: dict[str, dict[str, Any]], moment: str) -> None:
    others = {kind: one["said"] for kind, one in outcomes[moment].items() if one["said"] not in REFUSED}
    well = {"parse": HARMLESS, "fit": set(), "load": {"a file that is well"}}[moment]
    assert others == dict.fromkeys(well, "accepted")


def test_names_and_texts_that_are_code_stay_data(outcomes: dict[str, dict[str, Any]]) -> None:
    said = {kind: one["said"] for kind, one in outcomes["names"].items()}
    assert {each for kind, each in said.items() if kind.startswith(("column", "level"))} == {"accepted"}
    assert {each for kind, each in said.items() if kind.startswith("new level")} == {"InputError"}
    assert {each for kind, each in said.items() if kind.startswith("text")} == {"accepted"}


def test_the_hook_sees_what_it_is_to_see(tmp_path: Path) -> None:
    """Were it blind, everything above would pass."""
    script = ("import sys; sys.path.insert(0, sys.argv[1]); import attacks\n"
              "sys.addaudithook(attacks.hook)\n"
              "for code in (\"open('RAN', 'w').close()\", \"__import__('os').system('true')\", \"import none_such\"):\n"
              "    def act(): exec(compile(code, '', 'exec'))\n"
              "    print(attacks.attacked(act))")
    done = subprocess.run([sys.executable, "-c", script, str(ATTACKS.parent)], cwd=tmp_path, capture_output=True,
                          text=True, check=True)
    opened, called, imported = done.stdout.splitlines()
    assert "'ran': True" in opened and "open (" in opened and "compile (" in opened and "exec (" in opened
    assert "os.system" in called and "import (" in imported
