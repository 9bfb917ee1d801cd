"""Places for large payloads and outputs."""

from triggerdev.server.schemas.common import Wire


class UploadAnswer(Wire):
    presigned_url: str
    storage_path: str


class DownloadAnswer(Wire):
    presigned_url: str
