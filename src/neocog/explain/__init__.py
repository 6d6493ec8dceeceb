"""What a network computes, as numbers: the arithmetic of every layer, and what its filters respond to."""
