"""A VFS over the ordinary one of which a test makes the disk fail."""

import apsw


class FaultyVFS(apsw.VFS):
    """Syncs of files whose name ends in `failing` fail: the writes before them are done, and nobody knows if they last."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.failing: str | None = None
        super().__init__(name, "")

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - SQLite's name
        return FaultyFile(self, name, flags)


class FaultyFile(apsw.VFSFile):
    def __init__(self, vfs: FaultyVFS, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        self.vfs = vfs
        self.path = name.filename() if isinstance(name, apsw.URIFilename) else name or ""
        super().__init__("", name, flags)

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
        if self.vfs.failing is not None and self.path.endswith(self.vfs.failing):
            raise apsw.IOError("the test's disk")
        super().xSync(flags)
