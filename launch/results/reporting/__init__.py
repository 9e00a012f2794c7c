"""A run as one page of HTML.

Modules: `report` (the contents), `page` (the HTML).
"""
