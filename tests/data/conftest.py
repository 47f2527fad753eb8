"""Lets tests in folders below this one import the modules beside it, such as `source_files`."""
