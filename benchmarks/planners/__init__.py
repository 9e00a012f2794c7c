"""What the planners reach, how many labels they give a second, and what policies learn from
them.
"""
