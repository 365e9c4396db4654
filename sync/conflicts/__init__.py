"""Where the source systems and the grid model contradict each other; pure."""
