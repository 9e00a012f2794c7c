"""Collecting demonstrations, and describing files of them.

Modules: `collecting` (the command ``collect``), `demos` (``demos inspect`` and ``demos convert``).
"""
