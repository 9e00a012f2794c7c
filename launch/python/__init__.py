"""What a caller from Python needs beside the commands.

Modules: `arguments` (objects and dictionaries as settings), `signatures` (what the functions take,
for help and completion), `carried_out` (runs in this process or on workers, with callbacks and
interrupts).
"""
