import pytest

from neocog.errors import SettingError, ShapeError
from neocog.model.arguments import check_names, check_numbers
from neocog.model.network import Network
from neocog.nn.blocks import Sequential
from neocog.nn.layers import Flatten, Linear


def test_very_many_names_are_compared_at_once():
    names = tuple(f"n{n}" for n in range(200_000))
    assert check_names(names, 200_000) == names
    with pytest.raises(SettingError, match="'n1' more than once"):
        check_names((*names, "n7", "n1"), 200_002)
    with pytest.raises(ShapeError, match="as many as the network's outputs, 3, got 200000"):
        check_names(names, 3)


def test_more_classes_than_a_file_holds_are_refused_before_they_are_numbered():
    with pytest.raises(SettingError, match="at most 262,144 classes, got 16,777,216 outputs"):
        Network(Sequential(Flatten(), Linear(1 << 24)), (1, 1, 1))
    assert len(check_names(None, 1 << 18)) == 1 << 18


def test_names_longer_than_names_are_refused():
    with pytest.raises(SettingError, match="at most 1,000 characters each"):
        check_names(["x" * 1001], 1)
    with pytest.raises(SettingError, match="at most 4,000,000 bytes in all, got 4,000,995"):
        check_names([f"{n:0999}" for n in range(4005)], 4005)
    assert check_names(["猫" * 1000], 1) == ("猫" * 1000,)


def test_numbers_of_any_kind_are_told_apart():
    assert check_numbers("mean", [0.5, 1]) == (0.5, 1.0)
    for wrong in ("x", [[1]], 10**400, [10**5000], {}):
        with pytest.raises(SettingError, match="mean must be a number, or one for each channel"):
            check_numbers("mean", wrong)
