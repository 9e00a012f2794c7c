"""Cases of user code and foreign files, written by somebody who did not write what they try. Each
is a few commands, and what should come of them.
"""
