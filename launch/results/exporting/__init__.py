"""Policies for other programs: a torch module, an ONNX graph, a Python file that acts as
Stable-Baselines3's models do.
"""
