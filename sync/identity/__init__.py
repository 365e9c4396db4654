"""Which records of the source systems are the same thing; pure."""
