"""Files of a revision of a Git repository, read by ``git cat-file --batch``: nothing is cloned or checked out.

One process of Git answers for all files of a revision. Names of objects go to its standard input, so that none of them
can be an option.
"""

import os
import posixpath
import re
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from enkaku_codegen.reading.load import MAX_BYTES, unreadable

__all__ = ["Repository", "Revision", "RevisionError"]

_SUBMODULE: Final = "160000"
# What hooks of Git have in their environment. With it, Git takes the directory that it is asked about for the root of the
# working tree; the repository is the one that the file is in.
_OF_HOOKS: Final = ("GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_INDEX_FILE", "GIT_PREFIX")
_OF_HISTORY: Final = re.compile("[~^@]")  # HEAD~3, main@{1}


class RevisionError(Exception):
    """A revision can't be read: there is no Git, no repository, or no such revision. The text says what to do."""


class Repository:
    """The Git repository around a directory.

    Args:
        directory: A directory of its working tree; of a bare repository, the repository itself.

    Attributes:
        prefix: The path of the directory in the repository: empty, or with a slash at its end.
        top: The directory of the working tree; None in a bare repository.

    Raises:
        RevisionError: There is no repository, or no Git.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = str(directory.absolute())
        inside, prefix = self.run("rev-parse", "--is-inside-work-tree", "--show-prefix").split(
            "\n"
        )[:2]
        self.prefix: Final = prefix
        self.top: Final = (
            Path(self._directory, self.run("rev-parse", "--show-cdup").removesuffix("\n"))
            if inside == "true"
            else None
        )

    def path(self, file: Path) -> Path:
        """Return the path of a file of the working tree in the repository."""
        if self.top is None:
            raise RevisionError(f"{file}: in a bare repository, there are only REF:PATH")
        folder = os.path.realpath(file.parent)
        return Path(os.path.relpath(Path(folder, file.name), os.path.realpath(self.top)))

    def is_shallow(self) -> bool:
        """Return whether the repository lacks older commits."""
        return self.run("rev-parse", "--is-shallow-repository").strip() == "true"

    def run(self, *arguments: str) -> str:
        """Return what Git prints.

        Raises:
            RevisionError: It fails.
        """
        try:
            ran = subprocess.run(  # noqa: S603 # the arguments are those of this module
                self.command(*arguments),
                capture_output=True,
                check=False,
                stdin=subprocess.DEVNULL,
                env=environment(),
            )
        except FileNotFoundError:
            raise RevisionError("Git is not installed, or is not in the PATH") from None
        if ran.returncode != 0:
            first = ran.stderr.decode(errors="replace").strip().partition("\n")[0]
            raise RevisionError(f"{self._directory}: {first.removeprefix('fatal: ')}")
        return ran.stdout.decode(errors="surrogateescape")

    def command(self, *arguments: str) -> list[str]:
        """Return the command line of Git with these arguments."""
        return ["git", "-C", self._directory, "--literal-pathspecs", *arguments]


def environment() -> dict[str, str]:
    """Return the environment of Git, in which it finds the repository by the directory alone."""
    return {key: value for key, value in os.environ.items() if key not in _OF_HOOKS}


class Revision:
    """The files of a revision; a context manager, which ends the process of Git.

    Args:
        repository: The repository.
        ref: The revision, as Git names it: ``main``, ``v1.2``, ``HEAD~3``.

    Raises:
        RevisionError: There is no such revision.
    """

    def __init__(self, repository: Repository, ref: str) -> None:
        self._repository = repository
        self._ref = ref
        self._process: subprocess.Popen[bytes] | None = None
        if not ref or ref.startswith("-") or not ref.isprintable():
            raise RevisionError(f"expected a revision of Git, such as origin/main; got {ref!r}")
        try:
            self._commit = self._resolved()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def prefix(self) -> str:
        """The revision, and a colon: what Git writes before paths."""
        return f"{self._ref}:"

    def key(self, path: Path) -> str:
        """Return the path from the root of the repository, as if that were the root of the disk."""
        return posixpath.join("/", posixpath.normpath(path.as_posix()))

    def content(self, path: Path) -> bytes:
        """Return the content of a file.

        Raises:
            ProtocolError: There is no such file, or it is too large.
        """
        content = self.find(path)
        if content is None:
            raise unreadable(f"{self.prefix}{path}", "no such file in this revision")
        return content

    def find(self, path: Path) -> bytes | None:
        """Return the content of a file; None if the revision does not have it.

        Raises:
            ProtocolError: It is no file, too large, in a submodule, or a link that leads out of the repository.
        """
        name, shown = posixpath.normpath(path.as_posix()), f"{self.prefix}{path}"
        if name.startswith(("/", "../")) or not name.isprintable():
            raise unreadable(shown, "expected a path within the repository")
        found = self._ask(f"{self._commit}:{name}")
        if found is None:
            submodule = self._submodule(name)
            if submodule:
                raise unreadable(
                    shown, f"{submodule} is a submodule: compare in its own repository"
                )
            return None
        kind, content = found[1], found[2]
        if kind == "blob":
            if content is None:
                raise unreadable(shown, f"larger than {MAX_BYTES} bytes")
            return content
        links = {"symlink": "a link that leads out of the repository", "loop": "a link to itself"}
        if kind in ("dangling", "notdir"):
            return None
        raise unreadable(shown, f"expected a file, got {links.get(kind, 'a directory')}")

    def close(self) -> None:
        """End the process of Git."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()

    def _ask(self, name: str) -> tuple[str, str, bytes | None] | None:
        """Return id, kind and content of an object, without a content that is too large; None if there is none."""
        if self._process is None:
            command = self._repository.command("cat-file", "--batch", "--follow-symlinks")
            self._process = subprocess.Popen(  # noqa: S603 # as above
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment(),
            )
        process = self._process
        assert process.stdin is not None  # noqa: S101 # it is a pipe
        assert process.stdout is not None  # noqa: S101 # so is this
        process.stdin.write(name.encode(errors="surrogateescape") + b"\n")
        process.stdin.flush()
        head = process.stdout.readline().decode(errors="replace").removesuffix("\n")
        if not head:
            raise RevisionError(f"{name}: Git ended without an answer")
        if head.endswith((" missing", " ambiguous")):
            return None
        *first, length = head.split(" ")
        id_, kind = first if len(first) == 2 else ("", first[0])  # of a link: kind and length alone
        if int(length) > MAX_BYTES:
            self.close()  # rather than to read what nobody wants
            return id_, kind, None
        content = process.stdout.read(int(length) + 1)
        return id_, kind, content[:-1]

    def _resolved(self) -> str:
        """Return the commit of the revision.

        Raises:
            RevisionError: There is none; the message says what to do.
        """
        ref = self._ref
        found = self._ask(f"{ref}^{{commit}}")
        if found is not None:
            return found[0]
        missing = f"no revision {ref} in this repository"
        if "/" not in ref and self._ask(f"origin/{ref}^{{commit}}") is not None:
            raise RevisionError(f"{missing}; did you mean origin/{ref}?")
        remote, _, branch = ref.partition("/")
        is_branch = branch and remote in self._repository.run("remote").split("\n")
        if is_branch and not _OF_HISTORY.search(ref):
            # A clone of one branch, as builds have it, does not keep another one under its name without being told to.
            fetch = f"git fetch {remote} +refs/heads/{branch}:refs/remotes/{ref}"
            raise RevisionError(f"{missing}: run {fetch}")
        if self._repository.is_shallow():
            unshallow = (
                "the clone is shallow, and lacks older commits: run git fetch --unshallow --tags"
            )
            raise RevisionError(f"{missing}; {unshallow}")
        raise RevisionError(f"{missing}: run git fetch --tags, or name a branch as origin/{ref}")

    def _submodule(self, name: str) -> str:
        """Return the submodule that a path leads into, if there is one."""
        parts = name.split("/")
        above = ["/".join(parts[:count]) for count in range(1, len(parts))]
        if not above:
            return ""
        listed = self._repository.run("ls-tree", "-z", "--full-tree", self._commit, "--", *above)
        for entry in listed.split("\0"):
            about, _, path = entry.partition("\t")
            if about.startswith(_SUBMODULE):
                return path
        return ""
