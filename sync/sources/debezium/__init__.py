"""Topics of Debezium: change messages of a table, decoded and followed."""
