"""Tools for those who work on the project: measuring, looking into files."""
