"""A file system in memory that hangs, fails and gives less than it was asked for, when told to.

    python3 file_system_process.py MOUNTPOINT OPTIONS

speaks the kernel's FUSE protocol (struct by struct as in linux/fuse.h, for 64-bit machines of
little endian) and is told what to do over its standard input; file_system.py is the other end.

    kernel ---- request ----> does a rule match? -- no ----------------> do it, answer
            <--- answer ----      |
                                  +-- hang ---> hold it, until released, or interrupted
                                  +-- fail ---> answer with the errno
                                  +-- short --> do it with less
                                  +-- size ---> do it, tell another size
                                  +-- drop ---> forget the pages in memory, do it

A request that is held keeps its caller asleep in the kernel. The end of this process, or its
killing, ends all of them: the kernel then answers ENOTCONN itself.
"""

import ctypes
import errno
import json
import os
import select
import stat
import struct
import sys
import time
from multiprocessing.connection import Connection

OPCODES = {
    1: "LOOKUP",
    2: "FORGET",
    3: "GETATTR",
    4: "SETATTR",
    5: "READLINK",
    6: "SYMLINK",
    8: "MKNOD",
    9: "MKDIR",
    10: "UNLINK",
    11: "RMDIR",
    12: "RENAME",
    13: "LINK",
    14: "OPEN",
    15: "READ",
    16: "WRITE",
    17: "STATFS",
    18: "RELEASE",
    20: "FSYNC",
    22: "GETXATTR",
    25: "FLUSH",
    26: "INIT",
    27: "OPENDIR",
    28: "READDIR",
    29: "RELEASEDIR",
    30: "FSYNCDIR",
    34: "ACCESS",
    35: "CREATE",
    36: "INTERRUPT",
    38: "DESTROY",
    42: "BATCH_FORGET",
    43: "FALLOCATE",
    45: "RENAME2",
    51: "TMPFILE",
}
# No caller waits for these.
SILENT = ("FORGET", "BATCH_FORGET", "INTERRUPT")
# The kernel does not let its caller wait for these either.
UNSEEN = (*SILENT, "INIT", "DESTROY", "RELEASE", "RELEASEDIR", "GETXATTR")

IN_HEADER = struct.Struct("<IIQQIIIHH")
OUT_HEADER = struct.Struct("<IiQ")
ATTRIBUTES = struct.Struct("<6Q10I")
ENTRY = struct.Struct("<4Q2I")
LARGEST = 1 << 20  # of a write
BLOCK = 4096

FUSE_BIG_WRITES = 1 << 5
FUSE_MAX_PAGES = 1 << 22
FUSE_NOTIFY_INVAL_INODE = 2
FOPEN_DIRECT_IO = 1 << 0
RENAME_NOREPLACE, RENAME_EXCHANGE = 1, 2
SET_MODE, SET_UID, SET_GID, SET_SIZE = 1, 2, 4, 8
SET_ATIME, SET_MTIME = 16, 32

MS_NOSUID, MS_NODEV, MNT_DETACH = 2, 4, 2


class Refused(Exception):
    def __init__(self, number):
        super().__init__(os.strerror(number))
        self.number = number


class Node:
    def __init__(self, number, mode, owner=(0, 0)):
        self.number = number
        self.mode = mode
        self.owner = owner
        self.links = 0
        self.lookups = 0
        self.data = bytearray()
        self.children = {} if stat.S_ISDIR(mode) else None
        self.atime = self.mtime = time.time()

    def attributes(self, shift):
        size = max(0, len(self.data) + shift)
        seconds = [int(self.atime), int(self.mtime), int(self.mtime)]
        fractions = [int(t % 1 * 10**9) for t in (self.atime, self.mtime, self.mtime)]
        links = 2 if self.children is not None else self.links
        blocks = (size + 511) // 512
        numbers = self.mode, links, *self.owner, 0, BLOCK, 0
        return ATTRIBUTES.pack(self.number, size, blocks, *seconds, *fractions, *numbers)


class Tree:
    """What the operations do when nothing is wrong. Each returns the bytes of the answer."""

    def __init__(self, options):
        self.options = options
        self.nodes = {1: Node(1, stat.S_IFDIR | 0o755)}
        self.next_number = 2
        self.shift = lambda node: 0
        self.names = {}  # of nodes, as they were last called

    def of(self, number):
        if number not in self.nodes:
            raise Refused(errno.ESTALE)
        return self.nodes[number]

    def child(self, parent, name):
        if name not in self.of(parent).children:
            raise Refused(errno.ENOENT)
        return self.of(parent).children[name]

    def make(self, header, mode):
        node = Node(self.next_number, mode, (header.uid, header.gid))
        self.next_number += 1
        self.nodes[node.number] = node
        return node

    def put(self, parent, name, node):
        children = self.of(parent).children
        if name in children:
            raise Refused(errno.EEXIST)
        children[name] = node
        node.links += 1
        self.names[node.number] = name

    def take(self, parent, name):
        node = self.child(parent, name)
        del self.of(parent).children[name]
        node.links -= 1
        self.drop(node)
        return node

    def drop(self, node):
        if node.links <= 0 and node.lookups <= 0 and node.number != 1:
            self.nodes.pop(node.number, None)
            self.names.pop(node.number, None)

    def forget(self, number, count):
        node = self.nodes.get(number)
        if node is not None:
            node.lookups -= count
            self.drop(node)

    def entry(self, node):
        node.lookups += 1
        # Nothing is cached, so that every operation is one of ours.
        return ENTRY.pack(node.number, 0, 0, 0, 0, 0) + node.attributes(self.shift(node))

    def told(self, node):
        return struct.pack("<QII", 0, 0, 0) + node.attributes(self.shift(node))

    def opened(self, flags=0):
        return struct.pack("<QIi", 0, flags, 0)

    @property
    def flags_of_files(self):
        return FOPEN_DIRECT_IO if self.options.get("direct_io") else 0

    # ---- one for each opcode -----------------------------------------------------------------

    def LOOKUP(self, header, body):
        return self.entry(self.child(header.node, body.rstrip(b"\0")))

    def GETATTR(self, header, body):
        return self.told(self.of(header.node))

    def SETATTR(self, header, body):
        valid, _, _, size, _, atime, mtime, _, *_ = struct.unpack_from("<II6Q", body)
        mode, _, uid, gid = struct.unpack_from("<4I", body, 68)
        node = self.of(header.node)
        if valid & SET_MODE:
            node.mode = stat.S_IFMT(node.mode) | stat.S_IMODE(mode)
        if valid & SET_UID:
            node.owner = (uid, node.owner[1])
        if valid & SET_GID:
            node.owner = (node.owner[0], gid)
        if valid & SET_SIZE:
            del node.data[size:]
            node.data.extend(bytes(size - len(node.data)))
        if valid & SET_ATIME:
            node.atime = atime
        if valid & SET_MTIME:
            node.mtime = mtime
        return self.told(node)

    def READLINK(self, header, body):
        return bytes(self.of(header.node).data)

    def SYMLINK(self, header, body):
        name, target = body.rstrip(b"\0").split(b"\0")
        node = self.make(header, stat.S_IFLNK | 0o777)
        node.data += target
        self.put(header.node, name, node)
        return self.entry(node)

    def MKNOD(self, header, body):
        mode, _, umask, _ = struct.unpack_from("<4I", body)
        node = self.make(header, mode & ~umask)
        self.put(header.node, body[16:].rstrip(b"\0"), node)
        return self.entry(node)

    def MKDIR(self, header, body):
        mode, umask = struct.unpack_from("<2I", body)
        node = self.make(header, stat.S_IFDIR | stat.S_IMODE(mode & ~umask))
        self.put(header.node, body[8:].rstrip(b"\0"), node)
        return self.entry(node)

    def UNLINK(self, header, body):
        self.take(header.node, body.rstrip(b"\0"))
        return b""

    def RMDIR(self, header, body):
        if self.child(header.node, body.rstrip(b"\0")).children:
            raise Refused(errno.ENOTEMPTY)
        return self.UNLINK(header, body)

    def RENAME(self, header, body, flags=0, size=8):
        (folder,) = struct.unpack_from("<Q", body)
        old, new = body[size:].rstrip(b"\0").split(b"\0")
        node = self.child(header.node, old)
        there = self.of(folder).children.get(new)
        if flags & RENAME_NOREPLACE and there is not None:
            raise Refused(errno.EEXIST)
        if flags & RENAME_EXCHANGE:
            raise Refused(errno.EINVAL)
        if there is node:
            return b""
        if there is not None:
            self.take(folder, new)
        self.put(folder, new, node)
        self.take(header.node, old)
        return b""

    def RENAME2(self, header, body):
        _, flags, _ = struct.unpack_from("<QII", body)
        return self.RENAME(header, body, flags, 16)

    def LINK(self, header, body):
        (number,) = struct.unpack_from("<Q", body)
        node = self.of(number)
        self.put(header.node, body[8:].rstrip(b"\0"), node)
        return self.entry(node)

    def OPEN(self, header, body):
        node = self.of(header.node)
        (flags,) = struct.unpack_from("<I", body)
        if flags & os.O_TRUNC:
            node.data.clear()
        return self.opened(self.flags_of_files)

    def READ(self, header, body):
        _, offset, size = struct.unpack_from("<QQI", body)
        return bytes(self.of(header.node).data[offset : offset + size])

    def WRITE(self, header, body):
        _, offset, size = struct.unpack_from("<QQI", body)
        data = self.of(header.node).data
        if len(data) < offset:
            data.extend(bytes(offset - len(data)))
        data[offset : offset + size] = body[40 : 40 + size]
        self.of(header.node).mtime = time.time()
        return struct.pack("<II", size, 0)

    def STATFS(self, header, body):
        return struct.pack("<5Q10I", *[1 << 20] * 5, BLOCK, 255, BLOCK, *[0] * 7)

    def FALLOCATE(self, header, body):
        _, offset, length, _, _ = struct.unpack("<QQQII", body)
        data = self.of(header.node).data
        data.extend(bytes(max(0, offset + length - len(data))))
        return b""

    def CREATE(self, header, body):
        _, mode, umask, _ = struct.unpack_from("<4I", body)
        node = self.make(header, stat.S_IFREG | stat.S_IMODE(mode & ~umask))
        self.put(header.node, body[16:].rstrip(b"\0"), node)
        return self.entry(node) + self.opened(self.flags_of_files)

    def TMPFILE(self, header, body):
        _, mode, umask, _ = struct.unpack_from("<4I", body)
        node = self.make(header, stat.S_IFREG | stat.S_IMODE(mode & ~umask))
        return self.entry(node) + self.opened(self.flags_of_files)

    def OPENDIR(self, header, body):
        return self.opened()

    def READDIR(self, header, body):
        _, offset, size = struct.unpack_from("<QQI", body)
        answer = b""
        children = self.of(header.node).children
        for at, (name, node) in enumerate(sorted(children.items()), 1):
            entry = struct.pack("<QQII", node.number, at, len(name), stat.S_IFMT(node.mode) >> 12)
            entry += name + bytes(-len(name) % 8)
            if at > offset:
                if len(answer) + len(entry) > size:
                    break
                answer += entry
        return answer

    def nothing(self, header, body):
        return b""

    FSYNC = FSYNCDIR = FLUSH = ACCESS = RELEASE = RELEASEDIR = DESTROY = nothing


class Header:
    def __init__(self, data):
        self.size, self.opcode, self.unique, self.node, self.uid, self.gid, self.pid, *_ = (
            IN_HEADER.unpack_from(data)
        )
        self.operation = OPCODES.get(self.opcode, f"opcode {self.opcode}")


class Server:
    def __init__(self, mountpoint, options):
        self.options = options
        self.tree = Tree(options)
        self.tree.shift = self.shift
        self.rules = []
        self.held = {}  # unique: (header, body, rule)
        self.seen = []  # (operation, path) of what callers waited for
        self.absent = set(options.get("absent", ()))
        self.device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        self.mountpoint = mountpoint
        libc = ctypes.CDLL(None, use_errno=True)
        data = f"fd={self.device},rootmode=40000,user_id={os.getuid()},group_id={os.getgid()}"
        data += ",default_permissions,allow_other"
        flags = MS_NOSUID | MS_NODEV
        where = os.fsencode(mountpoint)
        if libc.mount(b"sharedmap-test", where, b"fuse", flags, data.encode()) < 0:
            number = ctypes.get_errno()
            raise OSError(number, f"mount(2) of fuse: {os.strerror(number)}", mountpoint)

    def shift(self, node):
        return sum(rule["shift"] for rule in self.rules if rule["how"] == "size")

    def path_of(self, header, body):
        """The name that the operation is about, for rules and for reports."""
        offset = {"MKNOD": 16, "CREATE": 16, "LINK": 8, "RENAME": 8, "RENAME2": 16, "MKDIR": 8}
        operation = header.operation
        if operation in ("LOOKUP", "UNLINK", "RMDIR", "SYMLINK", *offset):
            names = body[offset.get(operation, 0) :].rstrip(b"\0").split(b"\0")
            return os.fsdecode(names[-1])
        return os.fsdecode(self.tree.names.get(header.node, b""))

    # ---- requests ----------------------------------------------------------------------------

    def answer(self, header, data=b"", number=0):
        try:
            os.write(self.device, OUT_HEADER.pack(16 + len(data), -number, header.unique) + data)
        except OSError as error:
            # The caller was killed meanwhile.
            if error.errno != errno.ENOENT:
                raise

    def initialize(self, header, body):
        _, _, readahead, _ = struct.unpack_from("<4I", body)
        flags = FUSE_BIG_WRITES | FUSE_MAX_PAGES
        version, background, granularity = (7, 31), (12, 9), 1
        limits = *background, LARGEST, granularity, LARGEST // BLOCK
        data = struct.pack("<4I2H2IH", *version, readahead, flags, *limits)
        self.answer(header, data + bytes(64 - len(data)))

    def receive(self):
        """False when the file system is not mounted any more."""
        try:
            data = os.read(self.device, LARGEST + BLOCK)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.EINTR, errno.EAGAIN):
                return True
            if error.errno == errno.ENODEV:
                return False
            raise
        header = Header(data)
        body = data[IN_HEADER.size : header.size]
        if header.operation == "INIT":
            self.initialize(header, body)
        elif header.operation == "INTERRUPT":
            self.interrupt(*struct.unpack_from("<Q", body))
        elif header.operation == "FORGET":
            self.tree.forget(header.node, *struct.unpack_from("<Q", body))
        elif header.operation == "BATCH_FORGET":
            (count,) = struct.unpack_from("<I", body)
            for at in range(count):
                self.tree.forget(*struct.unpack_from("<QQ", body, 8 + 16 * at))
        else:
            self.obey(header, body)
        return True

    def obey(self, header, body):
        path = self.path_of(header, body)
        if header.operation not in UNSEEN:
            self.seen.append((header.operation, path))
        rule = self.rule_for(header.operation, path)
        if rule is None:
            self.do(header, body)
        elif rule["how"] == "hang":
            self.held[header.unique] = header, body, rule
        elif rule["how"] == "fail":
            self.answer(header, number=rule["error"])
        elif rule["how"] == "drop":
            self.drop_pages(header.node)
            self.do(header, body)
        else:
            self.do(header, body, rule["size"])

    def drop_pages(self, number):
        """Makes the kernel read the file's pages again, as of a file that has changed elsewhere."""
        data = struct.pack("<Qqq", number, 0, 0)
        os.write(self.device, OUT_HEADER.pack(16 + len(data), FUSE_NOTIFY_INVAL_INODE, 0) + data)

    def rule_for(self, operation, path):
        if operation in UNSEEN:
            return None
        for rule in self.rules:
            if rule["how"] == "size" or rule["operation"] not in (operation, None):
                continue
            if rule["path"] is not None and rule["path"] not in path:
                continue
            if rule["after"] > 0:
                rule["after"] -= 1
            elif rule["times"] is None or rule["times"] > 0:
                if rule["times"] is not None:
                    rule["times"] -= 1
                rule["met"] += 1
                return rule
        return None

    def do(self, header, body, at_most=None):
        work = getattr(self.tree, header.operation, None)
        try:
            if work is None or header.operation in self.absent:
                raise Refused(errno.ENOSYS)
            if at_most is not None and header.operation in ("READ", "WRITE"):
                handle, offset, size = struct.unpack_from("<QQI", body)
                body = struct.pack("<QQI", handle, offset, min(size, at_most)) + body[20:]
            data = work(header, body)
        except Refused as refused:
            self.answer(header, number=refused.number)
        else:
            self.answer(header, data)

    def interrupt(self, unique):
        """A signal has come for the caller of a request."""
        if unique in self.held and self.held[unique][2]["is_interruptible"]:
            header, *_ = self.held.pop(unique)
            self.answer(header, number=errno.EINTR)

    # ---- being told --------------------------------------------------------------------------

    def tell(self, request):
        command, argument = request
        if command == "add":
            self.rules.append(argument | {"met": 0})
            return len(self.rules) - 1
        if command == "release":
            # Without rules, or what is released would be held again.
            self.rules = []
            held, self.held = self.held, {}
            for header, body, _ in held.values():
                self.do(header, body)
            return len(held)
        if command == "seen":
            seen = list(self.seen)
            if argument:
                self.seen = []
            return seen
        assert command == "state"
        held = [(header.operation, header.pid) for header, *_ in self.held.values()]
        return {"held": held, "met": [rule["met"] for rule in self.rules]}

    def serve(self):
        requests = Connection(os.dup(0), writable=False)
        answers = Connection(os.dup(1), readable=False)
        os.dup2(2, 1)
        answers.send("mounted")
        while True:
            ready, _, _ = select.select([self.device, requests], [], [])
            if self.device in ready and not self.receive():
                return
            if requests in ready:
                try:
                    request = requests.recv()
                except EOFError:
                    return
                answers.send(self.tell(request))

    def close(self):
        os.close(self.device)
        ctypes.CDLL(None).umount2(os.fsencode(self.mountpoint), MNT_DETACH)


def main():
    server = Server(sys.argv[1], json.loads(sys.argv[2]))
    try:
        server.serve()
    finally:
        server.close()


if __name__ == "__main__":
    main()
