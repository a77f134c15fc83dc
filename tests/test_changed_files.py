"""Files that somebody changed after they were saved."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5netcdf
import pytest

import bayes_personal as bp
import bayes_personal.families
import bayes_personal.priors
from bayes_personal.errors import FileError, InputError, VersionError
from bayes_personal.model.specification import encode
from bayes_personal.posterior.fitting import load
from bayes_personal.posterior.storage import NETWORK_FORMAT
from bayes_personal.system.sealing import seal


@pytest.fixture(scope="module")
def saved() -> bp.Posterior:
    model = bp.Model("reaction ~ days", prior=bp.PartialPooling("subject"))
    method = bp.NUTS(draws=50, tune=100, chains=2)
    return bp.fit(model, bp.load_dataset("sleepstudy"), seed=1, progress=False, method=method)


@pytest.fixture
def path(tmp_path: Path, saved: bp.Posterior) -> Path:
    result = tmp_path / "sleep.nc"
    saved.save(result)
    return result


@contextmanager
def resealed(path: Path) -> Iterator[h5netcdf.File]:
    """A file that is changed by somebody who knows how checksums are made."""
    with h5netcdf.File(path, "r+") as file:
        yield file
    # HDF5 has cut off the old checksum, which is none of its own bytes.
    content = path.read_bytes()
    path.write_bytes(content + seal(content))


@pytest.fixture
def edit(path: Path) -> Iterator[Any]:
    """Change one of the root's attributes."""
    def change(name: str, old: str, new: str) -> None:
        with resealed(path) as file:
            assert old in file.attrs[f"bayes_personal_{name}"]
            file.attrs[f"bayes_personal_{name}"] = file.attrs[f"bayes_personal_{name}"].replace(old, new)
    yield change


@pytest.mark.parametrize(("name", "old", "new", "words"), [
    ("model", "}", "", "is damaged"),
    ("model", "PartialPooling", "PartialPolling", "no such class is known: import"),
    ("model", '"by"', '"bye"', "PartialPooling takes no 'bye'"),
    ("model", "2.0", "-2.0", "must be positive"),
    ("model", '"subject"', '"sex"', "is damaged.*no column 'sex'"),
    ("model", '"type": "Model"', '"type": "Normal"', "Normal takes no"),
    ("layout", "{", "[", "is damaged"),
    ("layout", '"columns"', '"rows"', "is damaged"),
    ("layout", '"float64"', '"float46"', "is damaged"),
    ("layout", '"/sample_stats"', '"/elsewhere"', "is damaged"),
])
def test_a_file_that_was_changed(name: str, old: str, new: str, words: str, path: Path, edit: Any) -> None:
    edit(name, old, new)
    with pytest.raises(FileError, match=words) as caught:
        load(path)
    assert str(path) in str(caught.value)


def test_a_file_without_its_rows(path: Path) -> None:
    with resealed(path) as file:
        del file._h5group["bayes_personal_frame"]
    with pytest.raises(FileError, match="is damaged"):
        load(path)


def test_a_prior_is_no_model(path: Path) -> None:
    with resealed(path) as file:
        file.attrs["bayes_personal_model"] = json.dumps(encode(bp.Population()))
    with pytest.raises(FileError, match="is damaged"):
        load(path)


def test_another_format(path: Path) -> None:
    with resealed(path) as file:
        file.attrs["bayes_personal_format"] = NETWORK_FORMAT + 1
        file.attrs["bayes_personal_version"] = "9.8.7"
    words = rf"format {NETWORK_FORMAT + 1}, written by .* 9\.8\.7; .* reads formats 1 to {NETWORK_FORMAT}\."
    with pytest.raises(VersionError, match=words):
        load(path)


def test_draws_of_other_groups_are_refused(saved: bp.Posterior, path: Path) -> None:
    """The rows say which groups there are; draws of others would be taken for theirs."""
    labels = saved.tree["posterior"]["subject"].to_numpy()
    tree = saved.tree.copy()
    tree["posterior"] = tree["posterior"].to_dataset().assign_coords(subject=labels[::-1])
    with pytest.raises(InputError, match="draws of subject_z do not belong to the training rows: along 'subject'"):
        replace(saved, tree=tree).save(path)
    with resealed(path) as file:
        file["posterior"]["subject"][...] = labels[[1, 0, *range(2, 18)]]
    with pytest.raises(FileError, match="along 'subject' they have '309', '308', '310', ..., and the model '308'"):
        load(path)
