"""What the child processes of test_processes.py run: spawn and forkserver import it by its name."""

import sharedmap


def look_up(arguments):
    name, key = arguments
    with sharedmap.sharedmap(name) as shared:
        return shared[key]


def read_all(name, results):
    with sharedmap.sharedmap(name) as shared:
        results.send({key: shared[key] for key in shared})
    results.close()


def publish(name, content):
    tree = sharedmap.rbtree()
    tree["content"] = content
    tree.share(name, force=True)
