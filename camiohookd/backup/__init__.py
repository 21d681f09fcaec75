"""Save what makes a box this box, and bring it back, here or on another one.

backup:   contents (which files) ─▶ manifest (names, sizes, SHA-256) ─▶ archive (tar) ─▶ cipher ─▶ one file
restore:  one file ─▶ cipher ─▶ archive, every byte checked ─▶ restoring (what changes) ─▶ files put in place
"""
