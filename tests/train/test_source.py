import numpy as np
import pytest

from neocog.data.arrays import ArrayDataset
from neocog.data.batches import Batches
from neocog.errors import SettingError, ShapeError
from neocog.train.source import ArraySource, DataSource, shuffled


def test_every_epoch_holds_each_image_once_in_an_order_of_its_own():
    source = ArraySource(np.zeros((10, 2, 2, 1), np.uint8), np.arange(10), batch_size=4, seed=1)
    orders = [np.concatenate([labels for _, labels in source.batches(epoch)]) for epoch in (0, 1, 0)]
    assert all(sorted(order) == list(range(10)) for order in orders)
    assert (orders[0] == orders[2]).all()
    assert (orders[0] != orders[1]).any()


def test_images_stay_with_their_labels():
    images = np.arange(10, dtype=np.uint8).reshape(10, 1, 1, 1)
    for x, y in ArraySource(images, np.arange(10), batch_size=3).batches(0):
        assert (x[:, 0, 0, 0] == y).all()


def test_the_order_is_fixed_for_ever():
    assert shuffled(8, 0, 0).tolist() == [3, 2, 1, 6, 0, 7, 4, 5]


def test_a_dataset_gives_the_batches_of_its_epochs():
    data = ArrayDataset(np.zeros((10, 2, 2), np.uint8), np.arange(10))
    source = DataSource(Batches(data, 4, shuffle=True, seed=5))
    assert source.images == 10
    for epoch in (0, 1):
        want = [labels.tolist() for _, labels in Batches(data, 4, shuffle=True, seed=5, epoch=epoch)]
        assert [labels.tolist() for _, labels in source.batches(epoch)] == want
    renamed = DataSource(Batches(data, 10), relabel=np.arange(10)[::-1])
    assert next(renamed.batches(0))[1].tolist() == list(range(10))[::-1]


def test_images_that_cannot_be_read_are_not_counted_where_they_are_skipped():
    class Partly(ArrayDataset):
        unreadable = {3: "damaged", 4: "damaged"}  # noqa: RUF012 - a stand-in for what a pass would have found

    data = Partly(np.zeros((10, 2, 2), np.uint8), np.arange(10))
    assert DataSource(Batches(data, 4, on_error="skip")).images == 8
    assert DataSource(Batches(data, 4, on_error="raise")).images == 10
    assert DataSource(Batches(data, 4, indices=np.array([1, 3]), on_error="skip")).images == 1


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"labels": np.arange(9)}, ShapeError),
        ({"batch_size": 0}, SettingError),
        ({"seed": -1}, SettingError),
        ({"seed": 2**64}, SettingError),
        ({"seed": True}, SettingError),
    ],
)
def test_wrong_arguments_are_named(arguments, error):
    with pytest.raises(error, match=next(iter(arguments))):
        ArraySource(np.zeros((10, 2, 2, 1), np.uint8), **{"labels": np.arange(10), **arguments})
