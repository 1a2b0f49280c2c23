"""An experiment from what there is already: an OpenAPI document, or a HAR file that a browser saved.

    file --reading--> tree --openapi | har--> Imported (calls.py) --experiment_text--> YAML

Functions of the document alone; `reading.py` opens the file. Nothing is asked of the network.
"""

from harness.importing.calls import Body, Call, Imported, Request, Wait
from harness.importing.experiment_text import experiment_text
from harness.importing.har import from_har
from harness.importing.openapi import from_openapi
from harness.importing.reading import Document, read_document

__all__ = [
    "Body",
    "Call",
    "Document",
    "Imported",
    "Request",
    "Wait",
    "experiment_text",
    "from_har",
    "from_openapi",
    "read_document",
]
