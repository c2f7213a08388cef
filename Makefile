# nginx-canary: `make` builds the module, canaryd and canaryctl in build/;
# `make asan` builds everything under build/asan with the sanitizers.
#
# The module is built for Debian's nginx (package nginx-dev), or for a source
# tree of nginx, which is not written to; NGINX_FLAGS are for its configure:
#
#   make module NGINX_SRC=/usr/src/nginx-1.29.7
#   make static NGINX_SRC=/usr/src/nginx-1.29.7    nginx with the module in it
#   make deb                                       Debian packages
#   make install DESTDIR= PREFIX=/usr/local        and uninstall
#   make check                                     form, lint, tests

BUILD   ?= build
CC      ?= cc
CFLAGS  ?= -O2 -g
WARN    := -std=gnu11 -W -Wall -Wextra -Werror -Wno-unused-parameter \
           -Wmissing-prototypes -Wstrict-prototypes -Wpointer-arith -Wvla
CPPFLAGS += -D_GNU_SOURCE -Isidecar
HARDEN  := -fstack-protector-strong -D_FORTIFY_SOURCE=2 -fPIE
LDFLAGS += -pie -Wl,-z,relro -Wl,-z,now
SAN     :=

ifeq ($(SANITIZE),1)
BUILD   := build/asan
SAN     := -fsanitize=address,undefined -fno-omit-frame-pointer \
           -fno-sanitize-recover=undefined
CFLAGS  := -O1 -g
HARDEN  := -fPIE
endif

NGINX_SRC ?= $(patsubst %/conf_flags,%,$(shell dpkg -L nginx-dev 2>/dev/null \
               | grep '/conf_flags$$'))
NGINX_FLAGS ?= --with-compat --with-debug --with-threads \
               --with-http_ssl_module --with-http_v2_module \
               --with-http_realip_module --with-http_auth_request_module \
               --with-http_slice_module

pc       = $(shell pkg-config $(1) $(2) 2>/dev/null)
CORE_LIBS   := -lcjson -lm
LIB_LIBS    := -lcurl -lyaml -levent_openssl -levent_core -levent_extra \
               -lssl -lcrypto
AUTH_LIBS   := -ljwt -largon2 -lpthread
REDIS_LIBS  := -lhiredis

# TLS to Redis: hiredis has it from 1.0 on.
ifeq ($(shell pkg-config --exists hiredis_ssl 2>/dev/null && echo yes),yes)
CPPFLAGS   += -DHAVE_HIREDIS_SSL
REDIS_LIBS := -lhiredis_ssl -lhiredis
endif

objs     = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
CORE    := $(call objs,$(wildcard sidecar/core/*.c))
LIB     := $(call objs,$(wildcard sidecar/lib/*.c))
AUTH    := $(call objs,$(wildcard sidecar/auth/*.c))
AROUND  := $(call objs,$(wildcard sidecar/around/*.c))
DAEMON  := $(call objs,$(wildcard sidecar/*.c))
CTL     := $(call objs,$(wildcard sidecar/ctl/*.c))
# What canaryctl has of canaryd.
SHARED  := $(call objs,$(addprefix sidecar/,config.c config_auth.c config_env.c \
                              config_keys.c record.c redis_tls.c store_name.c \
                              tally.c tick.c)) $(AROUND)
UNIT    := $(patsubst t/unit/%.c,$(BUILD)/unit/%,$(wildcard t/unit/*.c))
TOOLS   := $(patsubst t/tools/%.c,$(BUILD)/tools/%,$(wildcard t/tools/*.c))
LUA     := $(wildcard sidecar/lua/*.lua)
UI      := $(wildcard sidecar/ui/*.html sidecar/ui/*.css sidecar/ui/*.js \
               sidecar/ui/*.svg sidecar/ui/vendor/*.js sidecar/ui/vendor/*.css)

.PHONY: all module static deb sidecar unit tools asan check lint clean FORCE \
    install install-module install-sidecar uninstall
.SECONDARY:

all: module sidecar

sidecar: $(BUILD)/canaryd $(BUILD)/canaryctl

unit: $(UNIT)

tools: $(TOOLS)

asan:
	$(MAKE) SANITIZE=1 all unit tools

check:
	scripts/deps test
	scripts/check-format
	$(MAKE) lint
	scripts/test

# .clang-tidy says what it looks for; the module needs nginx's own flags.
# FILES="FILE..." looks at these only.
FILES ?= $(wildcard sidecar/*.c sidecar/*/*.c)

lint: $(BUILD)/obj/sidecar/lua_scripts.inc $(BUILD)/obj/sidecar/ui_files.inc
	printf '%s\n' $(FILES) | xargs -P 2 -n 8 sh -c \
	    'clang-tidy --quiet "$$@" -- $(CPPFLAGS) -I$(BUILD)/obj/sidecar \
	    -std=gnu11 2>/dev/null' lint

clean:
	rm -rf build

$(BUILD)/canaryd: $(DAEMON) $(AROUND) $(AUTH) $(LIB) $(CORE)
	$(CC) $(CFLAGS) $(SAN) $(LDFLAGS) -o $@ $^ \
	    $(REDIS_LIBS) $(AUTH_LIBS) $(LIB_LIBS) $(CORE_LIBS)

$(BUILD)/canaryctl: $(CTL) $(SHARED) $(AUTH) $(LIB) $(CORE)
	$(CC) $(CFLAGS) $(SAN) $(LDFLAGS) -o $@ $^ \
	    $(REDIS_LIBS) $(AUTH_LIBS) $(LIB_LIBS) $(CORE_LIBS)

$(BUILD)/unit/%: $(BUILD)/obj/t/unit/%.o $(AROUND) $(AUTH) $(LIB) $(CORE)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(SAN) $(LDFLAGS) -o $@ $^ -lcmocka \
	    $(REDIS_LIBS) $(AUTH_LIBS) \
	    $(LIB_LIBS) $(CORE_LIBS)

# It follows a rollout to its records and to the data of its events.
$(BUILD)/unit/core_rollout_walk: $(call objs,$(addprefix sidecar/, \
    decision.c fleet.c record.c release.c series.c store_name.c traffic.c))

$(BUILD)/tools/%: $(BUILD)/obj/t/tools/%.o
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(SAN) $(LDFLAGS) -o $@ $^ \
	    -lhiredis -levent_core -levent_extra -lm

$(BUILD)/obj/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(WARN) $(HARDEN) $(CFLAGS) $(SAN) -MMD -MP -c -o $@ $<

# The scripts are compiled in: canaryd is one file.  sidecar/scripts.c
# includes lua_scripts.inc.
$(BUILD)/obj/sidecar/lua_scripts.inc: $(LUA) Makefile
	@mkdir -p $(@D)
	@for f in $(LUA); do \
	    n=$$(basename $$f .lua); \
	    printf 'static const char lua_%s[] =\n' $$n; \
	    sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/^/    "/' -e 's/$$/\\n"/' $$f; \
	    printf '    ;\n'; \
	done > $@

$(BUILD)/obj/sidecar/scripts.o: $(BUILD)/obj/sidecar/lua_scripts.inc
$(BUILD)/obj/sidecar/scripts.o: CPPFLAGS += -I$(BUILD)/obj/sidecar

# And so is the dashboard: sidecar/ui.c includes ui_files.inc.
$(BUILD)/obj/sidecar/ui_files.inc: $(UI) sidecar/ui/embed Makefile
	@mkdir -p $(@D)
	sidecar/ui/embed $(UI) > $@.new
	@mv $@.new $@

$(BUILD)/obj/sidecar/ui.o: $(BUILD)/obj/sidecar/ui_files.inc
$(BUILD)/obj/sidecar/ui.o: CPPFLAGS += -I$(BUILD)/obj/sidecar

# nginx's own build system makes the module; its flags include -Werror.
MODULE_CC := -g -O2 -fPIC -fstack-protector-strong -D_FORTIFY_SOURCE=2 \
             -Wformat -Werror=format-security
ifeq ($(SANITIZE),1)
MODULE_CC := -g -O1 -fPIC $(SAN)
endif

MODULE_LD := -Wl,-z,relro -Wl,-z,now $(SAN)
MODULE_SRCS := config $(wildcard src/*.c src/*.h)
OUT := $(abspath $(BUILD))

module: $(BUILD)/ngx_http_canary_module.so

$(BUILD)/ngx_http_canary_module.so: $(BUILD)/objs/Makefile $(MODULE_SRCS)
	$(MAKE) -f $(OUT)/objs/Makefile -C $$(cat $(BUILD)/objs/tree) modules
	cp $(BUILD)/objs/ngx_http_canary_module.so $@.new
	mv $@.new $@                 # a running nginx may have the old one mapped

static: $(BUILD)/nginx

$(BUILD)/nginx: $(BUILD)/objs-static/Makefile $(MODULE_SRCS)
	$(MAKE) -f $(OUT)/objs-static/Makefile \
	    -C $$(cat $(BUILD)/objs-static/tree) binary
	cp $(BUILD)/objs-static/nginx $@

$(BUILD)/objs/Makefile $(BUILD)/objs-static/Makefile: \
    $(BUILD)/%/Makefile: config scripts/nginx-configure $(BUILD)/nginx-src
	scripts/nginx-configure $* "$(NGINX_SRC)" $(OUT) \
	    --with-cc-opt="$(MODULE_CC)" --with-ld-opt="$(MODULE_LD)" \
	    -- $(NGINX_FLAGS)

# changes when it is to be another tree
$(BUILD)/nginx-src: FORCE
	@mkdir -p $(@D)
	@echo "$(NGINX_SRC) $(NGINX_FLAGS)" | cmp -s - $@ \
	    || echo "$(NGINX_SRC) $(NGINX_FLAGS)" > $@

FORCE:

# What is built must be there: `make` first, then `make install` as root, which
# then needs no compiler.  Nothing of the operator's is overwritten: a
# canaryd.yaml that is there stays.
DESTDIR  ?=
PREFIX   ?= /usr/local
SYSCONF  ?= /etc
BINDIR   := $(PREFIX)/bin
SBINDIR  := $(PREFIX)/sbin
MODULES  ?= $(PREFIX)/lib/nginx/modules
UNITS    := $(PREFIX)/lib/systemd/system
SYSUSERS := $(PREFIX)/lib/sysusers.d
TMPFILES := $(PREFIX)/lib/tmpfiles.d
MAN      := $(PREFIX)/share/man
BASHCOMP := $(PREFIX)/share/bash-completion/completions
ZSHCOMP  := $(PREFIX)/share/zsh/site-functions
DOC      := $(PREFIX)/share/doc/nginx-canary
EXAMPLES := $(DOC)/examples
CONF     := $(SYSCONF)/nginx-canary
D         = $(DESTDIR)
MANPAGES := $(wildcard man/*.[1-8])

install: install-module install-sidecar

install-module:
	install -D -m 0644 $(BUILD)/ngx_http_canary_module.so \
	    $(D)$(MODULES)/ngx_http_canary_module.so

install-sidecar:
	install -D -m 0755 $(BUILD)/canaryd $(D)$(SBINDIR)/canaryd
	install -D -m 0755 $(BUILD)/canaryctl $(D)$(BINDIR)/canaryctl
	install -d $(D)$(UNITS) $(D)$(EXAMPLES)
	sed 's,/usr/sbin/,$(SBINDIR)/,' conf/systemd/canaryd.service \
	    > $(D)$(UNITS)/canaryd.service
	chmod 0644 $(D)$(UNITS)/canaryd.service
	install -D -m 0644 conf/systemd/canaryd.sysusers \
	    $(D)$(SYSUSERS)/canaryd.conf
	install -D -m 0644 conf/systemd/canaryd.tmpfiles \
	    $(D)$(TMPFILES)/canaryd.conf
	for page in $(MANPAGES); do \
	    install -D -m 0644 $$page \
	        $(D)$(MAN)/man$${page##*.}/$${page##*/} || exit 1; \
	done
	# an older canaryctl has none
	if $(BUILD)/canaryctl completion bash > $(BUILD)/completion.bash \
	    2> /dev/null; then \
	    install -D -m 0644 $(BUILD)/completion.bash \
	        $(D)$(BASHCOMP)/canaryctl && \
	    $(BUILD)/canaryctl completion zsh > $(BUILD)/completion.zsh && \
	    install -D -m 0644 $(BUILD)/completion.zsh \
	        $(D)$(ZSHCOMP)/_canaryctl; \
	fi
	install -d -m 0750 $(D)$(CONF)
	[ -e $(D)$(CONF)/canaryd.yaml ] || \
	    install -m 0640 conf/canaryd.yaml $(D)$(CONF)/canaryd.yaml
	install -m 0644 conf/*.conf conf/*.yaml conf/tokens.example \
	    $(D)$(EXAMPLES)/
	sed 's,/usr/bin/,$(BINDIR)/,' conf/systemd/nginx-seed.conf \
	    > $(D)$(EXAMPLES)/nginx-seed.conf
	chmod 0644 $(D)$(EXAMPLES)/nginx-seed.conf
	cp -R conf/grafana conf/prometheus $(D)$(EXAMPLES)/
	install -m 0644 README.md CHANGELOG.md docs/*.md docs/openapi.yaml \
	    $(D)$(DOC)/

# /etc/nginx-canary is the operator's and stays.
uninstall:
	rm -f $(D)$(MODULES)/ngx_http_canary_module.so \
	    $(D)$(SBINDIR)/canaryd $(D)$(BINDIR)/canaryctl \
	    $(D)$(UNITS)/canaryd.service $(D)$(SYSUSERS)/canaryd.conf \
	    $(D)$(TMPFILES)/canaryd.conf \
	    $(D)$(BASHCOMP)/canaryctl $(D)$(ZSHCOMP)/_canaryctl
	for page in $(MANPAGES); do \
	    rm -f $(D)$(MAN)/man$${page##*.}/$${page##*/}; \
	done
	rm -rf $(D)$(DOC)

# debian/ says what goes in; in a copy, since it leaves the result above it.
# -d: scripts/deps has what is needed, which is not all of build-essential.
DEB := $(BUILD)/deb

deb:
	rm -rf $(DEB)
	mkdir -p $(DEB)/source
	tar -c --exclude=./build --exclude=./.git . | tar -x -C $(DEB)/source
	cd $(DEB)/source && dpkg-buildpackage -b -d -us -uc > ../log 2>&1 \
	    || { tail -30 ../log >&2; exit 1; }
	rm -rf $(DEB)/source
	@ls $(DEB)/*.deb

include t/fuzz/fuzz.mk

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
