"""Files of readings and logs of messages, as the messages that gateways would have sent."""

from ingest.sources.files.reader import FileError, FileMessage, read_messages

__all__ = ["FileError", "FileMessage", "read_messages"]
