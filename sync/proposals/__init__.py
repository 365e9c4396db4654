"""What is proposed about conflicts, who approves it, and what it does to the grid model."""
