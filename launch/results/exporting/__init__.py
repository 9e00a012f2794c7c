"""Policies for other programs: a torch module, an ONNX graph, a Python file with the methods of
Stable-Baselines3's models.

Modules: `export` (the command), `network` (a policy as named arrays), `onnx_graph`; `predictor` and
`torch_module` are the programs that read the files.
"""
