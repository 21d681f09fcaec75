"""Set the service up: the command `setup` asks, shows what it will change, applies it and tests the result.

questions ─▶ answers ─▶ apply (the files) ─▶ ending (the examination, the hook)
"""
