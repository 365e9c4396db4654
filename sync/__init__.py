"""Master data: the load and the changes of the grid model, and telling other systems of them."""
