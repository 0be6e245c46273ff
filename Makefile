# The one entrance. Each target installs and builds what it needs first: `make gossip` and `make test` work on a fresh clone.
#   make gossip ARGS="--nodes 50"     flags go to the command
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help gossip membership anti-entropy loadtest sim sim-swarm sim-bugs sim-speed test test-all-nodes check format build native bench papers fast fast-sockets diagrams fuzz fuzz-native interop clean

ARGS ?=
SEED ?= 1
SEEDS ?= 200
INSTALLED := node_modules/.hearsay-installed

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Runs npm only when the lock file is newer than the last installation.
$(INSTALLED): package-lock.json
	@npm ci --no-audit --no-fund --loglevel=error
	@touch $@

gossip: build ## Run a cluster on this machine: joining, a rumor, a crash, recovery (ARGS="--nodes 50")
	@node dist/cli/main.js gossip $(ARGS)

membership: build ## Watch membership through the API: join, metadata, leave, crash, false suspicion, partition
	@node dist/cli/main.js membership $(ARGS)

anti-entropy: build ## Watch a replicated map diverge in a partition and repair itself; compare the strategies
	@node dist/cli/main.js anti-entropy $(ARGS)

loadtest: build ## 10,000 real nodes on this machine: kill some, see when all others knew (6 GiB; fewer: ARGS="--nodes 1000")
	@node dist/cli/main.js loadtest --nodes 10000 $(ARGS)

sim: build ## Run one simulated cluster drawn from a seed (SEED=n), with its faults, and check its promises
	@node dist/cli/main.js sim --seed $(SEED) $(ARGS)

sim-swarm: build ## Run many of them on all processors (SEEDS=200)
	@node dist/cli/main.js sim-swarm --seeds $(SEEDS) $(ARGS)

sim-bugs: build ## Plant bugs in the engine one at a time, and find each by simulation
	@node scripts/plant-bugs.mjs $(ARGS)

sim-speed: build ## Ten thousand simulated nodes for a minute of theirs: node-periods per second, native and twin
	@node bench/sim/speed.mjs $(ARGS)

test: build check ## Build, check, and run all tests but interop and heavy fuzzing
	@node_modules/.bin/vitest run $(ARGS)

test-all-nodes: build ## Run the tests on Node 20, 22 and 24
	@node scripts/test-all-nodes.mjs $(ARGS)

check: $(INSTALLED) ## Types, lint and format, TypeScript and C++
	@node scripts/check.mjs

format: $(INSTALLED) ## Rewrite the sources in the agreed format, apply safe lint fixes
	@node scripts/check.mjs --fix

build: $(INSTALLED) native ## Build dist/ and the addon
	@node scripts/build.mjs

native: $(INSTALLED) ## Build the addon: cmake-js, else node-gyp, else the TypeScript twins serve
	@node scripts/build-native.mjs $(NATIVE_ARGS)

bench: build ## Compare with memberlist and plain JavaScript, measure the kernels (BENCH=name picks)
	@node bench/main.mjs $(ARGS)

papers: build ## Published figures beside ours: Demers, SWIM, Lifeguard and more (PAPER=name picks)
	@node bench/papers/main.mjs $(ARGS)

fast: build ## The fast profile in simulation: targets, ablation, faults (ARGS="--nodes 1000 --part targets")
	@node bench/fast/experiments.mjs $(ARGS)

fast-sockets: build ## Measure the load test by size and scenario, beside the simulator and memberlist (45 minutes)
	@node bench/fast/sockets.mjs $(ARGS)

diagrams: build ## Draw all pictures of docs/diagrams from the numbers in docs/data and from the sources
	@node scripts/diagrams.mjs $(ARGS)

fuzz: build ## Ten million seeded mutations of packets and streams
	@node scripts/fuzz.mjs $(ARGS)

fuzz-native: $(INSTALLED) ## Fuzz the C++ kernels under ASan and UBSan, a minute each (clang, else g++)
	@node scripts/fuzz-native.mjs $(ARGS)

interop: build ## Run against real peers: serf agents and a Go program on memberlist
	@node scripts/interop.mjs $(ARGS)

clean: ## Remove everything that was built (node_modules stays)
	@rm -rf dist build out prebuilds coverage *.tgz
