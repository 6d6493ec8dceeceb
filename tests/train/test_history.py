from neocog.train.history import EpochResult, History


def result(epoch: int, loss: float, val_loss: float | None = None, val_accuracy: float | None = None) -> EpochResult:
    return EpochResult(epoch, loss, 0.5, val_loss, val_accuracy, 0.001, 1.0, 100.0)


def test_the_best_epoch_has_the_highest_validation_accuracy_then_the_lowest_loss_then_is_first():
    epochs = [result(1, 1.0, 0.9, 0.7), result(2, 0.8, 0.7, 0.8), result(3, 0.6, 0.6, 0.8), result(4, 0.5, 0.6, 0.8)]
    assert History(epochs).best is epochs[2]


def test_without_validation_the_lowest_loss_is_best():
    epochs = [result(1, 1.0), result(2, 0.5), result(3, 0.6)]
    assert History(epochs).best is epochs[1]
    assert History().best is None


def test_columns_are_those_of_keras():
    history = History([result(1, 1.0, 0.9, 0.7), result(2, 0.8, 0.7, 0.8)])
    assert history.history["val_accuracy"] == [0.7, 0.8]
    assert set(History([result(1, 1.0)]).history) == {
        "loss",
        "accuracy",
        "learning_rate",
        "seconds",
        "images_per_second",
    }
    assert [epoch.epoch for epoch in history] == [1, 2]


def test_metrics_name_what_was_measured():
    assert result(2, 0.5).metrics() == {"epoch": 2, "loss": 0.5, "accuracy": 0.5}
    assert result(2, 0.5, 0.4, 0.9).metrics()["val_accuracy"] == 0.9
