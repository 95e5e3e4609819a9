"""Files of the pages for the browser, which load nothing from elsewhere."""

import pathlib

FOLDER = pathlib.Path(__file__).parent
