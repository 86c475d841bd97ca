/* tests/protocol/versions.pml
 *
 * Versions (docs/PROTOCOL.md, section 5) for the model checker Spin: appends,
 * copies and compactions beside each other, with the step numbers of that
 * document. Each atomic block is one system call, one store or the bytes of
 * one version; before it the process may be killed, which drops its locks.
 *
 *     name ------> file[h]   word, size, versions, a lock of each kind
 *     temporary -> file[d]   what `name~` leads to, just before the rename
 *
 *     file[h]      | 0: base | 1: delta | 2: delta | ...
 *                                  ^ word / 2, bit 0 is the mark
 *
 * A delta stands for the whole version that it completes, a set of changes.
 * `truth` and `newest` are what an observer of the name knows; the protocol
 * does not read them.
 *
 * Not here: the queue for the lock, lineages, inodes that are used again; see
 * publish.pml. What is in a delta; see tests/core.
 */
#ifndef UPDATERS
#define UPDATERS 1
#endif
#ifndef COMPACTORS
#define COMPACTORS 1
#endif
#ifndef FORCED
#define FORCED 0    /* publishers with force */
#endif
#ifndef REMOVERS
#define REMOVERS 0
#endif

#define FILES 6
#define SLOTS 4
#define MARK 1
#define LAST_CHANGE 128

typedef file_state {
    bool is_published;
    byte word;
    byte size;        /* slots that are allocated */
    byte whole;       /* a bit for each slot that is written completely */
    byte content[SLOTS];
    byte generation[SLOTS];
    byte locked_by;   /* byte 0: to publish */
    byte compacted_by /* byte 1: to compact */
};
file_state file[FILES + 1];
byte file_count = 1;
byte name = 1, temporary;
byte followed, followed_slot;  /* what the follower has open */
bool is_calm;         /* nothing is killed any more */
bool is_over;
bool may_leave;       /* an append does not look for a leftover */

byte truth;
byte newest;          /* generation that was published last */

#define is_marked(f) ((file[f].word & MARK) != 0)
#define head_of(f) (file[f].word >> 1)
#define is_whole(f, s) (s < file[f].size && ((file[f].whole >> s) & 1) == 1)
#define MAY_DIE if :: !is_calm -> goto end_of_process :: true fi

/* What an observer of the name sees, and what all others rely on. */
inline observe() {
    assert(is_whole(name, head_of(name)));
    assert(file[name].content[head_of(name)] == truth);
    assert(file[name].generation[head_of(name)] == newest);
    check_hints()
}

/* Section 9: a file that was published and is not marked has the name. */
inline check_hints() {
    for (i : 1 .. FILES) {
        assert(!file[i].is_published || is_marked(i) || name == i)
    }
    i = 0
}

inline create_draft(value, number) {
    file_count++; assert(file_count <= FILES);
    d = file_count;
    file[d].size = 1; file[d].whole = 1;
    file[d].content[0] = value; file[d].generation[0] = number
}

inline unlock(f) {
    if :: f != 0 && file[f].locked_by == _pid -> file[f].locked_by = 0 :: else fi;
    if :: f != 0 && file[f].compacted_by == _pid -> file[f].compacted_by = 0 :: else fi
}

/* 7 to 11: `h` is locked and has the name, or 0 and the name free. */
inline lock_holder() {
    do
    :: atomic { MAY_DIE; h = name; if :: h == 0 -> break :: else fi };
       atomic { file[h].locked_by == 0 -> MAY_DIE; file[h].locked_by = _pid };
       atomic {
           MAY_DIE;
           if :: name == h -> break
              :: else -> file[h].locked_by = 0; h = 0 fi
       }
    od
}

/* 13 to 15, C7 to C9: a draft with the content `value` takes the name. */
inline replace_holder(value, step) {
    atomic { MAY_DIE; temporary = 0 };
    atomic { MAY_DIE; assert(temporary == 0); temporary = d };
    atomic { MAY_DIE; file[h].word = file[h].word | MARK };
    atomic {
        MAY_DIE;
        assert(temporary == d);
        truth = value; newest = newest + step;
        name = temporary; temporary = 0; file[name].is_published = true;
        observe()
    }
}

proctype updater(byte change) {
    byte h, d, s, i;
    lock_holder();
    if :: h == 0 -> goto end_of_process :: else fi;
    atomic {
        MAY_DIE;
        s = head_of(h);                                          /* A2 */
        if
        :: is_marked(h) -> goto copy
        :: else
        fi;
        if
        :: (file[h].content[s] & change) == change -> goto end_of_process  /* A3 */
        :: else
        fi;
        if                                                       /* A4 */
        :: s + 1 < SLOTS -> s++
        :: goto copy
        fi
    };
    atomic { MAY_DIE; if :: file[h].size <= s -> file[h].size = s + 1 :: else fi };  /* A5 */
    atomic { MAY_DIE; file[h].whole = file[h].whole & ~(1 << s) };   /* A6 */
    atomic {
        MAY_DIE;
        file[h].content[s] = file[h].content[s - 1] | change;
        file[h].generation[s] = file[h].generation[s - 1] + 1;
        file[h].whole = file[h].whole | (1 << s)
    };
    atomic {                                                     /* A7 */
        MAY_DIE;
        file[h].word = s << 1;
        truth = truth | change; newest++;
        observe()
    };
    goto end_of_process;
copy:                                                            /* U2 to U5 */
    atomic {
        MAY_DIE;
        create_draft(file[h].content[s] | change, file[h].generation[s] + 1)
    };
    replace_holder(truth | change, 1);
end_of_process:
    atomic { unlock(h); h = 0; d = 0; s = 0 }
}

proctype publisher() {
    byte h, d, s, i;
    lock_holder();
    if :: h == 0 -> goto end_of_process :: else fi;
    atomic {
        MAY_DIE;
        s = head_of(h);
        create_draft(0, file[h].generation[s] + 1)
    };
    replace_holder(0, 1);
end_of_process:
    atomic { unlock(h); h = 0; d = 0; s = 0 }
}

proctype compactor() {
    byte h, c, d, s, t, i;
    atomic { MAY_DIE; c = name; if :: c == 0 -> goto end_of_process :: else fi };
    atomic {                                                     /* C1 */
        MAY_DIE;
        if :: file[c].compacted_by != 0 -> goto end_of_process
           :: else -> file[c].compacted_by = _pid fi
    };
    atomic { MAY_DIE; if :: name != c -> goto end_of_process :: else fi };
    atomic {                                                     /* C2 */
        MAY_DIE;
        s = head_of(c);
        if :: s == 0 || is_marked(c) -> goto end_of_process :: else fi
    };
    atomic {                                                     /* C3 */
        MAY_DIE;
        assert(is_whole(c, s));
        create_draft(file[c].content[s], file[c].generation[s])
    };
    lock_holder();                                               /* C4 */
    atomic {
        MAY_DIE;
        if :: h != c -> goto end_of_process :: else fi;
        if :: is_marked(c) -> goto end_of_process :: else fi;
        t = head_of(c)
    };
    if
    :: t != s ->
        atomic {                                                 /* C5 */
            MAY_DIE;
            file[d].content[1] = file[c].content[t];
            file[d].generation[1] = file[c].generation[t];
            file[d].size = 2; file[d].whole = 3
        };
        atomic { MAY_DIE; file[d].word = 2 }                     /* C6 */
    :: else
    fi;
    replace_holder(truth, 0);
end_of_process:
    atomic { unlock(h); unlock(c); h = 0; c = 0; d = 0; s = 0; t = 0 }
}

proctype remover() {
    byte h, i;
    lock_holder();
    if :: h == 0 -> goto end_of_process :: else fi;
    atomic { MAY_DIE; temporary = 0 };
    atomic { MAY_DIE; file[h].word = file[h].word | MARK };
    atomic { MAY_DIE; name = 0; check_hints() };
end_of_process:
    atomic { unlock(h); h = 0 }
}

/* Takes version `s` of file `f`, after what it has. */
inline advance(f, s) {
    assert(is_whole(f, s));
    assert(file[f].generation[s] > generation
           || file[f].generation[s] == generation && file[f].content[s] == content);
    content = file[f].content[s]; generation = file[f].generation[s];
    followed = f; followed_slot = s
}

/* One load as long as nothing is new; in the same file no system call. */
proctype follower() {
    byte f, s, content, generation = 1;
    do
    :: atomic {
        !is_over ->
        /* What is open never changes. */
        assert(is_whole(followed, followed_slot));
        assert(file[followed].content[followed_slot] == content);
        assert(file[followed].generation[followed_slot] == generation)
       }
    :: atomic {
        !is_over && !is_marked(followed) && head_of(followed) != followed_slot ->
        s = head_of(followed); advance(followed, s); s = 0
       }
    :: atomic { !is_over && is_marked(followed) && name != 0 && name != followed -> f = name };
       atomic { s = head_of(f) };
       atomic { assert(s < file[f].size); advance(f, s); f = 0; s = 0 }
    :: is_over -> break
    od
}

init {
    byte i;
    atomic {
        file[1].is_published = true; file[1].generation[0] = 1;
        file[1].size = 1; file[1].whole = 1; newest = 1;
        followed = 1;
        if
        :: true
        :: file[1].word = 2; file[1].size = 2; file[1].whole = 3; newest = 2;
           file[1].generation[1] = 2; file[1].content[1] = 64; truth = 64
        fi;
        run follower();   /* first: processes end in reverse order */
#if UPDATERS > 0
        for (i : 1 .. UPDATERS) { run updater(1 << (i - 1)) }
#endif
#if COMPACTORS > 0
        for (i : 1 .. COMPACTORS) { run compactor() }
#endif
#if FORCED > 0
        for (i : 1 .. FORCED) { run publisher() }
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
        :: run publisher()
        :: may_leave = (name == 0 || !is_marked(name)); run updater(0)
        :: may_leave = (name == 0 || !is_marked(name)); run updater(LAST_CHANGE)
        :: run remover()
        fi
    };
    _nr_pr == 2;
    atomic {
        assert(temporary == 0 || may_leave || name == 0);
        for (i : 1 .. FILES) {
            assert(file[i].locked_by == 0 && file[i].compacted_by == 0)
        };
        if
        :: name != 0 ->
            assert(!is_marked(name));
            observe();
            assert(file[followed].word != followed_slot << 1 || followed == name)
        :: else
        fi
    };
    is_over = true
}
