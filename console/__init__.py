"""The web console: live pages of the boards, the HTTP API, and the same panels as pictures for reports."""
