"""What the work brought: its flow, effects against control units, the ledger of benefits, the programme's economy."""
