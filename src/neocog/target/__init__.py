"""What code is made for: processors as values. Nothing is probed here; jit/ describes the machine at hand."""
