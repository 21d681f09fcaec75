"""Back up the settings, keys, models and taught labels of a box, and restore them on this box or on another one.

backup:   contents (which files) ─▶ manifest (names, sizes, SHA-256) ─▶ archive (tar) ─▶ cipher ─▶ one file
restore:  one file ─▶ cipher ─▶ archive, every byte checked ─▶ restoring (what changes) ─▶ files put in place
"""
