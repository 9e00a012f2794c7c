"""One side of a comparison each: a program that does the work and prints one JSON object. None
imports another package.
"""
