"""``esengine bench``: what the machine can do, what the engine reaches of it, and what plain code
reaches, side by side.
"""
