"""README and CONTRIBUTING speak of what there is: files, folders, and every room of the package."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = ["README.md", "CONTRIBUTING.md"]


def paths(text: str) -> Iterator[str]:
    """What stands in backticks and looks like a file or folder of the repository, and what links lead to.

    A name is such where it has a slash or ends like a source file; NAME in it stands for whatever is to be added.
    """
    prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    for name in re.findall(r"`([\w./-]+)`", prose):
        if "/" in name or name.endswith((".py", ".md", ".toml", ".ipynb")):
            yield name.rpartition("/")[0] if "NAME" in name else name
    yield from (target for target in re.findall(r"\]\(([^)]+)\)", prose) if "://" not in target)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_path_exists(document: str) -> None:
    named = set(paths((ROOT / document).read_text(encoding="utf-8")))
    assert named and not sorted(name for name in named if not (ROOT / name).exists())


def test_contributing_names_every_room() -> None:
    rooms = {f"bayes_personal/{path.parent.name}/" for path in (ROOT / "bayes_personal").glob("*/__init__.py")}
    assert len(rooms) > 10 and rooms <= set(paths((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")))


def test_the_reader_of_paths_sees_all_kinds_of_them() -> None:
    """Were it blind, everything above would pass."""
    text = "`a/b.py` and `c.md`, [`d/`](d), [site](https://x.y)\n```bash\n`e/f.py`\n```\n`g/NAME.py` of `h`; `.ci/run`"
    assert set(paths(text)) == {"a/b.py", "c.md", "d/", "d", "g", ".ci/run"}
