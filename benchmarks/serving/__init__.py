"""`neocog serve` beside LitServe and FastAPI with ONNX Runtime: requests a second, over loopback alone."""
