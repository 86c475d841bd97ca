"""Checks what a power failure during save() may leave on the disk, and that it finds each mutant.

    python tests/protocol/power_failure.py [--large] [--seed N]

The system calls of a real save() are recorded with strace. For a power failure after each of them,
the directories are constructed that POSIX and the journals of file systems allow:

    contents not yet synced by fsync    any version of each block of 4 KiB, any size
    entries not yet synced by fsync     any prefix of the changes to the directory

Each is opened and verified. It has to hold the old map or the new one, and once save() is done,
the new one. The next save() has to work there, and to clear the temporary name. A mutant is the
record with a step left out or moved; a state that is wrong has to be found in it.
"""

import argparse
import itertools
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time

import sharedmap

BLOCK = 4096
NAME = "map.sharedmap"
SAVE = """
import sharedmap, sys
path, first, count, force = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "force"
tree = sharedmap.rbtree({f"key {i}": b"%d" % i * 8 for i in range(first, first + count)})
open(path + ".begin", "a").close()
tree.save(path, force=force)
"""
CALLS = "openat,open,creat,close,dup,dup2,dup3,write,writev,pwritev,pwritev2,pwrite64,fallocate,"
CALLS += "ftruncate,truncate,fsync,fdatasync,sync_file_range,link,linkat,symlink,rename,renameat,"
CALLS += "access,renameat2,unlink,unlinkat,copy_file_range,sendfile,mmap"
# PROTOCOL.md, section 4: a name with digits stays, if there are no unnamed files.
RANDOM = re.compile(re.escape(NAME) + "~[0-9a-f]{16}")
QUOTED = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


def unquote(text):
    return bytes.fromhex(text.replace("\\x", ""))


# ---- record ---------------------------------------------------------------------------------


def record(path, first, count, force, named):
    """The operations of a save() on its directory, as tuples; files are numbered, 0 is the old."""
    log = path.with_name("strace")
    strace = ["strace", "-f", "-xx", "-s", str(1 << 24), "-e", f"trace={CALLS}", "-o", log]
    # Without /proc an unnamed file could not be linked.
    strace += ["-e", "inject=access:error=ENOENT"] if named else []
    words = [path, str(first), str(count), "force" if force else ""]
    subprocess.run([*strace, sys.executable, "-c", SAVE, *words], check=True)
    begin = "".join(f"\\x{byte:02x}" for byte in b".begin")
    lines = iter(log.read_text().splitlines())
    log.unlink()
    path.with_name(f"{NAME}.begin").unlink()
    next(line for line in lines if begin in line)
    next(lines)  # its close
    return list(operations(lines, path.parent, force))


def operations(lines, folder, is_old_there):
    inside = f"{folder}/".encode()
    names, opened, new = {NAME: 0} if is_old_there else {}, {}, itertools.count(1)

    def entry(quoted):
        full = unquote(quoted)
        return full.removeprefix(inside).decode() if full.startswith(inside) else None

    for line in lines:
        match = re.match(r"\d+ +(\w+)\((.*)\) += (-?\d+|0x[0-9a-f]+)", line)
        if match is None or match[3].startswith("-"):
            continue
        call, rest, result = match.groups()
        paths = QUOTED.findall(rest)
        if call == "openat":
            name = entry(paths[0])
            if unquote(paths[0]) == inside[:-1]:
                opened[result] = "directory"
                if "O_TMPFILE" in rest:
                    opened[result] = next(new)
            elif name is not None:
                if name not in names:
                    names[name] = next(new)
                    yield "link", names[name], name
                opened[result] = names[name]
            continue
        if call == "linkat" or (call == "link" and entry(paths[0]) is not None):
            source = re.fullmatch(r"/proc/self/fd/(\d+)", unquote(paths[0]).decode())
            names[entry(paths[1])] = opened[source[1]] if source else names[entry(paths[0])]
            yield "link", names[entry(paths[1])], entry(paths[1])
            continue
        if call in ("rename", "unlink") and entry(paths[0]) is not None:
            file = names.pop(entry(paths[0]))
            if call == "rename":
                names[entry(paths[1])] = file
            yield call, *(entry(path) for path in paths)
            continue
        descriptor = rest.split(",")[0]
        if call == "mmap":
            arguments = rest.split(", ")
            is_stored = "PROT_WRITE" in arguments[2] and "MAP_SHARED" in arguments[3]
            if is_stored and arguments[4] in opened:
                sys.exit(f"stores through a mapping are not modelled: {line}")
        elif call == "close":
            opened.pop(descriptor, None)
        elif descriptor in opened:
            file, last = opened[descriptor], rest.split(", ")
            if call == "pwrite64":
                yield "write", file, int(last[-1]), unquote(paths[0])
            elif call == "fallocate":
                yield "size", file, int(last[2]) + int(last[3])
            elif call == "ftruncate":
                yield "size", file, int(last[1])
            elif call in ("fsync", "fdatasync"):
                yield "sync", file
            else:
                sys.exit(f"not modelled: {line[:200]}")
        elif any(entry(path) is not None for path in paths):
            sys.exit(f"not modelled: {line[:200]}")


# ---- construct ------------------------------------------------------------------------------


class File:
    """The bytes that are surely on the disk, and what may have come after them."""

    def __init__(self, contents=b""):
        self.synced = self.contents = contents
        self.writes = []  # (offset, bytes), each within one block

    def write(self, offset, new):
        grown = self.contents.ljust(offset + len(new), b"\0")
        self.contents = grown[:offset] + new + grown[offset + len(new) :]
        while new:
            size = BLOCK - offset % BLOCK
            self.writes.append((offset, new[:size]))
            offset, new = offset + size, new[size:]

    def resize(self, size):
        self.contents = self.contents[:size].ljust(size, b"\0")

    def sync(self):
        self.synced, self.writes = self.contents, []

    def on_the_disk(self, counts, size):
        """With the first so many writes to each block, and cut or filled to that size."""
        left = dict(counts)
        disk = bytearray(self.synced.ljust(len(self.contents), b"\0"))
        for offset, new in self.writes:
            if left.get(offset // BLOCK, 0) > 0:
                left[offset // BLOCK] -= 1
                disk[offset : offset + len(new)] = new
        return bytes(disk[:size])

    def images(self, chance, limit):
        """All that may be on the disk; `limit` of them by chance where there are more."""
        if not self.writes and len(self.synced) == len(self.contents):
            return {self.contents}
        writes = {}
        for offset, _ in self.writes:
            writes[offset // BLOCK] = writes.get(offset // BLOCK, 0) + 1
        ends = len(self.synced), len(self.contents)
        sizes = sorted({ends[0], sum(ends) // 2, ends[1]})
        images = {self.synced, self.contents, self.on_the_disk({}, len(self.contents))}
        for count in range(len(self.writes) + 1):
            first = {}
            for offset, _ in self.writes[:count]:
                first[offset // BLOCK] = first.get(offset // BLOCK, 0) + 1
            images.add(self.on_the_disk(first, len(self.contents)))
        for _ in range(limit):
            counts = {block: chance.randint(0, count) for block, count in writes.items()}
            images.add(self.on_the_disk(counts, len(self.contents)))
            images.add(self.on_the_disk(counts, chance.choice(sizes)))
        return images


def change(names, operation):
    if operation[0] == "link":
        names[operation[2]] = operation[1]
    elif operation[0] == "rename":
        names[operation[2]] = names.pop(operation[1])
    else:
        names.pop(operation[1])


def states(steps, old, chance, limit):
    """(is save() done, name -> bytes) for a power failure after each step, none twice."""
    files = {0: File(old)} if old is not None else {}
    synced, pending, seen = ({NAME: 0} if old is not None else {}), [], set()
    for at, step in enumerate(steps):
        if step[0] in ("link", "rename", "unlink"):
            pending.append(step)
        elif step == ("sync", "directory"):
            for operation in pending:
                change(synced, operation)
            pending = []
        else:
            file = files.setdefault(step[1], File())
            if step[0] == "write":
                file.write(*step[2:])
            elif step[0] == "size":
                file.resize(step[2])
            else:
                file.sync()
        is_done = at == len(steps) - 1
        for count in range(len(pending) + 1):
            names = dict(synced)
            for operation in pending[:count]:
                change(names, operation)
            numbers = sorted(set(names.values()))
            images = [
                sorted(files.setdefault(number, File()).images(chance, limit)) for number in numbers
            ]
            for contents in itertools.product(*images):
                on_disk = dict(zip(numbers, contents, strict=True))
                state = {name: on_disk[number] for name, number in names.items()}
                key = (is_done, frozenset(state.items()))
                if key not in seen:
                    seen.add(key)
                    yield is_done, state


# ---- check ----------------------------------------------------------------------------------


def read(path):
    """What the map holds, after it was verified; None where there is none."""
    try:
        found = sharedmap.sharedmap.open(path)
    except FileNotFoundError:
        return None
    with found:
        found.verify()
        return found.generation, {key: bytes(value) for key, value in found.items()}


def wrong(folder, state, allowed):
    """What is wrong with the state, or None."""
    path = folder / NAME
    for name, contents in state.items():
        (folder / name).write_bytes(contents)
    try:
        if read(path) not in allowed:
            return "neither the old map nor the new one"
        sharedmap.rbtree({"next": b"1"}).save(path, force=True)
        if read(path)[1] != {"next": b"1"}:
            return "the next save() did not replace it"
        left = [file.name for file in folder.iterdir() if not RANDOM.fullmatch(file.name)]
        return None if left == [NAME] else f"left behind: {left}"
    except (OSError, ValueError, RuntimeError) as error:
        return f"{type(error).__name__}: {error}"
    finally:
        for file in folder.iterdir():
            file.unlink()


def explore(steps, old, versions, chance, limit, until_first=False):
    """How many states there are, and what is wrong with which."""
    count, found = 0, []
    with tempfile.TemporaryDirectory() as name:
        for is_done, state in states(steps, old, chance, limit):
            count += 1
            reason = wrong(pathlib.Path(name), state, versions[1:] if is_done else versions)
            if reason is not None:
                sizes = {name: len(contents) for name, contents in state.items()}
                found.append(f"{'after' if is_done else 'during'} save(), {sizes}: {reason}")
                if until_first:
                    break
    return count, found


def is_file_sync(step):
    return step[0] == "sync" and step[1] != "directory"


def late_sync(steps):
    """The contents are synced only after the path leads to them."""
    syncs = [step for step in steps if is_file_sync(step)]
    rest = [step for step in steps if not is_file_sync(step)]
    at = max(i for i, step in enumerate(rest) if step[0] in ("link", "rename")) + 1
    return rest[:at] + syncs + rest[at:]


MUTANTS = {
    "no-sync-of-file": lambda steps: [step for step in steps if not is_file_sync(step)],
    "no-sync-of-directory": lambda steps: [s for s in steps if s != ("sync", "directory")],
    "sync-after-rename": late_sync,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--large", action="store_true", help="larger maps, 50 times the images")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if shutil.which("strace") is None:
        sys.exit("needs strace")
    entries, limit = (3000, 400) if options.large else (300, 8)
    chance, start, failed = random.Random(options.seed), time.monotonic(), False
    with tempfile.TemporaryDirectory() as name:
        path = pathlib.Path(name).resolve() / NAME
        for force, named in itertools.product((False, True), (False, True)):
            if not force:
                path.unlink(missing_ok=True)
            old = path.read_bytes() if force else None
            before = read(path)
            steps = record(path, entries if force else 0, entries + named, force, named)
            versions = [before, read(path)]
            count, found = explore(steps, old, versions, chance, limit)
            print(
                f"{'replacing' if force else 'first'} save, {'' if named else 'un'}named file: "
                f"{len(steps)} operations, {count} states, {len(found)} wrong"
            )
            print(*found[:5], sep="\n", end="\n" if found else "")
            failed = failed or bool(found)
            for mutant, mutate in MUTANTS.items():
                _, found = explore(mutate(steps), old, versions, chance, limit, until_first=True)
                print(f"  {mutant}: {'found, ' + found[0] if found else 'MISSED'}")
                failed = failed or not found
    print(f"{time.monotonic() - start:.1f} s")
    sys.exit(failed)


if __name__ == "__main__":
    main()
