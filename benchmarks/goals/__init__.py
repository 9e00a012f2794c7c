"""What easier goals, hindsight and half-random actions are worth in a sparse maze, and skills that
a planner chains.
"""
