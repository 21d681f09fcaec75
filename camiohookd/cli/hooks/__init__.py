"""Register the hook with Camio: the command `hooks`, and the checks of its query and of its callback URL."""
