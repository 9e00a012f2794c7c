"""Collecting demonstrations, and describing files of them.

Modules: `collecting` (the command ``collect``), `summary` (what ``demos inspect`` shows).
"""
