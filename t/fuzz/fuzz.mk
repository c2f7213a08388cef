# The targets of t/fuzz, with clang and its sanitizers: `make fuzz` runs each
# for FUZZ_SECONDS and keeps what it finds new in build/fuzz/found.

FUZZ_CC      ?= clang
FUZZ_SECONDS ?= 60
FUZZ         := build/fuzz
FUZZ_SAN     := -fsanitize=address,undefined -fno-sanitize-recover=undefined \
                -fno-omit-frame-pointer
FUZZ_CFLAGS  := -O1 -g -std=gnu11 -Wall -Wno-unused-parameter $(FUZZ_SAN)
FUZZ_NAMES   := $(filter-out nginx,$(patsubst t/fuzz/%.c,%, \
                  $(wildcard t/fuzz/*.c)))
FUZZ_OBJS    := $(patsubst %.c,$(FUZZ)/obj/%.o, \
                  $(filter-out sidecar/main.c,$(wildcard sidecar/*.c)) \
                  $(wildcard sidecar/around/*.c sidecar/auth/*.c \
                             sidecar/lib/*.c sidecar/core/*.c))
FUZZ_RT       = $(shell $(FUZZ_CC) \
                  -print-file-name=libclang_rt.fuzzer_no_main-$(FUZZ_ARCH).a)
FUZZ_ARCH    := $(shell uname -m)

.PHONY: fuzz fuzzers

fuzzers: $(FUZZ_NAMES:%=$(FUZZ)/%) $(FUZZ)/nginx.so

fuzz: fuzzers
	@for name in $(FUZZ_NAMES) record state; do \
	    scripts/fuzz $$name $(FUZZ_SECONDS) || exit 1; \
	done

$(FUZZ)/%: $(FUZZ)/obj/t/fuzz/%.o $(FUZZ)/canary.a
	$(FUZZ_CC) $(FUZZ_SAN) -fsanitize=fuzzer -o $@ $^ \
	    $(REDIS_LIBS) $(AUTH_LIBS) $(LIB_LIBS) $(CORE_LIBS)

$(FUZZ)/canary.a: $(FUZZ_OBJS)
	@rm -f $@
	ar rcs $@ $^

$(FUZZ)/obj/%.o: %.c Makefile t/fuzz/fuzz.mk
	@mkdir -p $(@D)
	$(FUZZ_CC) $(CPPFLAGS) $(FUZZ_CFLAGS) -fsanitize=fuzzer-no-link \
	    -MMD -MP -c -o $@ $<

$(FUZZ)/obj/sidecar/scripts.o: build/obj/sidecar/lua_scripts.inc
$(FUZZ)/obj/sidecar/scripts.o: CPPFLAGS += -Ibuild/obj/sidecar
$(FUZZ)/obj/sidecar/ui.o: build/obj/sidecar/ui_files.inc
$(FUZZ)/obj/sidecar/ui.o: CPPFLAGS += -Ibuild/obj/sidecar

$(FUZZ)/nginx.so: t/fuzz/nginx.c t/fuzz/fuzz.mk $(MODULE_SRCS) build/objs/Makefile
	@mkdir -p $(@D)
	$(FUZZ_CC) -D_GNU_SOURCE -fPIC -shared -shared-libasan -Wl,-Bsymbolic \
	    -O1 -g -std=gnu11 $(FUZZ_SAN) -fsanitize=fuzzer-no-link \
	    $(patsubst %,-I$(NGINX_SRC)/src/%,core event event/modules event/quic \
	        os/unix http http/modules http/v2 http/v3) -Ibuild/objs -Isrc \
	    -o $@ t/fuzz/nginx.c $(wildcard src/*.c) $(FUZZ_RT) -lcjson -lmaxminddb \
	    -lstdc++

-include $(shell find $(FUZZ)/obj -name '*.d' 2>/dev/null)
