"""TimescaleDB: migrations in plain SQL, named queries, the block encoder and the repositories."""
