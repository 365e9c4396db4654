"""Sources of the grid model: what other systems hold of it, read into the project's own values."""
