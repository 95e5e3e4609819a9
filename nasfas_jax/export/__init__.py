"""Programs for other runtimes: ONNX, and StableHLO."""
