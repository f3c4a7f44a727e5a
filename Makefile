# A thin front for Meson. `make run` and `make test` are all that a newcomer needs; both set up what is missing.

BUILD ?= build
SCALE ?= 10
LISTEN ?= 127.0.0.1:7777
DATA ?= data
MESON_FLAGS ?=

.PHONY: all setup run test unit interop crash bench soak fuzz asan tsan lint format install deb clean

all: $(BUILD)/build.ninja
	@ninja -C $(BUILD) src/cli/holdfast
	@ln -sf src/cli/holdfast $(BUILD)/holdfast

$(BUILD)/build.ninja:
	@tools/setup build
	meson setup $(BUILD) --buildtype=release $(MESON_FLAGS)

setup:
	@tools/setup

run: all
	@$(BUILD)/holdfast up --data $(DATA) --listen $(LISTEN)

# Unit and property tests, then the real clients, then crashes and power cuts: the CI size of each.
test: setup $(BUILD)/build.ninja
	@tools/test $(BUILD)

bench: all
	@ninja -C $(BUILD)
	@bench/run $(BUILD)

# The same suites at full size: hours. SCALE multiplies.
soak: setup all
	@SCALE=$(SCALE) tools/soak $(BUILD)

fuzz:
	@tools/fuzz

asan:
	@CC=clang tools/sanitize address,undefined build-asan

tsan:
	@CC=clang tools/sanitize thread build-tsan

lint: $(BUILD)/build.ninja
	@tools/check-layers $(BUILD)
	@tools/lint $(BUILD)

format:
	@git ls-files '*.c' '*.h' | xargs clang-format -i

install: all
	meson install -C $(BUILD)

# holdfast, libholdfast0 and libholdfast-dev, into dist/.
deb:
	@tools/setup deb
	@tools/deb build-deb dist $(MESON_FLAGS)

clean:
	rm -rf dist build-deb $(BUILD) build-asan build-tsan build-fuzz
