"""The arms view: which input embedding wins where."""
