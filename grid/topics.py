"""Names of the Kafka topics between the parts."""

TELEMETRY_AREA = "telemetry.area"
TELEMETRY_SCADA = "telemetry.scada"
TELEMETRY_BACKFILL = "telemetry.backfill"
TELEMETRY_REJECTED = "telemetry.rejected"
ENERGY_UNIT = "energy.unit"
GRID_CHANGE = "grid.change"
GRID_RESETTLE = "grid.resettle"
