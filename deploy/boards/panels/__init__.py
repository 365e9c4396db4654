"""Every panel, each defined once, in a module for each subject.

A statement reads grid.* and bounded ranges of loss.* and telemetry.*, unit by unit through the primary key (a lateral
subquery) where a range of all units would be long; what covers many days of many units reads days. It names only what
the role of its board may read.
"""
