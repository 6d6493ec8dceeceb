"""ONNX: other people's networks come in, and neocog's go out."""
