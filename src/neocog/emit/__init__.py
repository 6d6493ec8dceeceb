"""A plan written down as LLVM IR. Only this folder and jit/ import llvmlite."""
