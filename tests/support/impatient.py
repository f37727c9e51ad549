"""The API's own worker, with deadlines that a test can wait for."""

from config import connection
from config.worker import ProblemWorker

connection.HEAD_SECONDS = 1.0
connection.BODY_SECONDS = 1.0


class ImpatientWorker(ProblemWorker):
    """Gives a head, and a body, one second."""
