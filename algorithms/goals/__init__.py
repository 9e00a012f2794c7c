"""Learning to reach goals.

Modules: `curriculum` (which goals to train on next), `hindsight` (learning from the goals that
episodes reached by chance).
"""
