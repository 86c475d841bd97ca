/* tests/protocol/publish.pml
 *
 * The publish protocol (docs/PROTOCOL.md) for the model checker Spin, with the
 * step numbers of that document. Each atomic block is one system call or one
 * store; before it the process may be killed, which drops its lock and closes
 * its files.
 *
 *     name ------> file[h]   word, generation, lineage, content, lock, queue
 *     temporary -> file[d]   what `name~` leads to, just before the rename
 *
 * A file that has no name and is not open is free, and the next draft gets its
 * number: inodes are used again. `truth` and `newest` are what an observer of
 * the name knows; the protocol does not read them. The word is a byte, bit 0
 * the mark: a later version may keep the newest delta in its other bits.
 *
 * Not here: squatters of `name~`, drafts with a name, clocks. A timeout is for
 * others the same as a kill.
 */
#ifndef SHARES
#define SHARES 1    /* publishers without force */
#endif
#ifndef FORCED
#define FORCED 1    /* publishers with force */
#endif
#ifndef EXPECTING
#define EXPECTING 0 /* publishers that expect the first generation */
#endif
#ifndef UPDATERS
#define UPDATERS 2
#endif
#ifndef REMOVERS
#define REMOVERS 1
#endif

#define FILES 8
#define MARK 1

typedef file_state {
    bool is_published;
    byte word;
    byte generation;
    byte lineage;
    byte content;
    byte opened;     /* descriptors and mappings */
    byte locked_by;
    byte first;      /* waiting_since: the process that arrived first, or 0 */
};
file_state file[FILES + 1];
byte name, temporary;
byte followed;       /* what the follower has open */
bool is_calm;        /* nothing is killed or fails any more */
bool is_over;
bool is_idle;

byte truth;          /* all changes since the map was last shared */
byte lineages;
byte newest;         /* generation that was published last in this lineage */

#define is_marked(f) ((file[f].word & MARK) != 0)
#define MAY_DIE if :: !is_calm -> goto end_of_process :: true fi

/* Section 9: a file that was published and is not marked has the name. */
inline check_hints(i) {
    for (i : 1 .. FILES) {
        assert(!file[i].is_published || is_marked(i) || name == i)
    }
    i = 0
}

inline forget_if_free(f) {
    if
    :: f != 0 && file[f].opened == 0 && name != f && temporary != f ->
        file[f].is_published = false; file[f].word = 0;
        file[f].generation = 0; file[f].lineage = 0; file[f].content = 0;
        file[f].first = 0
    :: else
    fi
}

inline create_draft(d) {
    d = 1;
    do
    :: file[d].opened == 0 && name != d && temporary != d -> break
    :: else -> d++; assert(d <= FILES)
    od;
    file[d].opened = 1
}

inline close_file(f) {
    if
    :: f != 0 ->
        if :: file[f].locked_by == _pid -> file[f].locked_by = 0 :: else fi;
        if :: file[f].first == _pid -> file[f].first = 0 :: else fi;
        file[f].opened--; forget_if_free(f); f = 0
    :: else
    fi
}

/* Killed: the system closes, and the place in the queue stays. */
inline lose_file(f) {
    if
    :: f != 0 ->
        if :: file[f].locked_by == _pid -> file[f].locked_by = 0 :: else fi;
        file[f].opened--; forget_if_free(f); f = 0
    :: else
    fi
}

/* What an observer of the name sees when it leads to f. */
inline account(f, l) {
    assert(file[f].generation != 0);
    assert(l == 0 || newest < file[f].generation);
    if :: l == 0 -> lineages++; file[f].lineage = lineages
       :: else -> assert(l == lineages); file[f].lineage = l fi;
    newest = file[f].generation;
    file[f].is_published = true;
    assert(file[f].content == truth);
    check_hints(i)
}

/* 7 to 11, R1 to R4: `h` is locked and has the name, or 0 and the name free. */
inline lock_holder() {
    do
    :: atomic {
        MAY_DIE;
        h = name;
        if :: h == 0 -> break :: else -> file[h].opened++ fi
       };
       do
       :: atomic {
           file[h].locked_by == 0 && (file[h].first == 0 || file[h].first >= _pid || true) ->
           MAY_DIE;
           file[h].locked_by = _pid;
           if :: file[h].first != 0 && file[h].first <= _pid -> file[h].first = 0
              :: else fi;
           break
          }
       :: atomic {
           file[h].locked_by != 0 && (file[h].first == 0 || file[h].first > _pid) ->
           MAY_DIE;
           file[h].first = _pid
          }
       :: atomic { name != h -> MAY_DIE; break }
       od;
       atomic {
           MAY_DIE;
           if :: name == h && file[h].locked_by == _pid -> break
              :: else -> close_file(h) fi
       }
    od
}

/* 12 to 15. The updater's content was made from what it read. */
inline replace_holder(is_update) {
    atomic {
        MAY_DIE;
        file[d].generation = g + 1; file[d].first = file[h].first;
        l = file[h].lineage
    };
    atomic { MAY_DIE; old = temporary; temporary = 0; forget_if_free(old); old = 0 };
    atomic {
        MAY_DIE;
        if :: temporary != 0 -> goto end_of_process /* EEXIST */
           :: else -> temporary = d fi
    };
    atomic { MAY_DIE; file[h].word = file[h].word | MARK };
    atomic {
        MAY_DIE;
        if
        :: temporary == 0 || !is_calm ->   /* rename fails */
            old = temporary; temporary = 0; forget_if_free(old); old = 0
        :: temporary != 0 ->
            truth = (is_update -> truth | change : 0);
            old = name; name = temporary; temporary = 0;
            account(name, l); forget_if_free(old); old = 0
        fi
    }
}

proctype publisher(bool force; byte expected) {
    byte h, d, g, l, old, i;
    byte change = 0;
    atomic { MAY_DIE; create_draft(d) };
again:
    if :: force -> lock_holder() :: else fi;
    if
    :: h == 0 ->
        atomic {
            MAY_DIE;
            if :: expected != 0 -> goto end_of_process :: else fi;
            file[d].generation = 1
        };
        atomic {
            MAY_DIE;
            if
            :: name == 0 -> truth = 0; name = d; newest = 0; account(d, 0)
            :: name != 0 && force -> goto again
            :: else
            fi
        }
    :: else ->
        atomic {
            MAY_DIE;
            g = file[h].generation;
            if :: expected != 0 && g != expected -> goto end_of_process :: else fi
        };
        replace_holder(false)
    fi;
    atomic { close_file(h); close_file(d) };
end_of_process:
    atomic { lose_file(h); lose_file(d); g = 0; l = 0 }
}

proctype updater(byte change) {
    byte h, d, g, l, old, i;
    lock_holder();
    if :: h == 0 -> goto end_of_process :: else fi;
    atomic {
        MAY_DIE;
        g = file[h].generation;
        /* U3: nothing has changed, and there is nothing to repair. */
        if :: (file[h].content & change) == change && !is_marked(h) -> goto end_of_process
           :: else fi;
        create_draft(d);
        file[d].content = file[h].content | change
    };
    replace_holder(true);
    atomic { close_file(h); close_file(d) };
end_of_process:
    atomic { lose_file(h); lose_file(d); g = 0; l = 0 }
}

proctype remover() {
    byte h, d, old, i;
    lock_holder();
    if :: h == 0 -> goto end_of_process :: else fi;
    atomic { MAY_DIE; old = temporary; temporary = 0; forget_if_free(old); old = 0 };
    atomic { MAY_DIE; file[h].word = file[h].word | MARK };
    atomic {
        MAY_DIE;
        if
        :: !is_calm   /* unlink fails */
        :: true ->
            old = name; name = 0; truth = 0;
            check_hints(i); forget_if_free(old); old = 0;
            assert(temporary == 0)
        fi
    };
    atomic { close_file(h) };
end_of_process:
    atomic { lose_file(h) }
}

/* Section 10: looks at the name as long as what it has is marked. */
proctype follower() {
    byte f;
    do
    :: atomic {
        !is_over && name != followed && name != 0 && (followed == 0 || is_marked(followed)) ->
look:   if
        :: name != 0 && name != followed ->
            f = followed; followed = name; file[followed].opened++;
            if
            :: f != 0 ->
                assert(file[followed].lineage > file[f].lineage
                       || file[followed].lineage == file[f].lineage
                          && file[followed].generation > file[f].generation);
                file[f].opened--; forget_if_free(f); f = 0
            :: else
            fi
        :: else
        fi
       }
    :: is_over -> break
    od
}

init {
    byte i;
    atomic {
        if
        :: true
        :: name = 1; file[1].is_published = true; file[1].generation = 1;
           file[1].lineage = 1; lineages = 1; newest = 1
        fi;
        run follower();   /* first: processes end in reverse order */
#if SHARES > 0
        for (i : 1 .. SHARES) { run publisher(false, 0) }
#endif
#if FORCED > 0
        for (i : 1 .. FORCED) { run publisher(true, 0) }
#endif
#if EXPECTING > 0
        for (i : 1 .. EXPECTING) { run publisher(true, 1) }
#endif
#if UPDATERS > 0
        for (i : 1 .. UPDATERS) { run updater(1 << (i - 1)) }
#endif
#if REMOVERS > 0
        for (i : 1 .. REMOVERS) { run remover() }
#endif
        i = 0
    };
    _nr_pr == 2;
    /* The next publication repairs what is left. */
    atomic {
        is_calm = true;
        if
        :: run publisher(true, 0)
        :: run updater(0); is_idle = true   /* publishes only what is marked */
        :: run remover()
        fi
    };
    _nr_pr == 2;
    atomic {
        assert(temporary == 0 || is_idle);
        assert(name == 0 || !is_marked(name));
        for (i : 1 .. FILES) {
            assert(i == name || i == followed || file[i].opened == 0);
            assert(file[i].locked_by == 0)
        }
        assert(followed == 0 || name == 0 || followed == name || is_marked(followed))
    };
    timeout;   /* the follower has nothing left to do */
    assert(name == 0 || followed == name);
    is_over = true
}
