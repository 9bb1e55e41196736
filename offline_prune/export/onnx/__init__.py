"""A policy as ONNX, dense or with sparse weights."""
