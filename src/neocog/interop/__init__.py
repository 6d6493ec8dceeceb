"""neocog among other tools: scikit-learn's estimators, and trackers of experiments."""
