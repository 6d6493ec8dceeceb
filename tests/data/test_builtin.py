from importlib import resources

import numpy as np
import pytest

from neocog.data import builtin
from neocog.data.builtin import read_digits
from neocog.errors import FormatError


def test_the_digits_are_all_there():
    digits = read_digits().unsplit
    assert len(digits) == 1797
    assert digits.native_size.shape == (8, 8, 1)
    assert digits.counts().tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert digits.class_names == tuple("0123456789")
    assert digits.labels[:12].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    # the first row of the first zero, 0 0 5 13 9 1 0 0 of 16
    assert digits.array[0, 0, :, 0].tolist() == [0, 0, 80, 207, 143, 16, 0, 0]
    assert (digits.array.min(), digits.array.max()) == (0, 255)


def test_credit_travels_with_the_digits():
    text = resources.files("neocog.data").joinpath("digits", "LICENSE.txt").read_text()
    for needed in ("Alpaydin", "Kaynak", "10.24432/C50P49", "Attribution 4.0", "changed"):
        assert needed in text


def test_a_damaged_package_is_named(monkeypatch, tmp_path):
    (tmp_path / "digits").mkdir()
    np.savez(tmp_path / "digits/digits.npz", other=np.zeros(1))
    monkeypatch.setattr(builtin.resources, "files", lambda package: tmp_path)
    with pytest.raises(FormatError, match=r"digits\.npz: the digits cannot be read") as caught:
        read_digits()
    assert "install" in caught.value.hint
