"""A training's report: one file that says how good the model is, and shows where it is not."""
