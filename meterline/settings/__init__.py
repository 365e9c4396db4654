"""Sections of the configuration, by what they are about; `meterline.config` reads them."""
