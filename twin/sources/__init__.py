"""Extracts of the utility's own systems as these would give them: marketing, PMS, GIS, SCADA and a CIM model."""
