"""The unified grid model: what is measured, how it hangs together, and what a reading is."""
