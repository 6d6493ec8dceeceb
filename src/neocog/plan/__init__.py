"""How a network will run: pure decisions about shapes, memory and order. No LLVM, no arrays, no probing of machines."""
