"""A convolutional network in scikit-learn: searched for, cross-validated, and as features for another classifier."""

from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline

import neocog as nc
from neocog.data import open_data

digits = open_data("digits").train
images = digits.images()[:600]  # (N, 8, 8, 1), uint8
names = [f"digit {label}" for label in digits.labels[:600]]
train, test, wanted, expected = train_test_split(images, names, test_size=0.25, random_state=0, stratify=names)


def net(classes: int) -> nc.Sequential:
    """Return a small network for so many classes."""
    return nc.Sequential(
        nc.Conv2d(16, 3, padding=1), nc.BatchNorm2d(), nc.ReLU(), nc.MaxPool2d(2), nc.Flatten(), nc.Linear(classes)
    )


classifier = nc.NeocogClassifier(net, epochs=10, batch_size=32)
search = GridSearchCV(classifier, {"learning_rate": [0.0001, 0.005]}, cv=3).fit(train, wanted)
print("best learning rate:", search.best_params_["learning_rate"])
print("accuracy of the best on images held back:", round(search.score(test, expected), 3))
print("accuracy in three folds:", cross_val_score(search.best_estimator_, train, wanted, cv=3).round(3))

features = make_pipeline(nc.NeocogTransformer(search.best_estimator_), LogisticRegression(max_iter=1000))
print("logistic regression on its features:", round(features.fit(train, wanted).score(test, expected), 3))
search.best_estimator_.model_.save("digits.safetensors")
