"""The `huidurep` command, a file a subcommand."""
