"""Published recipes, each in a file of its own, for data of the kind that they were made for."""
